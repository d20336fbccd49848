"""Published encoders: the list is that of the sources; a download is whole and checked, or not there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from karat.encoders import hub
from karat.encoders.hub import fetch, find, local_path
from karat.encoders.layouts import LAYOUTS
from karat.encoders.published import PUBLISHED, PublishedEncoder
from karat.errors import FileFormatError, InputError, OutputError

CONTENT = bytes(range(256)) * 16_384  # 4 MB


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT; of /short.pth only a part, and /nowhere.pth is not there."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/nowhere.pth" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        with suppress(ConnectionError):  # the client may have seen enough
            self.wfile.write(CONTENT[: 3 << 20] if self.path == "/short.pth" else CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's cache of weights, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


def row(url: str | None, **fields: Any) -> PublishedEncoder:
    return PublishedEncoder("made-up", "SimCLR", "resnet50", "a test", url=url, **{"file": "made_up.pth", **fields})


# the list


def test_names_are_unique_and_every_row_cites_its_source() -> None:
    assert len({row.name for row in PUBLISHED}) == len(PUBLISHED)
    for row in PUBLISHED:
        assert row.source and row.method and row.architecture
        assert row.name == row.name.lower() and "/" not in row.name and ":" not in row.name


def test_layouts_that_rows_name_exist() -> None:
    known = {layout.name for layout in LAYOUTS} | {"karat", "transformers", None}
    assert {row.layout for row in PUBLISHED} <= known


def test_all_eight_systems_are_there() -> None:
    methods = {row.method for row in PUBLISHED}
    assert methods >= {"SimCLR v1", "SwAV", "MoCo v2", "BYOL", "DINO", "SimSiam", "VICReg", "Barlow Twins"}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("facebookresearch/moco:", 3),
        ("facebookresearch/moco-v3:", 5),
        ("facebookresearch/simsiam:", 1),
        ("facebookresearch/swav:", 3),
        ("facebookresearch/barlowtwins:", 3),
        ("facebookresearch/vicreg:", 6),
        ("facebookresearch/dino: hubconf.py", 6),
        ("facebookresearch/dino: utils.py", 6),
        ("facebookresearch/dinov2:", 8),
        ("tonylins/simclr-converter:", 1),
        ("Separius/SimCLRv2-Pytorch:", 1),
        ("its page on the hub", 10),
        ("google-deepmind/deepmind-research: byol", 8),
        ("facebookresearch/vissl:", 11),
        ("lightly-ai/lightly:", 7),
        ("open-mmlab/mmpretrain:", 1),
        ("singlasahil14/salient_imagenet:", 1),
    ],
)
def test_each_source_gives_as_many_encoders_as_it_names(source: str, count: int) -> None:
    assert sum(row.source.startswith(source) for row in PUBLISHED) == count


def test_there_are_no_other_encoders() -> None:
    assert len(PUBLISHED) == 81


@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("moco-v2-resnet50", "moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar"),
        ("moco-v3-vit-small", "moco-v3/vit-s-300ep/vit-s-300ep.pth.tar"),
        ("simsiam-resnet50", "simsiam/models/100ep/pretrain/checkpoint_0099.pth.tar"),
        ("swav-resnet50", "deepcluster/swav_800ep_pretrain.pth.tar"),
        ("barlow-twins-resnet50", "barlowtwins/ep1000_bs2048_lrw0.2_lrb0.0048_lambd0.0051/resnet50.pth"),
        ("vicreg-resnet200x2-full", "vicreg/resnet200x2_fullckpt.pth"),
        ("dino-resnet50-full", "dino/dino_resnet50_pretrain/dino_resnet50_pretrain_full_checkpoint.pth"),
        ("dinov2-vit-small-14", "dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"),
        ("dinov2-vit-giant-14-reg4", "dinov2/dinov2_vitg14/dinov2_vitg14_reg4_pretrain.pth"),
    ],
)
def test_addresses_at_meta_are_the_published_ones(name: str, tail: str) -> None:
    assert find(name).url == f"https://dl.fbaipublicfiles.com/{tail}"


def test_what_a_source_does_not_give_is_none() -> None:
    assert (find("swav-resnet50").licence, find("vissl-moco-v2-resnet50").url) == (None, None)
    assert {row.name: row.md5 for row in PUBLISHED if row.md5} == {
        "moco-v1-resnet50": "b251726a",
        "moco-v2-resnet50-200ep": "59fd9945",
        "moco-v2-resnet50": "a04e12f8",
    }
    assert {row.name: row.linear_top1 for row in PUBLISHED if row.linear_top1} == {
        "simsiam-resnet50": 68.1,
        "vissl-simclr-resnet50-800ep": 69.68,
        "lightly-simclr-resnet50": 63.2,
        "lightly-swav-resnet50": 67.2,
        "lightly-moco-v2-resnet50": 61.5,
        "lightly-byol-resnet50": 62.5,
        "lightly-dino-resnet50": 68.2,
        "lightly-barlow-twins-resnet50": 62.9,
        "lightly-vicreg-resnet50": 63.0,
    }


def test_unknown_name_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(
        InputError, match=r"moco-v2-resnet is neither .*: did you mean moco-v2-resnet50, moco-v3-resnet50"
    ):
        find("moco-v2-resnet")
    with pytest.raises(InputError, match="karat encoders lists all names"):
        find("qqqq")


# where files are


def test_files_of_the_same_name_do_not_meet_in_the_cache(cache: Path) -> None:
    paths = [local_path(row) for row in PUBLISHED]
    assert len(set(paths)) == len(paths)
    assert local_path(find("moco-v2-resnet50")) == cache / "moco_v2_800ep_pretrain.pth.tar"
    assert local_path(find("vicreg-resnet50")) == cache / "vicreg-resnet50-resnet50.pth"
    assert local_path(find("lightly-dino-resnet50")).name == "epoch=99-step=1000900.ckpt"


def test_file_that_is_there_is_not_downloaded(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "made_up.pth").write_bytes(b"weights")
    assert fetch(row("http://127.0.0.1:9/made_up.pth")) == cache / "made_up.pth"
    assert fetch(row(None)) == cache / "made_up.pth"


# downloads


def test_download_is_the_file_and_its_progress_is_told(address: str, cache: Path) -> None:
    told: list[tuple[int, int]] = []
    path = fetch(row(f"{address}/whole.pth"), progress=lambda done, total: told.append((done, total)))
    assert path == cache / "made_up.pth"
    assert path.read_bytes() == CONTENT
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_published_md5_is_checked(address: str, cache: Path) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest()
    assert fetch(row(f"{address}/whole.pth", md5=md5[:8])).is_file()
    (cache / "made_up.pth").write_bytes(CONTENT + b"!")
    with pytest.raises(FileFormatError, match=rf"is not the file of made-up: its MD5 is \w+, but {md5[:8]}"):
        fetch(row(f"{address}/whole.pth", md5=md5[:8]))


def test_download_with_another_md5_leaves_nothing(address: str, cache: Path) -> None:
    with pytest.raises(FileFormatError, match=r"is not the file of made-up"):
        fetch(row(f"{address}/whole.pth", md5="00000000"))
    assert not list(cache.iterdir())


def test_download_that_ends_early_leaves_nothing(address: str, cache: Path) -> None:
    with pytest.raises(
        InputError, match=r"ended after 3,145,728 of 4,194,304 bytes\. Get made_up\.pth from http.*put it at"
    ):
        fetch(row(f"{address}/short.pth"))
    assert not list(cache.iterdir())


def test_download_that_is_interrupted_leaves_nothing(address: str, cache: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(row(f"{address}/whole.pth"), progress=interrupt)
    assert not list(cache.iterdir())


def test_offline_says_exactly_which_file_to_put_where(cache: Path) -> None:
    url = "http://127.0.0.1:9/models/made_up.pth"  # nobody listens there
    with pytest.raises(InputError) as caught:
        fetch(row(url))
    assert str(caught.value) == (
        f"made-up: {url} cannot be downloaded ([Errno 111] Connection refused). Get made_up.pth from {url}, and put it "
        f"at {cache / 'made_up.pth'}"
    )


def test_missing_page_is_said(address: str, cache: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth cannot be downloaded \(Not Found\)"):
        fetch(row(f"{address}/nowhere.pth"))


def test_row_without_an_address_says_where_it_is_from() -> None:
    with pytest.raises(
        InputError,
        match=r"no source gives the address of its file\. Get resnet50-1x\.pth from tonylins/simclr-converter.*"
        r"\(made by convert\.py from .*\), and put it at .*/checkpoints/simclr-v1-resnet50-resnet50-1x\.pth",
    ):
        fetch(find("simclr-v1-resnet50"))


def test_cache_that_cannot_be_written_is_said(address: str, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"a file, not a folder")
    with pytest.raises(OutputError, match=r"made_up\.pth could not be written"):
        fetch(row(f"{address}/whole.pth"))


def test_byol_is_converted_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[Path] = []

    def convert(path: Path, out: Path) -> Path:
        converted.append(path)
        out.write_bytes(b"safe")
        return out

    monkeypatch.setattr(hub, "convert", convert)
    cache.mkdir(parents=True)
    (cache / "pretrain_res50x1.pkl").write_bytes(b"a pickle")
    for _ in range(2):
        assert fetch(find("byol-resnet50")) == cache / "pretrain_res50x1.safetensors"
    assert converted == [cache / "pretrain_res50x1.pkl"]


# the Hugging Face hub


class FakeHub:
    """huggingface_hub, with one repository."""

    def __init__(self, files: list[str], folder: Path) -> None:
        self.files, self.folder = files, folder

    def list_repo_files(self, repository: str) -> list[str]:
        return self.files

    def hf_hub_download(self, repository: str, file: str) -> str:
        return str(self.folder / repository / file)

    def snapshot_download(self, repository: str) -> str:
        raise ConnectionError("offline\nmore")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(["README.md", "resnet50-2x.pth", "config.json"], tmp_path)
    monkeypatch.setattr(hub, "require", lambda name, purpose: torch.hub if name == "torch.hub" else fake)
    return fake


def test_file_on_the_hub_is_the_named_one_or_the_only_one(tmp_path: Path, fake: FakeHub) -> None:
    one, two = find("simclr-v1-resnet50-hub"), find("simclr-v1-resnet50x2-hub")
    assert fetch(one) == tmp_path / "lightly-ai" / "simclrv1-imagenet1k-resnet50-1x" / "resnet50-1x.pth"
    assert fetch(two) == tmp_path / "lightly-ai" / "simclrv1-imagenet1k-resnet50-2x" / "resnet50-2x.pth"
    fake.files.append("other.safetensors")
    with pytest.raises(InputError, match=r"has 2 files of weights \(resnet50-2x\.pth, other\.safetensors\)"):
        fetch(two)


def test_file_on_the_hub_that_was_put_in_the_cache_is_taken(cache: Path, fake: FakeHub) -> None:
    cache.mkdir(parents=True)
    path = cache / "simclr-v1-resnet50x2-hub.pth"
    path.write_bytes(b"weights")
    assert fetch(find("simclr-v1-resnet50x2-hub")) == path


def test_hub_offline_says_where_to_put_the_files(cache: Path, fake: FakeHub) -> None:
    with pytest.raises(InputError) as caught:
        fetch(find("dino-vit-small-16-hub"))
    assert str(caught.value) == (
        "dino-vit-small-16-hub: facebook/dino-vits16 cannot be downloaded from the hub (offline). Get the files from "
        f"https://huggingface.co/facebook/dino-vits16, and put them in the folder {cache / 'dino-vit-small-16-hub'}"
    )

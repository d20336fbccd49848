"""The published encoders, as data: what they are called, where the files are, what must be known to use them.

Only what a source says stands here; a field that it does not give is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class PublishedEncoder:
    """A row.

    Attributes:
        name: what `load_encoder` takes.
        method: how it was trained.
        architecture: "resnet50", "vit_small_patch16", ...
        url: the official file; None where it is on the Hugging Face hub, or where no source gives the whole address.
        hub: the repository on the Hugging Face hub.
        file: the official file name; None for a repository whose one file of weights is meant.
        md5: how the file's MD5 begins.
        layout: of the file (`karat.encoders.layouts`); "karat": of what karat converts it to; "transformers": a
            repository that the transformers library reads.
        linear_top1: published linear accuracy on ImageNet-1K, in percent.
        preprocessing: what its images need, where it is not what the others need.
        licence: of the weights.
        note: what else a user should know.
        source: where all this was read.
    """

    name: str
    method: str
    architecture: str
    source: str
    url: str | None = None
    hub: str | None = None
    file: str | None = None
    md5: str | None = None
    layout: str | None = None
    linear_top1: float | None = None
    preprocessing: str | None = None
    licence: str | None = None
    note: str | None = None


_META = "https://dl.fbaipublicfiles.com"
_NO_SCALING = "no mean and std; resized to 256, centre 256"
_SWAV_STD = "std 0.228 for the first channel, not 0.229"


def _row(name: str, method: str, architecture: str, address: str, **fields: Any) -> PublishedEncoder:
    """A row whose file has the last name of its address."""
    file = unquote(address.rpartition("/")[2])
    return PublishedEncoder(name, method, architecture, url=address, file=file, **fields)


def _moco() -> Iterator[PublishedEncoder]:
    files = (
        ("moco-v1-resnet50", "MoCo v1", "moco_v1_200ep", "b251726a"),
        ("moco-v2-resnet50-200ep", "MoCo v2", "moco_v2_200ep", "59fd9945"),
        ("moco-v2-resnet50", "MoCo v2", "moco_v2_800ep", "a04e12f8"),
    )
    for name, method, run, md5 in files:
        yield _row(
            name,
            method,
            "resnet50",
            f"{_META}/moco/moco_checkpoints/{run}/{run}_pretrain.pth.tar",
            md5=md5,
            layout="moco",
            licence="CC-BY-NC 4.0",
            source="facebookresearch/moco: README, main_lincls.py",
        )


def _moco_v3() -> Iterator[PublishedEncoder]:
    files = (
        ("moco-v3-resnet50-100ep", "resnet50", "r-50-100ep"),
        ("moco-v3-resnet50-300ep", "resnet50", "r-50-300ep"),
        ("moco-v3-resnet50", "resnet50", "r-50-1000ep"),
        ("moco-v3-vit-small", "vit_small_patch16", "vit-s-300ep"),
        ("moco-v3-vit-base", "vit_base_patch16", "vit-b-300ep"),
    )
    for name, architecture, run in files:
        yield _row(
            name,
            "MoCo v3",
            architecture,
            f"{_META}/moco-v3/{run}/{run}.pth.tar",
            layout="moco-v3",
            licence="CC-BY-NC 4.0",
            source="facebookresearch/moco-v3: CONFIG.md, main_lincls.py",
        )


def _simsiam() -> Iterator[PublishedEncoder]:
    yield _row(
        "simsiam-resnet50",
        "SimSiam",
        "resnet50",
        f"{_META}/simsiam/models/100ep/pretrain/checkpoint_0099.pth.tar",
        layout="simsiam",
        linear_top1=68.1,
        licence="CC-BY-NC 4.0",
        source="facebookresearch/simsiam: README, main_lincls.py",
    )


def _swav() -> Iterator[PublishedEncoder]:
    files = (
        ("swav-resnet50", "SwAV", "swav_800ep", _SWAV_STD),
        ("deepcluster-v2-resnet50", "DeepCluster v2", "deepclusterv2_800ep", None),
        ("sela-v2-resnet50", "SeLa v2", "selav2_400ep", None),
    )
    for name, method, run, preprocessing in files:
        yield _row(
            name,
            method,
            "resnet50",
            f"{_META}/deepcluster/{run}_pretrain.pth.tar",
            layout="swav",
            preprocessing=preprocessing,
            source="facebookresearch/swav: hubconf.py, eval_linear.py, src/resnet50.py",
        )


def _barlow_twins() -> Iterator[PublishedEncoder]:
    newer = "ep1000_bs2048_lrw0.2_lrb0.0048_lambd0.0051"
    older = "epochs1000_bs2048_lr0.2_lambd0.0051_proj_8192_8192_8192_scale0.024"
    files = (
        ("barlow-twins-resnet50", f"{newer}/resnet50.pth"),
        ("barlow-twins-resnet50-older", f"{older}/resnet50.pth"),
        ("barlow-twins-resnet50-older-full", f"{older}/checkpoint.pth"),
    )
    for name, path in files:
        yield _row(
            name,
            "Barlow Twins",
            "resnet50",
            f"{_META}/barlowtwins/{path}",
            layout="barlow-twins",
            licence="CC-BY-NC 4.0",
            source="facebookresearch/barlowtwins: hubconf.py, main.py, README",
        )


def _vicreg() -> Iterator[PublishedEncoder]:
    for architecture in ("resnet50", "resnet50x2", "resnet200x2"):
        for ending, suffix in (("", ""), ("_fullckpt", "-full")):
            yield _row(
                f"vicreg-{architecture}{suffix}",
                "VICReg",
                architecture,
                f"{_META}/vicreg/{architecture}{ending}.pth",
                layout="vicreg",
                licence="MIT",
                source="facebookresearch/vicreg: hubconf.py, README",
            )


def _dino() -> Iterator[PublishedEncoder]:
    files = (
        ("dino-vit-small-16", "vit_small_patch16", "dino_deitsmall16_pretrain"),
        ("dino-vit-small-8", "vit_small_patch8", "dino_deitsmall8_pretrain"),
        ("dino-vit-base-16", "vit_base_patch16", "dino_vitbase16_pretrain"),
        ("dino-vit-base-8", "vit_base_patch8", "dino_vitbase8_pretrain"),
        ("dino-resnet50", "resnet50", "dino_resnet50_pretrain"),
        ("dino-xcit-small-12-16", "xcit_small_12_p16", "dino_xcit_small_12_p16_pretrain"),
    )
    for name, architecture, run in files:
        for ending, suffix, layout, code in (
            ("", "", "dino", "hubconf.py"),
            ("_full_checkpoint", "-full", "dino-full", "utils.py (load_pretrained_weights)"),
        ):
            yield _row(
                f"{name}{suffix}",
                "DINO",
                architecture,
                f"{_META}/dino/{run}/{run}{ending}.pth",
                layout=layout,
                licence="Apache-2.0",
                source=f"facebookresearch/dino: {code}",
            )


def _dinov2() -> Iterator[PublishedEncoder]:
    for letter, size in (("s", "small"), ("b", "base"), ("l", "large"), ("g", "giant")):
        for ending, suffix in (("", ""), ("_reg4", "-reg4")):
            base = f"dinov2_vit{letter}14"
            yield _row(
                f"dinov2-vit-{size}-14{suffix}",
                "DINOv2",
                f"vit_{size}_patch14{ending}",
                f"{_META}/dinov2/{base}/{base}{ending}_pretrain.pth",
                layout="dinov2",
                source="facebookresearch/dinov2: hub/backbones.py, hub/utils.py",
            )


def _simclr() -> Iterator[PublishedEncoder]:
    yield PublishedEncoder(
        "simclr-v1-resnet50",
        "SimCLR v1",
        "resnet50",
        file="resnet50-1x.pth",
        layout="simclr-v1",
        preprocessing=_NO_SCALING,
        note="made by convert.py from simclr-gcs/checkpoints/ResNet50_1x.zip, a checkpoint of TensorFlow",
        source="tonylins/simclr-converter: convert.py, eval.py",
    )
    yield PublishedEncoder(
        "simclr-v2-resnet50",
        "SimCLR v2",
        "resnet50",
        file="r50_1x_sk0.pth",
        layout="simclr-v2",
        note="made by convert.py from a checkpoint of TensorFlow",
        source="Separius/SimCLRv2-Pytorch: convert.py",
    )
    for width, architecture in ((1, "resnet50"), (2, "resnet50x2"), (4, "resnet50x4")):
        yield PublishedEncoder(
            f"simclr-v1-{architecture}-hub",
            "SimCLR v1",
            architecture,
            hub=f"lightly-ai/simclrv1-imagenet1k-resnet50-{width}x",
            file="resnet50-1x.pth" if width == 1 else None,
            layout="simclr-v1",
            preprocessing=_NO_SCALING,
            source="its page on the hub",
        )
    for owner in ("lightly-ai", "SauravMaheshkar"):
        yield PublishedEncoder(
            f"simclr-v2-resnet50-hub-{owner.lower()}",
            "SimCLR v2",
            "resnet50",
            hub=f"{owner}/simclrv2-imagenet1k-r50_1x_sk0",
            layout="simclr-v2",
            source="its page on the hub",
        )


def _dino_on_the_hub() -> Iterator[PublishedEncoder]:
    for letter, size in (("s", "small"), ("b", "base")):
        for patch in (8, 16):
            yield PublishedEncoder(
                f"dino-vit-{size}-{patch}-hub",
                "DINO",
                f"vit_{size}_patch{patch}",
                hub=f"facebook/dino-vit{letter}{patch}",
                layout="transformers",
                source="its page on the hub",
            )
    yield PublishedEncoder(
        "dino-resnet50-hub",
        "DINO",
        "resnet50",
        hub="Ramos-Ramos/dino-resnet-50",
        layout="transformers",
        note="its preprocessing was never checked, says its page",
        source="its page on the hub",
    )


def _byol() -> Iterator[PublishedEncoder]:
    files = (
        ("byol-resnet50", "resnet50", "pretrain_res50x1"),
        ("byol-resnet200x2", "resnet200x2", "pretrain_res200x2"),
        *(
            (f"byol-resnet50-batch{size}", "resnet50", f"ablations/res50x1_batchsize_{size}")
            for size in (64, 128, 256, 512, 1024, 2048)
        ),
    )
    for name, architecture, run in files:
        yield _row(
            name,
            "BYOL",
            architecture,
            f"https://storage.googleapis.com/deepmind-byol/checkpoints/{run}.pkl",
            layout="karat",
            note="a pickle of Haiku's arrays; converted once, without being executed (karat encoders convert)",
            source="google-deepmind/deepmind-research: byol/README.md; ajtejankar/byol-convert",
        )


def _vissl() -> Iterator[PublishedEncoder]:
    zoo, source = f"{_META}/vissl/model_zoo", "facebookresearch/vissl: MODEL_ZOO.md, convert_vissl_to_torchvision.py"
    fields: dict[str, Any] = {"layout": "vissl", "source": source}
    run = "simclr_rn50_800ep_simclr_8node_resnet_16_07_20.7e8feed1/model_final_checkpoint_phase799.torch"
    yield _row("vissl-simclr-resnet50-800ep", "SimCLR", "resnet50", f"{zoo}/{run}", linear_top1=69.68, **fields)
    for epochs in (100, 200, 400, 1000):
        yield PublishedEncoder(f"vissl-simclr-resnet50-{epochs}ep", "SimCLR", "resnet50", **fields)
    for epochs in (100, 200, 400, 800):
        note = f"a run called swav_in1k_rn50_{epochs}ep..."
        yield PublishedEncoder(f"vissl-swav-resnet50-{epochs}ep", "SwAV", "resnet50", note=note, **fields)
    note = "a run called moco_v2_1node_lr.03_step_b32_zero_init"
    yield PublishedEncoder("vissl-moco-v2-resnet50", "MoCo v2", "resnet50", note=note, **fields)
    run = "barlow_twins/barlow_twins_32gpus_4node_imagenet1k_1000ep_resnet50.torch"
    yield _row("vissl-barlow-twins-resnet50", "Barlow Twins", "resnet50", f"{zoo}/{run}", **fields)


def _lightly() -> Iterator[PublishedEncoder]:
    runs = (
        ("simclr", "SimCLR", "2023-06-22_09-11-13", 63.2),
        ("swav", "SwAV", "2023-05-25_08-29-14", 67.2),
        ("mocov2", "MoCo v2", "2024-02-18_10-29-14", 61.5),
        ("byol", "BYOL", "2024-02-14_16-10-09", 62.5),
        ("dino", "DINO", "2023-06-06_13-59-48", 68.2),
        ("barlowtwins", "Barlow Twins", "2023-08-18_00-11-03", 62.9),
        ("vicreg", "VICReg", "2023-09-11_10-53-08", 63.0),
    )
    for key, method, time, top1 in runs:
        steps = 1000900 if key == "dino" else 500400
        folder = f"imagenet_resnet50_{key}_{time}/pretrain/version_0/checkpoints"
        yield _row(
            f"lightly-{method.lower().replace(' ', '-')}-resnet50",
            method,
            "resnet50",
            f"https://lightly-ssl-checkpoints.s3.amazonaws.com/{folder}/epoch%3D99-step%3D{steps}.ckpt",
            layout="lightly",
            linear_top1=top1,
            note="one of seven with the same recipe, 100 epochs",
            source="lightly-ai/lightly: docs/source/getting_started/benchmarks/imagenet_benchmarks.rst, issue 1475",
        )


def _others() -> Iterator[PublishedEncoder]:
    run = "simclr_resnet50_16xb256-coslr-200e_in1k"
    yield _row(
        "mmpretrain-simclr-resnet50",
        "SimCLR",
        "resnet50",
        f"https://download.openmmlab.com/mmselfsup/1.x/simclr/{run}/{run}_20220825-4d9cce50.pth",
        layout="mmpretrain",
        source="open-mmlab/mmpretrain: configs/simclr/metafile.yml",
    )
    yield PublishedEncoder(
        "robust-resnet50",
        "supervised, adversarial (L2, 3.0)",
        "resnet50",
        file="imagenet_l2_3_0.pt",
        note="the encoder behind the masks of Salient ImageNet",
        source="singlasahil14/salient_imagenet: README",
    )


PUBLISHED: tuple[PublishedEncoder, ...] = (
    *_simclr(),
    *_swav(),
    *_moco(),
    *_moco_v3(),
    *_byol(),
    *_dino(),
    *_dino_on_the_hub(),
    *_dinov2(),
    *_simsiam(),
    *_vicreg(),
    *_barlow_twins(),
    *_vissl(),
    *_lightly(),
    *_others(),
)

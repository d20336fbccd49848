"""Bad input: one clear sentence and status 1, or the stated answer; never a traceback, never a half-written output."""

from __future__ import annotations

import json
import os
import pickle
import re
import resource
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from karat.cli import main
from karat.embeddings import Embeddings
from karat.store import save
from tests.commands import Command, column, contents, features
from tests.reference import qscore as slow

H = features(50)
BAD_ROWS = [3, 7]
GOOD_ROWS = np.setdiff1d(np.arange(len(H)), BAD_ROWS)
DAMAGED = ("h.npy", "h.npz", "h.parquet", "h.arrow", "h.safetensors", "h.pt")

Arrange = Callable[[pytest.FixtureRequest], None]


def nothing(_: pytest.FixtureRequest) -> None:
    """The files of `prepared` are enough."""


@dataclass(frozen=True)
class Case:
    """A command with something wrong, and what has to come of it.

    Attributes:
        name: what is wrong.
        command: its arguments.
        words: that stderr must contain.
        status: its exit status.
        scores: column of scores.parquet -> its values, where there is an answer.
        arrange: what else has to be so.
    """

    name: str
    command: str
    words: tuple[str, ...]
    status: int = 1
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    arrange: Arrange = nothing


def bad(*rows: int) -> np.ndarray:
    """H with NaN and infinity in some rows."""
    h = H.copy()
    h[list(rows), 5] = np.resize([np.nan, np.inf, -np.inf], len(rows))
    return h


def write_matrices() -> None:
    """Files that hold what can be written, but not scored as it is."""
    matrices = {
        "h.npy": H,
        "long.npy": features(1500),
        "vector.npy": H[0],
        "cube.npy": H.reshape(5, 10, -1),
        "no rows.npy": H[:0],
        "no columns.npy": H[:, :0],
        "one row.npy": H[:1],
        "one feature.npy": H[:, :1],
        "zeros.npy": np.zeros((120, 30), np.float32),
        "constant.npy": np.full((120, 30), 2.5, np.float32),
        "rows.npy": np.vstack([H, np.zeros((1, 40)), np.full((1, 40), 2.0)]).astype(np.float32),
        "bad.npy": bad(*BAD_ROWS),
        "many bad.npy": bad(*range(10, 20)),
        "all bad.npy": H * np.float32(np.nan),
        "complex.npy": H.astype(np.complex64),
        "text.npy": np.array([["a", "b"]]),
        "narrow.npy": H[:, :30],
        "49 ids.npy": np.arange(49),
        "real ids.npy": np.linspace(0, 1, 50),
    }
    for name, matrix in matrices.items():
        np.save(name, matrix)
    np.save("objects.npy", np.array([[1.0, None]], dtype=object), allow_pickle=True)
    np.savez("objects.npz", h=np.array([[1.0, None]], dtype=object), allow_pickle=True)
    np.savez("two.npz", a=H, b=H)
    Path("names.txt").write_text("".join(f"image {row}\n" for row in range(len(H))))
    Path("doubtful.txt").write_bytes(b"\xff\xfe\x00")


def write_damaged() -> None:
    """Files that are not what their names say."""
    np.savez("h.npz", h=H)
    save_file({"h": H}, "h.safetensors")
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(H.reshape(-1)), H.shape[1])
    table = pa.table({"vector": vectors})
    pq.write_table(table, "h.parquet")
    with pa.ipc.new_file("h.arrow", table.schema) as writer:
        writer.write_table(table)
    import torch

    torch.save(torch.from_numpy(H), "h.pt")
    for name in DAMAGED:
        whole = Path(name).read_bytes()
        Path(f"truncated {name}").write_bytes(whole[: len(whole) // 2])
        Path(f"empty {name}").touch()
        Path(f"wrong {name}").write_text("<!DOCTYPE html><title>404</title>" * 10)
    Path("short header.npy").write_bytes(Path("h.npy").read_bytes()[:60])
    for name in ("pickle.npy", "pickle.npz", "pickle.pt", "pickle.pkl"):
        Path(name).write_bytes(pickle.dumps(H))
    save(Embeddings(H), "incomplete.emb")
    manifest = json.loads(Path("incomplete.emb/manifest.json").read_text())
    Path("incomplete.emb/manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    Path("file").touch()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all the files that the cases name."""
    folder = tmp_path_factory.mktemp("bad")
    before = Path.cwd()
    os.chdir(folder)
    try:
        write_matrices()
        write_damaged()
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def command(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The command line, in a folder with these files."""
    for path in prepared.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


def an_output(request: pytest.FixtureRequest) -> None:
    Path("scores.parquet").write_text("what was there")


def activations(request: pytest.FixtureRequest) -> None:
    Path("activations").mkdir()
    Path("activations/part-00000.npz").write_text("what was there")


def small_files(request: pytest.FixtureRequest) -> None:
    """The command cannot write a file of more than 2,000 bytes (pytest, which logs meanwhile, can)."""

    def limited(arguments: list[str]) -> int:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        try:
            return main(arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    request.getfixturevalue("monkeypatch").setattr("tests.commands.main", limited)


def disk(pages: int) -> Arrange:
    """A disk of so many pages (4 kB) in the folder `disk`."""

    def mount(request: pytest.FixtureRequest) -> None:
        folder = Path("disk").resolve()
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={4 * pages}k", "tmpfs", folder], capture_output=True
        )
        if done.returncode:
            pytest.skip("file systems cannot be mounted here")
        request.addfinalizer(lambda: subprocess.run(["umount", folder], check=True))

    return mount


def a_reader_that_goes_away(request: pytest.FixtureRequest) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stdout = os.fdopen(writing, "w")
    request.getfixturevalue("monkeypatch").setattr("sys.stdout", stdout)
    request.addfinalizer(stdout.close)


def expected(h: np.ndarray, **parameters: float) -> dict[str, np.ndarray]:
    scored = slow.q_score(h, **parameters)
    return {"q_score": scored.q_score, "n_active": scored.active, "n_discriminative": scored.inside}


def without_score(count: int) -> dict[str, np.ndarray]:
    return dict.fromkeys(("q_score", "q_score_v1", "n_active", "n_discriminative"), np.zeros(count))


def nulls(rows: list[int], values: np.ndarray) -> np.ndarray:
    """The values of the other rows, NaN in these."""
    full = np.full(len(rows) + len(values), np.nan)
    full[np.setdiff1d(np.arange(len(full)), rows)] = values
    return full


FILES = [
    Case("missing", "score missing.npy", ("missing.npy does not exist",)),
    *(Case(f"empty {name}", f"score 'empty {name}'", (f"empty {name} is empty (0 bytes)",)) for name in DAMAGED),
    *(Case(f"truncated {name}", f"score 'truncated {name}'", (f"truncated {name} is truncated",)) for name in DAMAGED),
    *(Case(f"wrong magic {name}", f"score 'wrong {name}'", (f"wrong {name} is named", "its content is a web page"))
      for name in DAMAGED),
    Case("short header", "score 'short header.npy'", ("short header.npy is truncated", "no .npy header")),
    Case("pickle as npy", "score pickle.npy", ("pickle.npy", "its content is a pickle", "never loaded")),
    Case("pickle as npz", "score pickle.npz", ("pickle.npz", "its content is a pickle", "never loaded")),
    Case("pickle as pt", "score pickle.pt", ("pickle.pt", "pickled objects", "never loaded")),
    Case("pickle", "score pickle.pkl", ("suffix '.pkl'", "is needed")),
    Case("objects", "score objects.npy", ("objects.npy", "pickled objects", "never loaded")),
    Case("objects in npz", "score objects.npz", ("objects.npz", "pickled objects", "never loaded")),
    Case("two matrices", "score two.npz", ("several matrices", "a [50, 40] float32, b [50, 40] float32")),
    Case("no such key", "score two.npz --key c", ("two.npz has no 'c'; it has a",)),
    Case("a key too many", "score h.npy --key a", ("h.npy has one matrix",)),
    Case("a folder", "score folder", ("folder is a directory without manifest.json",)),
    Case("incomplete folder", "score incomplete.emb", ("incomplete.emb is incomplete",)),
]  # fmt: skip
MATRICES = [
    Case("one dimension", "score vector.npy", ("vector.npy", "[40]", "a matrix [n samples, d features] is needed")),
    Case("three dimensions", "score cube.npy", ("cube.npy", "[5, 10, 40]", "one vector a sample")),
    Case("zero rows", "score 'no rows.npy'", ("no rows.npy", "[0, 40]", "at least one sample")),
    Case("zero columns", "score 'no columns.npy'", ("no columns.npy", "[50, 0]", "one feature")),
    Case("complex", "score complex.npy", ("complex.npy", "complex64", "real numbers are needed")),
    Case("text", "score text.npy", ("text.npy", "<U1", "real numbers are needed")),
    Case("one row", "score 'one row.npy'", ("warning:", "only 1 sample"), 0, expected(H[:1])),
    Case("one feature", "score 'one feature.npy'", ("warning:", "every Q-Score is 0"), 0, without_score(50)),
    Case("all zero", "score zeros.npy", ("warning:", "collapsed"), 0, without_score(120)),
    Case("all constant", "score constant.npy", ("warning:", "collapsed"), 0, without_score(120)),
    Case("a zero and a constant row", "score rows.npy --epsilon 2", ("2 of the rows are constant (1 of them zero)",), 0,
         expected(np.vstack([H, np.zeros((1, 40)), np.full((1, 40), 2.0)]), epsilon=2)),
    Case("NaN and infinity", "score bad.npy", ("NaN or infinity", "rows 3, 7:", "drop")),
    Case("NaN in rows with ids", "score bad.npy --ids names.txt", ("NaN or infinity", "ids image 3, image 7:")),
    Case("many bad rows", "score 'many bad.npy'", ("rows 10, 11, 12, 13, 14 ...",)),
    Case("bad rows dropped", "score bad.npy --epsilon 2 --on-bad-rows drop", ("2 rows hold NaN or infinity",), 0,
         {name: nulls(BAD_ROWS, values) for name, values in expected(H[GOOD_ROWS], epsilon=2).items()}),
    Case("only bad rows", "score 'all bad.npy' --on-bad-rows drop", ("all 50 rows", "nothing is left")),
    Case("bad reference", "score h.npy --reference bad.npy", ("Input reference contains NaN", "rows 3, 7")),
    Case("reference of another width", "score h.npy --reference narrow.npy", ("40 features", "the reference has 30")),
    Case("missing reference", "score h.npy --reference no.npy", ("no.npy does not exist",)),
    Case("too few ids", "score h.npy --ids '49 ids.npy'", ("ids has 49 entries, but there are 50 samples",)),
    Case("too few labels", "score h.npy --labels '49 ids.npy'", ("labels has 49 entries, but there are 50 samples",)),
    Case("real ids", "score h.npy --ids 'real ids.npy'", ("ids has dtype float64", "strings or integers")),
    Case("missing ids", "score h.npy --ids no.txt", ("ids: no.txt does not exist",)),
    Case("ids that are no text", "score h.npy --ids doubtful.txt", ("doubtful.txt is not UTF-8 text",)),
    Case("negative epsilon", "score h.npy --epsilon -1", ("epsilon is -1.0", "at least 0")),
    Case("percentiles crossed", "score h.npy --lower 96", ("lower=96.0 and upper=95",)),
]  # fmt: skip
OUTPUTS = [
    Case("output exists", "score h.npy", ("scores.parquet exists already and was left alone",), arrange=an_output),
    Case("output is a folder", "score h.npy -o folder", ("folder exists already",)),
    Case("output is a folder to overwrite", "score h.npy -o folder --overwrite", ("folder is no name for the scores",)),
    Case("activations exist", "score h.npy --keep-activations", ("activations exists already",), arrange=activations),
    Case("output of another format", "score h.npy -o s.xlsx", ("s.xlsx is no name for the scores", ".csv, .parquet")),
    Case("activations beside CSV", "score h.npy -o s.csv --keep-activations", ("needs scores in a Parquet file",)),
    Case("no output folder", "score h.npy -o no/s.parquet", ("no/s.parquet could not be written: there is no folder",)),
    Case("output below a file", "score h.npy -o file/s.parquet", ("file/s.parquet could not be written",)),
    Case("no output folder, reference", "score h.npy -o no/s.parquet --reference h.npy", ("no/s.parquet could not",)),
    Case("no large files", "score h.npy", ("scores.parquet could not be written: file too",), arrange=small_files),
    *(Case(f"disk of {pages} pages {options}", f"score long.npy -o disk/s.parquet {options}",
           ("disk/", "could not be written: the disk is full"), arrange=disk(pages))
      for options, sizes in (("", (1, 12, 22, 28)), ("--keep-activations", (20, 28, 34))) for pages in sizes),
    Case("closed pipe", "score h.npy --epsilon 2", (), 1, expected(H, epsilon=2), a_reader_that_goes_away),
]  # fmt: skip
OTHER_VERBS = [
    Case("measure: missing", "measure missing.npy", ("missing.npy does not exist",)),
    Case("measure: bad rows", "measure bad.npy --ids names.txt", ("NaN or infinity", "ids image 3, image 7")),
    Case("measure: another width", "measure h.npy --reference narrow.npy", ("the reference has 30",)),
    Case("probe: no labels", "probe h.npy h.npy -o run", ("train has no labels",)),
    Case("probe: too few labels", "probe h.npy h.npy --labels '49 ids.npy' -o run", ("labels has 49 entries",)),
    Case("probe: output below a file",
         "probe h.npy h.npy --labels names.txt --val-labels names.txt -o file/run", ("one a class",)),
    Case("evaluate: no scores", "evaluate h.parquet run", ("h.parquet holds no record of karat",)),
    Case("evaluate: missing", "evaluate missing.parquet run", ("missing.parquet does not exist",)),
    Case("report: no run", "report folder", ("folder is no run of karat",)),
    Case("report: missing", "report missing", ("missing",)),
    Case("extract: no encoder", "extract missing.safetensors folder -o x.emb", ("missing.safetensors is no file",)),
    Case("extract: truncated encoder", "extract 'truncated h.safetensors' folder -o x.emb", ("cannot be read as",)),
    Case("extract: no encoder's weights", "extract h.safetensors folder -o x.emb", ("h.safetensors is not loaded",)),
    Case("demo: output below a file", "demo -o file/run", ("file/run could not be written",)),
]  # fmt: skip


@pytest.mark.parametrize("case", [*FILES, *MATRICES, *OUTPUTS, *OTHER_VERBS], ids=lambda case: case.name)
def test_bad_input_is_one_sentence_or_a_stated_answer(
    case: Case, command: Command, request: pytest.FixtureRequest
) -> None:
    arguments = [plain or quoted for quoted, plain in re.findall(r"'([^']*)'|(\S+)", case.command)]
    case.arrange(request)
    before = contents(Path())
    done = command(*arguments)
    assert done.status == case.status
    for words in case.words:
        assert words in done.err
    assert "Traceback" not in done.err
    if case.scores:
        assert contents(Path()).keys() - before.keys() == {"scores.parquet"}
        for name, values in case.scores.items():
            np.testing.assert_allclose(column(Path("scores.parquet"), name), values, rtol=1e-6)
    else:
        sentence, _, report = done.err.partition("\n\n")  # only weights that do not fit come with a report
        assert (sentence.strip().count("\n"), sentence[:7], done.out) == (0, "karat: ", "")
        assert bool(report) == (case.name == "extract: no encoder's weights")
        assert contents(Path()) == before


def test_dropped_rows_are_null_and_not_nan(command: Command) -> None:
    assert command("score", "bad.npy", "--on-bad-rows", "drop", "--scores", "all").status == 0
    table = pq.read_table("scores.parquet")
    for name in table.column_names[1:]:
        assert np.flatnonzero(table.column(name).is_null().to_numpy()).tolist() == BAD_ROWS

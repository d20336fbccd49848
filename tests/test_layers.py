"""Who may import whom: a part of karat imports only what stands before it. Nothing is run: syntax trees are read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# From the bottom up. A part is a module or a subpackage of karat; parts of one row do not import each other.
LAYERS = (
    ("errors", "_version"),
    ("_optional",),
    ("_files",),
    ("_array",),
    ("stats",),
    ("torch_stats",),
    ("embeddings",),
    ("store", "records"),
    ("health", "spool", "joining", "views"),
    ("runs", "sink"),
    ("catalog",),
    ("probing",),
    ("scoring", "measuring", "evaluating"),
    ("compression", "calibration", "selecting", "comparison", "estimators"),
    ("images",),
    ("encoders",),
    ("extraction",),
    ("attribution", "finetuning"),
    ("integrations",),
    ("distributed",),
    ("recipes",),
    ("reporting",),
    ("explorer",),
    ("demo",),
    ("cli",),
    ("__main__",),
)
# These know no torch at all, not even inside a function.
WITHOUT_TORCH = ("errors", "_version", "_optional", "_files", "_array", "stats")
# These import torch when they are imported; the rest do so inside the functions that need it.
TORCH_AT_IMPORT = (
    "torch_stats",
    "finetuning",
    "integrations",
    "encoders.resnets",
    "encoders.small_resnet",
    "encoders.wrapped",
    "attribution.methods",
    "attribution.spatial",
)

PACKAGE = Path(__file__).parents[1] / "src" / "karat"
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}


@dataclass(frozen=True)
class Import:
    """One import statement's name.

    Attributes:
        module: where it stands, without "karat.": "encoders.encoder".
        target: the absolute name of what is imported: "karat.store", "torch.nn".
        line: its line.
        relative: written with leading dots.
        eager: runs when the module is imported (outside functions and `if TYPE_CHECKING`).
    """

    module: str
    target: str
    line: int
    relative: bool
    eager: bool

    @property
    def part(self) -> str:
        return self.module.partition(".")[0]

    @property
    def target_part(self) -> str | None:
        """The part of karat that is imported; None for other libraries."""
        package, *names = self.target.split(".")
        return (names or [""])[0] if package == "karat" else None

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: {self.target}"


def modules_of(package: Path) -> Iterator[tuple[str, Path]]:
    """The name (without "karat.") and file of every module but the package's own __init__.py."""
    for path in sorted(package.rglob("*.py")):
        names = path.relative_to(package).with_suffix("").parts
        name = ".".join(names[:-1] if names[-1] == "__init__" else names)
        if name:
            yield name, path


def imports_of(module: str, path: Path) -> Iterator[Import]:
    """Every import of a module, at any depth."""
    package = f"karat.{module}".split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), True)]
    while pending:
        node, eager = pending.pop()
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(module, name.name, node.lineno, False, eager)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            for name in node.names:
                target = ".".join([*start, *filter(None, [node.module]), name.name])
                yield Import(module, target, node.lineno, node.level > 0, eager)
        elif (required := required_by(node)) is not None:
            yield Import(module, required, node.lineno, False, eager)
        pending += [(child, eager and not postponed(node, child)) for child in ast.iter_child_nodes(node)]


def required_by(node: ast.AST) -> str | None:
    """The library that a call `require("name", ...)` imports."""
    match node:
        case ast.Call(func=ast.Name("require"), args=[ast.Constant(str(name)), *_]):
            return name
    return None


def postponed(node: ast.AST, child: ast.AST) -> bool:
    """Whether `child` does not run when `node` does at import."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return child in node.body
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def violations(package: Path) -> list[str]:
    """What breaks the rule in a package's source, one sentence each."""
    found = []
    for module, path in modules_of(package):
        if module.partition(".")[0] not in RANK:
            found.append(f"{module} is in no layer: give it a place in LAYERS")
            continue
        for statement in imports_of(module, path):
            if broken := broken_rule(statement):
                found.append(f"{statement} ({broken})")
    return found


def broken_rule(statement: Import) -> str | None:
    """Which rule an import breaks, if any."""
    part, target = statement.part, statement.target_part
    if target is None:
        return broken_torch_rule(statement)
    if not statement.relative:
        return "inside karat imports are relative"
    if target not in RANK:
        return "the package root is for users, not for its own modules"
    if target != part and RANK[target] >= RANK[part]:
        return f"{part} may import only what stands before it, and {target} does not"
    return None


def broken_torch_rule(statement: Import) -> str | None:
    if statement.target.partition(".")[0] not in ("torch", "torchvision", "timm", "lightly"):
        return None
    if statement.part in WITHOUT_TORCH:
        return f"{statement.part} knows no torch"
    if statement.eager and not f"{statement.module}.".startswith(tuple(f"{name}." for name in TORCH_AT_IMPORT)):
        return "torch is imported inside the functions that need it"
    return None


def write_package(folder: Path, sources: dict[str, str]) -> Path:
    """A made-up package: file -> source."""
    for name, source in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return folder


def test_each_part_imports_only_what_stands_before_it() -> None:
    assert violations(PACKAGE) == []


def test_no_part_stands_in_two_layers() -> None:
    assert len(RANK) == sum(map(len, LAYERS))


def test_allowed_imports_pass(tmp_path: Path) -> None:
    package = write_package(
        tmp_path,
        {
            "__init__.py": "from .cli import main",
            "cli/__init__.py": "from .. import store\nfrom . import score_verb\nfrom ..stats.qscore import q_score",
            "cli/score_verb.py": "import numpy\nfrom .tables import show\ndef run():\n    from ..scoring import score",
            "encoders/small_resnet.py": "import torch\nfrom torch import nn",
            "images.py": "if TYPE_CHECKING:\n    import torch\nelse:\n    import io\ndef decode():\n    import torch",
        },
    )
    assert violations(package) == []


@pytest.mark.parametrize(
    ("file", "source", "fault"),
    [
        ("stats/qscore.py", "from ..store import load", "stats.qscore, line 1: karat.store.load (stats may import"),
        ("embeddings.py", "\nfrom . import store", "embeddings, line 2: karat.store (embeddings may import"),
        ("store/__init__.py", "from ..records import Scores", "store, line 1: karat.records.Scores (store may import"),
        (
            "probing.py",
            "def f():\n    if 1:\n        from .cli import main",
            "probing, line 3: karat.cli.main (prob",
        ),
        ("runs.py", "if TYPE_CHECKING:\n    from .scoring import score", "runs, line 2: karat.scoring.score (runs may"),
        ("scoring.py", "import karat", "scoring, line 1: karat (inside karat imports are relative)"),
        ("scoring.py", "from karat.stats import q_score", "karat.stats.q_score (inside karat imports are relative)"),
        ("cli/verbs.py", "from .. import score", "cli.verbs, line 1: karat.score (the package root is for users"),
        ("helpers/text.py", "", "helpers.text is in no layer"),
        ("stats/qscore.py", "def f():\n    import torch.nn", "stats.qscore, line 2: torch.nn (stats knows no torch)"),
        ("stats/qscore.py", "require('torch', 'this')", "stats.qscore, line 1: torch (stats knows no torch)"),
        ("images.py", "class A:\n    from torch import nn", "images, line 2: torch.nn (torch is imported inside"),
        (
            "probing.py",
            "try:\n    import torch\nexcept ImportError:\n    pass",
            "probing, line 2: torch (torch is impo",
        ),
        (
            "encoders/encoder.py",
            "import torchvision",
            "encoders.encoder, line 1: torchvision (torch is imported",
        ),
    ],
)
def test_forbidden_import_is_found(tmp_path: Path, file: str, source: str, fault: str) -> None:
    (found,) = violations(write_package(tmp_path, {file: source}))
    assert fault in found

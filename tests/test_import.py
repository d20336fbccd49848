"""Importing karat is quick and loads nothing heavy; its public names are all there."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import karat

HEAVY = ("torch", "sklearn", "scipy", "numba", "ray", "jinja2", "altair", "pyarrow", "pandas", "PIL")
LIMIT = 0.150  # seconds

_TIMED_IMPORT = """
import sys
from time import perf_counter
before = perf_counter()
import karat
print(perf_counter() - before, *sorted(sys.modules))
"""


def import_in_a_new_process() -> tuple[float, set[str]]:
    """Seconds that `import karat` takes, and the modules that are loaded afterwards."""
    done = subprocess.run([sys.executable, "-c", _TIMED_IMPORT], capture_output=True, text=True, check=True)
    seconds, *modules = done.stdout.split()
    return float(seconds), set(modules)


def names_for_type_checkers() -> set[str]:
    """What karat/__init__.py imports or declares under `if TYPE_CHECKING`."""
    tree = ast.parse(Path(karat.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    imported = {name.name for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    return imported | {ast.unparse(node.target) for node in block.body if isinstance(node, ast.AnnAssign)}


def test_import_loads_no_heavy_library() -> None:
    _, modules = import_in_a_new_process()
    assert "karat" in modules
    assert modules.isdisjoint(HEAVY)


def test_import_takes_under_150_ms() -> None:
    assert min(import_in_a_new_process()[0] for _ in range(5)) < LIMIT


@pytest.mark.parametrize("name", karat.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(karat, name) is not None


def test_type_checkers_see_exactly_the_public_names() -> None:
    assert names_for_type_checkers() == set(karat.__all__)


def test_dir_lists_the_public_names() -> None:
    assert set(karat.__all__) <= set(dir(karat))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'scroe'"):
        _ = karat.scroe  # type: ignore[attr-defined]


def test_version_is_that_of_pyproject() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert karat.__version__ == pyproject["project"]["version"]

"""Importing is quick, loads only what is used, and goes down: no file knows of a layer above it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import minicnn
from tests.support.training import ROOT, python

# From the top; a file may import from its own line and from those below.
ORDER = (
    {"cli", "cli_data"},
    {"course"},
    {"train"},
    {"plots"},
    {"data", "weights"},
    {"models"},
    {"losses", "optim", "schedules"},
    {"layers"},
    {"init"},
    {"functional"},
    {"kernels"},
)
GROUND = {"errors", "backend"}
# What stands beside the order: the gradient checker needs the ground alone, the front door nothing.
ALONE: dict[str, set[str]] = {"gradcheck": set(), "__init__": set()}
NETWORK = {"urllib", "requests", "socket", "http", "ftplib", "httpx", "aiohttp"}
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def sources() -> list[Path]:
    return sorted([*(ROOT / "minicnn").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")])


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(path: Path) -> str:
    """The part of the house that a file belongs to: minicnn/data/idx.py -> data."""
    names = path.relative_to(ROOT).with_suffix("").parts
    return "kernels" if names[0] == "kernels" else names[1]


def imported_modules(path: Path, only_always: bool = False) -> Iterator[str]:
    """Every module that a file imports, wherever in it, but for those under TYPE_CHECKING.

    only_always: only those that are imported as soon as the file is.
    """

    def walk(node: ast.AST, module: list[str]) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for other in child.orelse:
                    yield from walk(other, module)
            elif isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                start = module[: len(module) - child.level] if child.level else []
                base = ".".join([*start, *(child.module.split(".") if child.module else [])])
                # `from minicnn import data` imports minicnn.data.
                yield from (f"{base}.{alias.name}" for alias in child.names)
            elif not (only_always and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))):
                yield from walk(child, module)

    names = path.relative_to(ROOT).with_suffix("").parts
    yield from walk(ast.parse(path.read_text(encoding="utf-8")), list(names))


def imported_parts(path: Path) -> set[str]:
    """The parts of minicnn that a file imports."""
    own = (name.split(".") for name in imported_modules(path) if name.split(".")[0] == "minicnn")
    return {names[1] for names in own if len(names) > 1 and not names[1].startswith("__")} - {"inference"}


@pytest.mark.parametrize("path", sources(), ids=relative)
def test_imports_only_go_down(path: Path) -> None:
    part, imported = part_of(path), imported_parts(path)
    if part in GROUND:
        allowed = GROUND
    elif part in ALONE:
        allowed = GROUND | {part} | ALONE[part]
    else:
        (level,) = (index for index, names in enumerate(ORDER) if part in names)
        allowed = GROUND.union(*ORDER[level:])
        if part in ("cli", "cli_data", "course"):
            allowed |= {"gradcheck"}
    assert imported <= allowed, f"{relative(path)} reaches up to {sorted(imported - allowed)}"


def test_the_order_knows_every_part_of_the_house() -> None:
    known = GROUND.union(ALONE, *ORDER)
    assert {part_of(path) for path in sources()} <= known


def test_the_walk_over_imports_sees_all_kinds() -> None:
    """What the test above rests on, tried on a file with every kind of import."""
    seen = set(imported_modules(ROOT / "minicnn" / "train" / "recipe.py"))
    assert {"minicnn.weights", "minicnn.errors.ConfigError", "math"} <= seen
    assert "minicnn.plots" in set(imported_modules(ROOT / "minicnn" / "train" / "results.py"))
    assert "minicnn" in set(imported_modules(ROOT / "minicnn" / "train" / "checkpoint.py"))
    callbacks = ROOT / "minicnn" / "train" / "callbacks.py"
    assert "minicnn.weights" in set(imported_modules(callbacks)), "inside a function"
    assert "minicnn.weights" not in set(imported_modules(callbacks, only_always=True))
    assert "minicnn.train.trainer.Trainer" not in set(imported_modules(callbacks)), "under TYPE_CHECKING"


@pytest.mark.parametrize("path", [path for path in sources() if part_of(path) == "gradcheck"], ids=relative)
def test_the_gradient_checker_needs_numpy_alone(path: Path) -> None:
    """At import; its adapters may look at what the caller already has."""
    outside = {name.split(".")[0] for name in imported_modules(path, only_always=True)}
    assert outside - set(sys.stdlib_module_names) <= {"numpy", "minicnn"}


@pytest.mark.parametrize("path", sources(), ids=relative)
def test_no_file_reads_code_or_the_network(path: Path) -> None:
    """Only minicnn/data/fetch.py may use the network, when there is one; nothing may unpickle."""
    roots = {name.split(".")[0] for name in imported_modules(path)}
    assert not roots & UNSAFE
    if relative(path) != "minicnn/data/fetch.py":
        assert not roots & NETWORK
    assert "allow_pickle=True" not in path.read_text(encoding="utf-8")


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after the code."""
    done = python(f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


class TestWhatIsLoaded:
    HEAVY = (
        "numpy",
        "numba",
        "matplotlib",
        "PIL",
        "scipy",
        "typer",
        "tqdm",
        "safetensors",
        "platformdirs",
        "cupy",
    )

    def test_minicnn_alone_loads_nothing(self) -> None:
        loaded = loaded_by("import minicnn")
        assert loaded.isdisjoint(self.HEAVY)
        assert [name for name in loaded if name.startswith("minicnn.")] == []

    def test_training_loads_no_figures_until_one_is_drawn(self) -> None:
        code = "import minicnn.train, minicnn.models, minicnn.data, minicnn.layers, minicnn.weights"
        assert loaded_by(code).isdisjoint({"matplotlib", "typer", "cupy", "scipy", "tqdm"})

    def test_evaluating_a_run_loads_no_figures(self) -> None:
        assert "matplotlib" not in loaded_by("import minicnn.train.finished")

    def test_figures_do_not_load_pyplot(self) -> None:
        assert "matplotlib.pyplot" not in loaded_by("import minicnn.plots")

    def test_importing_minicnn_takes_less_than_a_fifth_of_a_second(self) -> None:
        """The best of several, in fresh processes: what is measured is minicnn, not the machine's other work."""
        code = "import time; t = time.perf_counter(); import minicnn; print(time.perf_counter() - t)"
        assert min(float(python(code).stdout) for _ in range(5)) < 0.2


class TestFrontDoor:
    def test_every_part_is_reached_by_attribute(self) -> None:
        code = "import minicnn\nfor name in minicnn._SUBMODULES: assert getattr(minicnn, name).__name__ == 'minicnn.' + name"
        done = python(code)
        assert done.returncode == 0, done.stderr

    def test_the_notebooks_first_line(self) -> None:
        done = python(
            "from minicnn import data, layers, losses, models, optim, train, inference; print(inference.__name__)"
        )
        assert done.stdout.strip() == "inference", done.stderr

    def test_completion_knows_the_parts(self) -> None:
        assert {"data", "layers", "train", "inference", "__version__"} <= set(dir(minicnn))

    def test_every_folder_is_offered(self) -> None:
        folders = {path.parent.name for path in (ROOT / "minicnn").glob("*/__init__.py")}
        assert folders <= set(minicnn._SUBMODULES)

    def test_an_unknown_name(self) -> None:
        with pytest.raises(AttributeError, match="module 'minicnn' has no attribute 'lenet5'"):
            minicnn.lenet5  # noqa: B018

    def test_an_uninstalled_checkout_says_to_install(self) -> None:
        """kernels/ is found as minicnn.kernels only once minicnn is installed."""
        # -S: without site-packages, where the installed minicnn would be found.
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import minicnn; minicnn.kernels"
        done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert "pip install -e ." in done.stderr

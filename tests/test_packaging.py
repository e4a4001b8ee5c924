"""What pip installs: everything that is needed, under the right names, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import minicnn
from tests.support.training import ROOT

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def folders_with_code() -> set[str]:
    """Every package of the source tree, by the name it is imported under."""
    own = {path.parent.relative_to(ROOT) for path in (ROOT / "minicnn").rglob("__init__.py")}
    kernels = {path.parent.relative_to(ROOT) for path in (ROOT / "kernels").rglob("__init__.py")}
    return {".".join(folder.parts) for folder in own} | {".".join(("minicnn", *f.parts)) for f in kernels}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: what an earlier build left in the checkout cannot slip in, and nothing is left there."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("minicnn", "kernels"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.nb[ci]"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [
        *PIP,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        folder,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [*PIP, "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


class TestProject:
    def test_the_packages_are_those_of_the_source_tree(self) -> None:
        assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders_with_code()

    def test_the_version_is_one(self) -> None:
        assert PROJECT["project"]["version"] == minicnn.__version__

    def test_every_third_party_module_that_is_imported_is_a_dependency(self) -> None:
        """Under the name it is imported by; what belongs to an extra is imported where it is used."""
        from tests.test_imports import imported_modules, sources

        modules = {name.split(".")[0] for path in sources() for name in imported_modules(path)}
        needed = modules - set(sys.stdlib_module_names) - {"minicnn"}
        optional = {"cupy", "cupyx", "onnx", "mpi4py", "tensorboard", "IPython", "torch"}
        given = {line.split(">")[0].split("=")[0] for line in PROJECT["project"]["dependencies"]}
        assert {{"PIL": "pillow"}.get(name, name) for name in needed - optional} <= given


class TestWheel:
    def test_it_holds_every_module(self, names: set[str]) -> None:
        expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "minicnn").rglob("*.py")}
        expected |= {
            f"minicnn/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "kernels").rglob("*.py")
        }
        assert {name for name in names if name.endswith(".py")} == expected

    def test_it_holds_every_kernel_source(self, names: set[str]) -> None:
        sources = {
            f"minicnn/{path.relative_to(ROOT).as_posix()}"
            for path in (ROOT / "kernels").rglob("*")
            if path.suffix in (".cu", ".cuh", ".h")
        }
        assert sources <= names

    def test_it_holds_the_data_and_their_licence(self, names: set[str]) -> None:
        data = {
            path.name for path in (ROOT / "minicnn" / "data").iterdir() if path.suffix in (".npz", ".LICENSE")
        }
        assert {Path(name).suffix for name in data} == {".npz", ".LICENSE"}
        assert {f"minicnn/data/{name}" for name in data} <= names

    def test_it_is_typed_and_licensed(self, names: set[str], wheel: Path) -> None:
        assert "minicnn/py.typed" in names
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        licence = metadata.replace("METADATA", "licenses/LICENSE")
        with zipfile.ZipFile(wheel) as archive:
            fields = Parser().parsestr(archive.read(metadata).decode())
            assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        assert fields["License-Expression"] == "MIT"
        assert fields["Requires-Python"] == ">=3.11"
        assert "minicnn" in fields.get_payload(), "the README is the long description"

    def test_the_command_is_installed(self, names: set[str], wheel: Path) -> None:
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        with zipfile.ZipFile(wheel) as archive:
            assert "minicnn = minicnn.cli:main" in archive.read(entry_points).decode()

    def test_nothing_else_is_at_the_top(self, names: set[str]) -> None:
        """`kernels` is the import name of another project."""
        top = {name.split("/")[0] for name in names}
        assert top == {"minicnn", f"minicnn-{minicnn.__version__}.dist-info"}

    def test_it_is_small(self, wheel: Path) -> None:
        assert wheel.stat().st_size < 4_000_000


class TestInstalled:
    def run(self, installed: Path, code: str, cwd: Path) -> str:
        """In a process that finds minicnn in `installed` first, far from the checkout."""
        start = f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        done = subprocess.run(
            [sys.executable, "-c", start + code], cwd=cwd, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def test_every_package_is_imported_from_there(self, installed: Path, tmp_path: Path) -> None:
        code = (
            "import importlib\n"
            f"for name in {sorted(folders_with_code())!r}:\n"
            "    print(importlib.import_module(name).__file__)"
        )
        files = self.run(installed, code, tmp_path).splitlines()
        assert len(files) == len(folders_with_code())
        assert all(Path(file).is_relative_to(installed) for file in files)
        assert str(installed / "minicnn" / "kernels" / "__init__.py") in files

    def test_a_network_trains_on_the_embedded_data(self, installed: Path, tmp_path: Path) -> None:
        code = (
            "from minicnn import data, losses, models, optim, train\n"
            "bundle = data.load('fashion-mnist-mini')\n"
            "model = models.lenet5()\n"
            "trainer = train.Trainer(model, losses.CrossEntropyLoss(), optim.Adam(model))\n"
            "trainer.fit(bundle.train.subset(slice(64)), epochs=1)\n"
            "print(len(trainer.predict(bundle.test.subset(slice(3)))))"
        )
        assert self.run(installed, code, tmp_path) == "3"

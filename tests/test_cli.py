"""The `minicnn` command, as a newcomer types it: inside this process where that is enough, else as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from minicnn import cli
from minicnn.data import load
from minicnn.models import ARCHITECTURES
from tests.support.training import ROOT, trained_run, use_blank_figures, use_small_data

COMMAND = [sys.executable, "-m", "minicnn.cli"]


class Said(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def minicnn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Said]:
    """Runs the command as main() does, in an empty folder, with a terminal of 100 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def command(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["minicnn", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        return Said(status, *capsys.readouterr())

    return command


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to read only."""
    return trained_run(tmp_path_factory)


def assert_one_line(said: Said, *parts: str) -> None:
    """An error: status 1, nothing on stdout, one line on stderr without a traceback."""
    assert said.status == 1
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("error: ")
    for part in parts:
        assert part in said.err


class TestHelp:
    PAGES = (
        (),
        ("train",),
        ("evaluate",),
        ("predict",),
        ("models",),
        ("devices",),
        ("data",),
        ("data", "list"),
        ("weights",),
        ("weights", "show"),
        ("data", "info"),
        ("data", "fetch"),
        ("data", "import"),
    )

    @pytest.mark.parametrize("page", PAGES, ids=" ".join)
    def test_every_command_has_a_page(self, minicnn: Callable[..., Said], page: tuple[str, ...]) -> None:
        said = minicnn(*page, "--help")
        assert said.status == 0
        assert said.err == ""
        assert said.out.startswith(" ".join(["Usage: minicnn", *page]))
        assert "Error" not in said.out

    @pytest.mark.parametrize("page", [(), ("data",)], ids=["minicnn", "data"])
    def test_no_description_is_cut_off(self, minicnn: Callable[..., Said], page: tuple[str, ...]) -> None:
        """The list of commands shows whole sentences, not '...', in a terminal of any width."""
        text = minicnn(*page, "--help").out
        assert "..." not in text.split("Commands:")[1]

    def test_the_front_page_lists_every_command(self, minicnn: Callable[..., Said]) -> None:
        listed = minicnn("--help").out.split("Commands:")[1]
        assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == [
            "train",
            "evaluate",
            "predict",
            "models",
            "gradcheck",
            "doctor",
            "compare",
            "sweep",
            "warmup",
            "devices",
            "data",
            "weights",
        ]

    def test_every_option_of_train_is_explained_with_its_default(self, minicnn: Callable[..., Said]) -> None:
        text = " ".join(minicnn("train", "--help").out.split())
        for option, default in (
            ("--model", "lenet5"),
            ("--data", "fashion-mnist-mini"),
            ("--epochs", "15"),
            ("--batch-size", "64"),
            ("--lr", "the optimizer's own"),
            ("--optimizer", "adam"),
            ("--schedule", "one-cycle"),
            ("--weight-decay", "0.0"),
            ("--seed", "0"),
            ("--balance", "none"),
            ("--augment", "none"),
            ("--on-bad-file", "error"),
            ("--out", "runs/<time>-<model>"),
        ):
            # A word may be broken over two lines at its hyphen.
            pattern = (
                re.escape(option) + r" <\w+> \S[^[]*\[default: \(?" + re.escape(default).replace(r"\-", "- ?")
            )
            assert re.search(pattern, text), option
        assert "--quiet" in text
        assert "--data-dir" in text

    def test_the_defaults_are_those_of_the_recipe(self) -> None:
        import inspect

        from minicnn.train.recipe import Recipe

        parameters = inspect.signature(cli.train).parameters
        recipe = Recipe()
        for name, value in vars(recipe).items():
            if name in parameters:
                assert parameters[name].default == value, name
        assert set(vars(recipe)) - set(parameters) == {"validation"}

    def test_without_a_command_it_shows_the_front_page(self, minicnn: Callable[..., Said]) -> None:
        said = minicnn()
        assert said.status != 0
        assert "Commands:" in said.out + said.err

    def test_a_mistyped_command_gets_the_nearest(self, minicnn: Callable[..., Said]) -> None:
        said = minicnn("trian")
        assert said.status == 2
        assert "No such command 'trian'" in said.err
        assert "'train'" in said.err

    @pytest.mark.parametrize(
        "arguments",
        [("train", "--epochs", "two"), ("train", "--nope"), ("evaluate",), ("predict", "run")],
        ids=" ".join,
    )
    def test_wrong_usage_has_status_2_and_points_to_help(
        self, minicnn: Callable[..., Said], arguments: tuple[str, ...]
    ) -> None:
        said = minicnn(*arguments)
        assert said.status == 2
        assert f"Try 'minicnn {arguments[0]} --help' for help." in said.err
        assert "Traceback" not in said.err


class TestTrain:
    SHORT = ("--epochs", 1, "--batch-size", 64)

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        use_small_data(monkeypatch, train=200, test=40)
        use_blank_figures(monkeypatch)

    def test_it_prints_the_accuracy_and_where_to_look(
        self, minicnn: Callable[..., Said], tmp_path: Path
    ) -> None:
        said = minicnn("train", *self.SHORT, "--out", "mine", "--quiet")
        assert said.status == 0
        # On a machine whose kernels are not compiled yet, one line says that they are being compiled.
        assert [line for line in said.err.splitlines() if "compiling kernels" not in line] == []
        first, second = said.out.splitlines()
        accuracy = re.fullmatch(r"test accuracy: (\d+\.\d)%", first)
        assert accuracy
        results = json.loads((tmp_path / "mine" / "results.json").read_text())
        assert float(accuracy[1]) == pytest.approx(100 * results["test_accuracy"], abs=0.05)
        assert "in mine" in second
        assert "predictions.png" in second

    def test_progress_goes_to_stderr_and_the_folder_is_under_runs(
        self, minicnn: Callable[..., Said], tmp_path: Path
    ) -> None:
        said = minicnn("train", *self.SHORT)
        assert said.status == 0
        assert "epoch   1/1" in said.err
        assert len(said.out.splitlines()) == 2
        (folder,) = (tmp_path / "runs").iterdir()
        assert str(Path("runs") / folder.name) in said.out

    def test_every_option_reaches_the_run(self, minicnn: Callable[..., Said], tmp_path: Path) -> None:
        options = {
            "model": "lenet5",
            "data": "fashion-mnist-mini",
            "epochs": 2,
            "batch_size": 50,
            "lr": 0.03,
            "optimizer": "sgd",
            "schedule": "step",
            "weight_decay": 0.001,
            "seed": 7,
        }
        arguments = [
            part for name, value in options.items() for part in ("--" + name.replace("_", "-"), value)
        ]
        assert minicnn("train", *arguments, "--out", "mine", "--quiet").status == 0
        recipe = json.loads((tmp_path / "mine" / "config.json").read_text())["recipe"]
        assert {name: recipe[name] for name in options} == options

    def test_another_run_is_left_alone(self, minicnn: Callable[..., Said], trained: Path) -> None:
        before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
        said = minicnn("train", *self.SHORT, "--out", trained)
        assert_one_line(said, "holds another run: choose another --out")
        assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (("--model", "lenet"), "unknown model 'lenet': did you mean 'lenet5'?"),
            (("--data", "fashion_mnist"), "unknown data set 'fashion_mnist': did you mean 'fashion-mnist'?"),
            (("--optimizer", "Adams"), "unknown optimizer 'Adams': did you mean 'adam'?"),
            (("--schedule", "cos"), "unknown schedule 'cos': did you mean 'cosine'?"),
            (("--epochs", 0), "epochs must be at least 1, got 0"),
            (("--lr", -1), "lr must be positive, got -1.0"),
        ],
        ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
    )
    def test_a_mistake_is_answered_before_anything_is_made(
        self, minicnn: Callable[..., Said], tmp_path: Path, arguments: tuple[object, ...], answer: str
    ) -> None:
        assert_one_line(minicnn("train", "--out", "mine", *arguments), answer)
        assert list(tmp_path.iterdir()) == []

    def test_training_that_diverges_says_where_and_keeps_the_last_good_weights(
        self, minicnn: Callable[..., Said]
    ) -> None:
        said = minicnn("train", *self.SHORT, "--epochs", 3, "--optimizer", "sgd", "--lr", 1e30, "--quiet")
        assert (said.status, said.out) == (1, "")
        error, where, kept = said.err.splitlines()
        assert "training has diverged" in error
        assert "Lower the learning rate" in error
        assert "first seen at step" in where
        assert "last_good.safetensors" in kept


class TestEvaluate:
    def test_a_table_with_a_line_a_class(self, minicnn: Callable[..., Said], trained: Path) -> None:
        said = minicnn("evaluate", trained)
        assert said.status == 0
        assert said.err == ""
        lines = said.out.splitlines()
        assert lines[0].split() == ["class", "precision", "recall", "f1", "images"]
        assert len({len(line) for line in lines[:11]}) == 1, "columns stand under their headings"
        names = json.loads((trained / "config.json").read_text())["class_names"]
        assert [line[: len(name)] for line, name in zip(lines[1:11], names)] == names
        assert all(line.endswith("   100") for line in lines[1:11])
        results = json.loads((trained / "results.json").read_text())
        assert lines[-1] == (
            f"test accuracy: {results['test_accuracy']:.1%} on 1,000 images, loss {results['test_loss']:.3f}"
        )

    def test_json(self, minicnn: Callable[..., Said], trained: Path) -> None:
        said = minicnn("evaluate", trained, "--json")
        assert said.err == ""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        answer = json.loads(said.out, parse_constant=refuse)
        results = json.loads((trained / "results.json").read_text())
        assert answer["accuracy"] == results["test_accuracy"]
        assert answer["loss"] == results["test_loss"]
        assert answer["images"] == 1000
        assert len(answer["classes"]) == 10
        for entry in answer["classes"]:
            assert set(entry) == {"class", "precision", "recall", "f1", "support"}
            assert entry["support"] == 100
        assert np.mean([entry["recall"] for entry in answer["classes"]]) == pytest.approx(answer["accuracy"])

    def test_a_class_that_is_never_predicted_has_no_precision(
        self, minicnn: Callable[..., Said], trained: Path, tmp_path: Path
    ) -> None:
        """A dash in the table, null in JSON: nan is neither English nor JSON."""
        from minicnn import weights

        run = tmp_path / "biased"
        run.mkdir()
        (run / "config.json").write_bytes((trained / "config.json").read_bytes())
        state = weights.read(trained / "best.safetensors")
        state["fc3.bias"][0] += 1e6  # everything is a T-shirt
        from safetensors.numpy import save_file

        save_file(state, run / "best.safetensors")
        table = minicnn("evaluate", run).out
        assert "nan" not in table
        assert re.search(r"^Trouser +- +0\.0% +0\.0% +100$", table, re.MULTILINE)
        trouser = json.loads(minicnn("evaluate", run, "--json").out)["classes"][1]
        assert trouser == {"class": "Trouser", "precision": None, "recall": 0.0, "f1": 0.0, "support": 100}

    def test_no_such_run(self, minicnn: Callable[..., Said]) -> None:
        assert_one_line(minicnn("evaluate", "nowhere"), "there is no run folder nowhere")

    def test_an_unknown_data_set(self, minicnn: Callable[..., Said], trained: Path) -> None:
        assert_one_line(minicnn("evaluate", trained, "--data", "mnits"), "did you mean 'mnist'?")


class TestPredict:
    @pytest.fixture
    def picture(self, tmp_path: Path) -> Callable[..., Path]:
        """Writes the first test image in another size, mode and format."""

        def write(name: str, size: tuple[int, int] = (28, 28), mode: str = "L") -> Path:
            pixels = load("fashion-mnist-mini").test.images[0, 0]
            path = tmp_path / name
            Image.fromarray(pixels).resize(size).convert(mode).save(path)
            return path

        return write

    def test_class_and_probability_and_the_next_two(
        self, minicnn: Callable[..., Said], trained: Path, picture: Callable[..., Path]
    ) -> None:
        path = picture("a.png")
        said = minicnn("predict", trained, path)
        assert said.status == 0
        assert said.err == ""
        answer = re.fullmatch(
            re.escape(str(path)) + r": (.+) (\d+\.\d)%  \(then (.+) (\d+\.\d)%, (.+) (\d+\.\d)%\)\n", said.out
        )
        assert answer
        names = json.loads((trained / "config.json").read_text())["class_names"]
        assert {answer[1], answer[3], answer[5]} <= set(names)
        shares = [float(answer[k]) for k in (2, 4, 6)]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 100.1

    def test_any_size_and_kind_of_picture(
        self, minicnn: Callable[..., Said], trained: Path, picture: Callable[..., Path]
    ) -> None:
        paths = [
            picture("grey.png"),
            picture("rgb.png", mode="RGB"),
            picture("alpha.png", mode="RGBA"),
            picture("palette.png", mode="P"),
            picture("bits.png", mode="1"),
            picture("photo.jpg", size=(301, 97), mode="RGB"),
            picture("grey.jpeg", size=(29, 500)),
            picture("dot.png", size=(1, 1)),
        ]
        said = minicnn("predict", trained, *paths)
        assert said.status == 0, said.err
        lines = said.out.splitlines()
        assert [line.split(": ")[0] for line in lines] == [str(path) for path in paths]
        # The same picture in colour or with an opaque alpha channel is the same picture.
        answers = [line.split(": ")[1] for line in lines]
        assert answers[0] == answers[1] == answers[2]

    def test_a_broken_picture_among_good_ones(
        self, minicnn: Callable[..., Said], trained: Path, picture: Callable[..., Path], tmp_path: Path
    ) -> None:
        good, other = picture("a.png"), picture("b.png")
        broken, text, missing = (tmp_path / name for name in ("broken.png", "notes.png", "missing.png"))
        broken.write_bytes(good.read_bytes()[:100])
        text.write_text("not a picture")
        said = minicnn("predict", trained, good, broken, text, missing, other)
        assert said.status == 1
        assert [line.split(": ")[0] for line in said.out.splitlines()] == [str(good), str(other)]
        errors = said.err.splitlines()
        assert len(errors) == 3
        for line, path in zip(errors, (broken, text, missing)):
            assert line.startswith("error: ")
            assert str(path) in line

    def test_no_such_run(self, minicnn: Callable[..., Said], picture: Callable[..., Path]) -> None:
        assert_one_line(minicnn("predict", "nowhere", picture("a.png")), "there is no run folder nowhere")

    def test_a_run_without_weights(
        self, minicnn: Callable[..., Said], trained: Path, tmp_path: Path, picture: Callable[..., Path]
    ) -> None:
        (tmp_path / "begun").mkdir()
        (tmp_path / "begun" / "config.json").write_bytes((trained / "config.json").read_bytes())
        assert_one_line(minicnn("predict", "begun", picture("a.png")), "begun has no weights yet")


class TestLists:
    def test_models(self, minicnn: Callable[..., Said]) -> None:
        said = minicnn("models")
        assert said.status == 0
        rows = {line.split()[0]: line.split() for line in said.out.splitlines()}
        assert list(rows) == ["model", *ARCHITECTURES]
        assert rows["lenet5"][1:4] == ["1x28x28", "61,706", "416,520"]
        assert rows["convnet3"][1:3] == ["3x32x32", "620,362"]
        assert rows["resnet50"][1:4] == ["3x224x224", "25,557,032", "4,089,184,256"]

    def test_one_model_and_its_picture(self, minicnn: Callable[..., Said], tmp_path: Path) -> None:
        said = minicnn("models", "lenet5", "--draw", "lenet.png")
        assert said.status == 0
        assert "61,706 parameters" in said.out
        assert (tmp_path / "lenet.png").stat().st_size > 1000
        assert_one_line(minicnn("models", "lenet6"), "did you mean 'lenet5'?")

    def test_data_sets_say_where_they_are(self, minicnn: Callable[..., Said]) -> None:
        said = minicnn("data", "list")
        assert said.status == 0
        for part in (
            "fashion-mnist-mini\n",
            "5,000 training and 1,000 test images",
            "fashion_mnist_mini.npz",
            "mnist\n",
        ):
            assert part in said.out


class TestProcess:
    """What only a process of its own can show."""

    def test_the_installed_command_is_this_one(self, tmp_path: Path) -> None:
        command = Path(sys.executable).with_name("minicnn")
        done = subprocess.run([command, "models"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "61,706" in done.stdout

    def test_an_error_is_one_line_without_traceback(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [*COMMAND, "evaluate", "nowhere"], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert_one_line(Said(done.returncode, done.stdout, done.stderr), "there is no run folder nowhere")

    def test_a_failing_disk_is_one_line(
        self, minicnn: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from minicnn.train import run_folder

        def fail(*args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(run_folder, "write_whole", fail)
        assert_one_line(minicnn("train", "--out", "mine", "--quiet"), "No space left on device")

    def test_help_loads_nothing_heavy(self) -> None:
        code = (
            "import sys; sys.argv = ['minicnn', '--help']\n"
            "from minicnn.cli import main\n"
            "try: main()\nexcept SystemExit: pass\n"
            "print([m for m in ('numpy', 'matplotlib', 'numba', 'PIL') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr

    @pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to another process on Windows")
    def test_ctrl_c_stops_without_traceback_and_keeps_the_best_weights(
        self, tmp_path: Path, minicnn: Callable[..., Said]
    ) -> None:
        code = (
            "import sys, pytest, minicnn.cli; from tests.support.training import use_small_data\n"
            "use_small_data(pytest.MonkeyPatch(), train=200, test=40)\n"
            f"sys.argv = ['minicnn', 'train', '--epochs', '5000', '--out', {str(tmp_path / 'mine')!r}]\n"
            "minicnn.cli.main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("epoch   2/"):
            assert line, "the process ended before its second epoch"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out == ""
        assert "Traceback" not in err
        assert re.search(r"^stopped: .*mine keeps the weights of epoch \d+$", err, re.MULTILINE)
        said = minicnn("evaluate", tmp_path / "mine")
        assert said.status == 0
        assert "test accuracy:" in said.out

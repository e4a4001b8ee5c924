"""The command as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.said import Said, assert_one_line
from tests.support.training import ROOT

COMMAND = [sys.executable, "-m", "minicnn.cli"]


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

"""minicnn gradcheck FILE:NAME: a student's file in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minicnn.gradcheck.command import gradcheck_command

STUDENT = """
import numpy as np
print("loading")

class Scale:
    def __init__(self, features, wrong=False):
        self.w = np.linspace(1, 2, features)
        self.wrong = wrong
    def forward(self, x):
        self.x = x
        return x * self.w
    def backward(self, dy):
        self.dw = (dy * self.x).mean(axis=0) if self.wrong else (dy * self.x).sum(axis=0)
        return dy * self.w

class Stuck(Scale):
    def forward(self, x):
        while True:
            pass

class Noisy(Scale):
    def forward(self, x):
        import os
        return x * np.frombuffer(os.urandom(1), dtype=np.uint8)[0]

class Exits(Scale):
    def forward(self, x):
        import os
        os._exit(3)

ready = Scale(4)

def cube_forward(x):
    return x ** 3, x

def cube_backward(dy, x):
    return 3 * dy * x ** 2

def lonely(x):
    return x, x
"""


@pytest.fixture
def student(tmp_path: Path) -> str:
    path = tmp_path / "student.py"
    path.write_text(STUDENT)
    return str(path)


def test_a_right_layer_exits_with_0(student: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck_command(f"{student}:Scale", ["3,4"], "4") == 0
    printed = capsys.readouterr().out
    assert "Scale: PASS" in printed
    assert "the file printed:\nloading" in printed


def test_a_wrong_layer_exits_with_1_and_json_tells_why(
    student: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gradcheck_command(f"{student}:Scale", ["5,4"], "4, wrong=True", as_json=True) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "FAIL"
    assert "averaged over the batch" in result["causes"][0]


def test_objects_and_pairs_of_functions_can_be_named(student: str) -> None:
    assert gradcheck_command(f"{student}:ready", ["3,4"]) == 0
    assert gradcheck_command(f"{student}:cube_forward", ["3,4"]) == 0


def test_a_module_can_be_named() -> None:
    assert gradcheck_command("minicnn.layers:Conv2d", ["2,3,8,8"], "3, 4, kernel_size=3") == 0


@pytest.mark.parametrize(
    ("name", "shapes", "arguments", "words"),
    [
        ("Stuck", ["3,4"], "4", "did not finish within"),
        ("Noisy", ["3,4"], "4", "two forward passes on the same input"),
        ("Exits", ["3,4"], "4", "ended with status 3"),
        ("Scale", ["3,4"], "", "missing 1 required positional argument"),
        ("Scale", ["3,4"], "4; import os", "cannot be read"),
        ("Scale", ["3,4"], "__import__('os')", "cannot be read"),
        ("Scale", ["three"], "4", "is not a shape"),
        ("Scale", [], "4", "give the shape of the input"),
        ("Scael", ["3,4"], "4", "did you mean 'Scale'"),
        ("lonely", ["3,4"], "", "name its backward with --backward"),
    ],
)
def test_what_cannot_be_checked_exits_with_2_and_says_why(
    student: str, name: str, shapes: list[str], arguments: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = 2.0 if name == "Stuck" else 60.0
    assert gradcheck_command(f"{student}:{name}", shapes, arguments, time_limit=limit) == 2
    assert words in capsys.readouterr().out.replace("\n    ", " ")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere.py:Layer", "there is no file 'nowhere.py'"),
        ("student.py", "does not say what to check"),
        ("no.such.module:Layer", "cannot be imported"),
    ],
)
def test_a_target_that_is_not_there(target: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck_command(target, ["3,4"]) == 2
    assert words in capsys.readouterr().out

"""`minicnn gradcheck FILE_OR_MODULE:NAME`: check a student's layer from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from minicnn.errors import ConfigError

UNRESOLVED = 2


def gradcheck_command(
    target: str,
    input_shapes: list[str],
    arguments: str = "",
    as_json: bool = False,
    time_limit: float = 60.0,
    backward: str = "",
    seed: int = 0,
    dtype: str = "float64",
) -> int:
    """Check NAME of a file or module, print the report and return the exit status.

    target: "layers.py:Conv2d", or "my.module:Conv2d"; a class is built with the arguments, an object
    is taken as it is, and a function x_forward is paired with x_backward (or with `backward`).
    input_shapes: one or more shapes such as "2,3,8,8", the first that of x. arguments: as they
    would stand in the call, "3, 16, kernel_size=3". seed and dtype are those of the random input.

    The code runs in a process of its own, for at most time_limit seconds. Returns 0 for PASS, 1 for
    FAIL, 2 for UNRESOLVED, which includes a file that cannot be loaded or does not end in time.
    """
    try:
        job = {
            "target": _checked_target(target),
            "shapes": [list(parse_shape(shape)) for shape in input_shapes],
            "arguments": arguments,
            "backward": backward,
            "seed": seed,
            "dtype": _checked_dtype(dtype),
        }
        if not input_shapes:
            raise ConfigError("give the shape of the input: --input 2,3,8,8 (repeat it for more arrays)")
    except ConfigError as error:
        return _show({"verdict": "UNRESOLVED", "error": str(error)}, as_json)
    return _show(run_job(job, time_limit), as_json)


def parse_shape(text: str) -> tuple[int, ...]:
    """ "2,3,8,8" or "2x3x8x8" -> (2, 3, 8, 8). Raises ConfigError otherwise."""
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(",") if part.strip())
    except ValueError:
        shape = (-1,)
    if any(size < 0 for size in shape):
        raise ConfigError(f"{text!r} is not a shape: write the sizes with commas, such as --input 2,3,8,8")
    return shape


def run_job(job: dict[str, Any], time_limit: float) -> dict[str, Any]:
    """The result of minicnn.gradcheck.run_file on the job, as a dictionary; errors under "error"."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        process = subprocess.Popen(
            [sys.executable, "-m", "minicnn.gradcheck.run_file", json.dumps(job), str(answer)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that whatever the file starts can be ended with it
        )
        try:
            printed, _ = process.communicate(timeout=time_limit)
        except subprocess.TimeoutExpired:
            _end(process)
            text = (
                f"{job['target']} did not finish within {time_limit:g} seconds: look for an endless loop, use a smaller "
                "input, or raise --time-limit"
            )
            return {"verdict": "UNRESOLVED", "error": text}
        finally:
            _end(process)
        if not answer.exists():
            text = f"the process ended with status {process.returncode} before the check was done"
            return {"verdict": "UNRESOLVED", "error": text, "printed": printed[-2000:]}
        result: dict[str, Any] = json.loads(answer.read_text())
    return {**result, "printed": printed[-2000:]}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.communicate()


def _checked_target(target: str) -> str:
    if ":" not in target or not target.rpartition(":")[2].isidentifier():
        raise ConfigError(
            f"{target!r} does not say what to check: write FILE:NAME or MODULE:NAME, such as layers.py:Conv2d"
        )
    path = target.rpartition(":")[0]
    if path.endswith(".py") and not Path(path).is_file():
        raise ConfigError(
            f"there is no file {path!r}: give its path from the folder you are in ({Path.cwd()})"
        )
    return target


def _checked_dtype(dtype: str) -> str:
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"unknown dtype {dtype!r}: float32 or float64")
    return dtype


def _show(result: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        if result.get("printed"):
            print(f"the file printed:\n{result['printed'].rstrip()}\n")
        print(result.get("text") or f"UNRESOLVED: {result.get('error', 'no result')}")
    return {"PASS": 0, "FAIL": 1}.get(result["verdict"], UNRESOLVED)

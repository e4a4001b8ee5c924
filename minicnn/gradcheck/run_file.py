"""Loads a student's file and checks one thing in it; run as a process of its own by command.py.

    python -m minicnn.gradcheck.run_file JOB ANSWER

JOB is a JSON object; the result is written as JSON to the file ANSWER, so that whatever the
student's code prints cannot be mistaken for it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import ConfigError, nearest
from minicnn.gradcheck.function import check_function
from minicnn.gradcheck.layer import check_layer
from minicnn.gradcheck.report import Report


def main(job_text: str, answer: str) -> None:
    job = json.loads(job_text)
    try:
        report = check_target(job)
        result = {**report.to_dict(), "text": str(report)}
    except ConfigError as error:
        result = {"verdict": "UNRESOLVED", "error": str(error)}
    except BaseException as error:
        where = traceback.format_exc(limit=-3)
        text = f"{job['target']} could not be checked: {type(error).__name__}: {error}"
        result = {"verdict": "UNRESOLVED", "error": text, "traceback": where}
    Path(answer).write_text(json.dumps(result))


def check_target(job: dict[str, Any]) -> Report:
    """Load the target and check it as what it is: a class, an object, or a pair of functions."""
    location, _, name = job["target"].rpartition(":")
    module = load(location)
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise ConfigError(f"{location} has no {name!r}: {nearest(name, public)}")
    thing = getattr(module, name)
    rng = np.random.default_rng(job["seed"])
    arrays = [rng.standard_normal(tuple(shape)).astype(job["dtype"]) for shape in job["shapes"]]
    positional, keywords = parse_arguments(job["arguments"])
    if isinstance(thing, type):
        thing = thing(*positional, **keywords)
    if hasattr(thing, "forward") and hasattr(thing, "backward"):
        return check_layer(thing, arrays[0], rng=job["seed"])
    return check_function(
        thing, _backward_of(module, name, job["backward"]), *arrays, *positional, rng=job["seed"], **keywords
    )


def load(location: str) -> Any:
    """The module in a file, or the one of that dotted name."""
    if not location.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(location)
        except ImportError as error:
            raise ConfigError(
                f"{location!r} cannot be imported ({error}); a file's name ends in .py"
            ) from error
    path = Path(location).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{location!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # so that the file can import its neighbours
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def parse_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """ "3, 16, kernel_size=3" -> ([3, 16], {"kernel_size": 3}). Only literals: nothing is run."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call)
        positional = [ast.literal_eval(node) for node in call.args]
        keywords = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"--args {text!r} cannot be read: write arguments as in a call, such as --args '3, 16, kernel_size=3'; "
            "numbers, strings, tuples, lists, dictionaries, True, False and None only"
        ) from error
    return positional, keywords


def _backward_of(module: Any, name: str, given: str) -> Any:
    guess = given or (name.replace("forward", "backward") if "forward" in name else f"{name}_backward")
    if not hasattr(module, guess):
        raise ConfigError(
            f"{name} is neither a layer (with forward and backward) nor a function with a {guess} beside it: "
            "name its backward with --backward"
        )
    return getattr(module, guess)


if __name__ == "__main__":
    main(*sys.argv[1:3])

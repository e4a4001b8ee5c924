"""The folder that a training run leaves: what was asked, what came out, and the network itself.

config.json          the settings, the model, the preprocessing, the class names, versions
metrics.csv          one line an epoch
metrics.jsonl        the same and a line every few batches, to read by a program
best.safetensors     the weights of the best epoch
bad_files.csv        files of the data that could not be used, if there were any
checkpoints/         the whole state of the training, from which it can go on: see checkpoint_files.py
results.json         the figures on the test set; written last, so a folder that has it is finished
report.html          all of it to look at
*.png                learning curves, confusion matrix, predictions
"""

from __future__ import annotations

import json
import time
from os import PathLike
from pathlib import Path
from typing import Any

from minicnn.errors import RunError
from minicnn.weights.files import write_whole

FORMAT = 1  # of config.json: raised when an older minicnn could not read it


class RunFolder:
    """Paths and files of one run."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.metrics_file = self.path / "metrics.csv"
        self.weights_file = self.path / "best.safetensors"
        self.bad_files_file = self.path / "bad_files.csv"
        self.results_file = self.path / "results.json"
        self.json_lines_file = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.report_file = self.path / "report.html"

    @classmethod
    def create(cls, out: str | PathLike[str] | None, model: str) -> RunFolder:
        """A new, empty folder: `out`, or runs/<time>-<model>.

        Raises RunError when `out` holds another run or any other file: nothing is overwritten.
        """
        if out is None:
            return cls(new_default_folder(model))
        folder = cls(out)
        if folder.config_file.exists():
            raise RunError(
                f"{folder.path} holds another run: choose another --out, or leave it out "
                "and every run gets a folder of its own under runs/; to go on with that one: "
                f"minicnn train --resume {folder.path}"
            )
        if folder.path.exists() and not (folder.path.is_dir() and _is_unused(folder.path)):
            raise RunError(f"{folder.path} exists and is not an empty folder: choose another --out")
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the run folder {folder.path}: {error}") from error
        return folder

    @property
    def finished(self) -> bool:
        """Whether its training is over and tested."""
        return self.results_file.exists()

    def read_results(self) -> dict[str, Any]:
        """What a finished run came to. Raises RunError when the file is missing or damaged."""
        try:
            results = json.loads(self.results_file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunError(
                f"{self.path} has no results yet: go on with it by minicnn train --resume {self.path}"
            ) from error
        except (OSError, ValueError) as error:
            raise RunError(f"{self.results_file} is damaged: {error}") from error
        if not isinstance(results, dict):
            raise RunError(f"{self.results_file} does not hold the results of a run")
        return results

    def write_config(self, config: dict[str, Any]) -> None:
        write_whole(self.config_file, _to_json({"format": FORMAT, **config}))

    def write_results(self, results: dict[str, Any]) -> None:
        write_whole(self.results_file, _to_json(results))

    def read_config(self) -> dict[str, Any]:
        """The settings of a finished run. Raises RunError when this is not a run folder."""
        if not self.path.is_dir():
            raise RunError(
                f"there is no run folder {self.path}: train one with minicnn train --out {self.path}"
            )
        try:
            config = json.loads(self.config_file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunError(f"{self.path} is not a run folder: it has no config.json") from error
        except (OSError, ValueError) as error:
            raise RunError(f"{self.config_file} is damaged: {error}") from error
        if not isinstance(config, dict) or not isinstance(config.get("format"), int):
            raise RunError(f"{self.config_file} is not the configuration of a run")
        if config["format"] > FORMAT:
            raise RunError(
                f"{self.config_file} was written by a newer minicnn (format {config['format']}, this one reads "
                f"up to {FORMAT}): update minicnn"
            )
        return config


def _is_unused(path: Path) -> bool:
    """Empty, or left by a run that was killed before it wrote its settings."""
    return all(each.name == ".lock" or each.name.startswith(".config.json.") for each in path.iterdir())


def new_default_folder(model: str) -> Path:
    """A new folder runs/<time>-<model>."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        path = Path("runs") / f"{stamp}-{model}{'' if attempt == 1 else f'-{attempt}'}"
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue  # another run began in the same second
        except OSError as error:
            raise RunError(
                f"cannot make the run folder {path}: {error}; choose another place with --out"
            ) from error
    raise RunError(f"cannot find a free name like runs/{stamp}-{model}")


def _to_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

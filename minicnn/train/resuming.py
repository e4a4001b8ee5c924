"""Going on from the newest checkpoint that can be trusted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.errors import CheckpointError
from minicnn.train.checkpoint import Checkpoint, made_by
from minicnn.train.checkpoint_files import (
    DamagedCheckpoint,
    checkpoints_in,
    clean_up,
    read_checkpoint,
    set_aside,
)
from minicnn.train.state import from_json, put_state

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


def load_newest(trainer: Trainer, folder: str | PathLike[str]) -> Path | None:
    """Put the newest whole checkpoint of the folder into the trainer; None, and nothing done, without any.

    A damaged one is set aside and said so on stderr, and the one before it is taken: training repeats
    what lies between them, with the same result. Raises CheckpointError when all are damaged, or when the
    newest was written by a newer minicnn or belongs to another training; nothing is changed then.
    """
    folder = Path(folder)
    clean_up(folder)
    found = checkpoints_in(folder)
    damaged: list[tuple[Path, DamagedCheckpoint]] = []
    for path in found:
        try:
            files = read_checkpoint(path)
            about = from_json(files["run.json"])
            break
        except DamagedCheckpoint as error:
            damaged.append((path, error))
    else:
        if damaged:
            raise CheckpointError(
                f"none of the {len(damaged)} checkpoints in {folder} is whole: {damaged[0][1]}. Nothing was changed; "
                "to begin anew, train into another folder"
            )
        return None
    _check_identity(trainer, path, about["identity"])
    put_state(trainer, files)
    for broken, why in damaged:
        _say(f"{why}; it was set aside as {set_aside(broken).name}")
    if damaged:
        _say(f"going on from the checkpoint before, {path.name}")
    for what, now in made_by().items():
        if about["made_by"].get(what) != now:
            _say(
                f"the checkpoint was written with {what} {about['made_by'].get(what)}, this is {now}: the last bits "
                "of the weights may differ from an uninterrupted run's"
            )
    return path


def _check_identity(trainer: Trainer, path: Path, saved: Mapping[str, Any] | None) -> None:
    for callback in trainer.callbacks:
        if isinstance(callback, Checkpoint) and callback.identity is not None and saved is not None:
            ours = callback.identity
            different = [
                f"{name} {saved[name]!r} instead of {ours[name]!r}"
                for name in sorted(saved.keys() & ours.keys())  # a later minicnn may know more settings
                if saved[name] != ours[name]
            ]
            if different:
                raise CheckpointError(
                    f"{path} is the checkpoint of another training: it has {', '.join(different)}. Nothing was changed"
                )


def _say(message: str) -> None:
    print(f"note: {message}", file=sys.stderr)

"""The whole state of a training: out of a trainer, into a trainer.

Parameters, buffers, the optimizer, the schedule, where the loader stands, what every random layer and
loader draws next, which parameters are frozen, the history, and what callbacks remember. Two trainers
with the same state, data and settings end with the same bits.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.backend import Array, to_numpy
from minicnn.errors import CheckpointError, MinicnnError
from minicnn.train.history import EpochRecord, History

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer

# The trainer's own attributes that a checkpoint stores.
STANDING = (
    "epoch",
    "begun_at",
    "step",
    "mid_epoch",
    "epoch_batches",
    "batch_size",
    "batch_lr",
    "seconds",
    "stop",
)


def take_state(trainer: Trainer) -> dict[str, bytes]:
    """The state as files, by name: see train/checkpoint_files.py."""
    from safetensors.numpy import save as to_bytes

    arrays: dict[str, Array] = {}
    optimizer = dict(trainer.optimizer.state_dict())
    arrays |= _prefixed("optimizer", optimizer.pop("arrays"))
    callbacks = {}
    for name, callback in _named_callbacks(trainer):
        own = dict(getattr(callback, "state_dict", dict)())
        arrays |= _prefixed(name, own.pop("arrays", {}))
        callbacks[name] = own
    state = {
        "trainer": {name: getattr(trainer, name) for name in STANDING},
        "loss": trainer.batch_loss,
        "sums": trainer.sums.state_dict(),
        "history": [record.to_dict() for record in trainer.history],
        "optimizer": optimizer,
        "schedule": None if trainer.schedule is None else trainer.schedule.state_dict(),
        "training": trainer.data_state(),
        "validation": _source_state(trainer.validation),
        "random_layers": _random_states(trainer.model),
        "frozen": [name for name, parameter in trainer.model.named_parameters() if parameter.frozen],
        "callbacks": callbacks,
    }
    model = {name: to_numpy(array) for name, array in trainer.model.state_dict().items()}
    return {
        "model.safetensors": to_bytes(model),
        "training.safetensors": to_bytes({name: to_numpy(array) for name, array in arrays.items()}),
        "state.json": to_json(state),
    }


def put_state(trainer: Trainer, files: Mapping[str, bytes]) -> None:
    """Let the trainer go on from a state, in place.

    Raises CheckpointError when the state is another model's, optimizer's, schedule's or data's; the model
    is then as it was.
    """
    from safetensors.numpy import load as from_bytes

    state = from_json(files["state.json"])
    arrays = from_bytes(files["training.safetensors"])
    before = trainer.model.state_dict()
    try:
        trainer.model.load_state_dict(from_bytes(files["model.safetensors"]))
        if (trainer.schedule is None) != (state["schedule"] is None):
            raise CheckpointError("only one of the two has a schedule")
        if trainer.schedule is not None:
            trainer.schedule.load_state_dict(state["schedule"])
        # After the schedule, which writes its own values: a callback may have changed them since.
        trainer.optimizer.load_state_dict(state["optimizer"] | {"arrays": _without("optimizer", arrays)})
        _load_source(trainer.batches, state["training"])
        _load_source(trainer.validation, state["validation"])
        _load_random_states(trainer.model, state["random_layers"])
    except MinicnnError as error:
        trainer.model.load_state_dict(before)
        raise CheckpointError(
            f"the checkpoint is not one of this training: {error}. Make the model, the optimizer, the schedule "
            "and the loader as they were"
        ) from error
    for name, parameter in trainer.model.named_parameters():
        parameter.frozen = name in state["frozen"]
    for name, callback in _named_callbacks(trainer):
        if name in state["callbacks"] and hasattr(callback, "load_state_dict"):
            callback.load_state_dict(state["callbacks"][name] | {"arrays": _without(name, arrays)})
    for name in STANDING:
        setattr(trainer, name, state["trainer"][name])
    trainer.loss_value = state["loss"]
    trainer.sums.load_state_dict(state["sums"])
    trainer.history = History(EpochRecord(**record) for record in state["history"])


# ---- JSON, with the numbers that JSON lacks


def to_json(content: Any) -> bytes:
    """JSON in which every float comes back to the last bit, nan and infinities included."""
    return (json.dumps(_encode(content), indent=1, allow_nan=False) + "\n").encode()


def from_json(content: bytes) -> Any:
    return json.loads(content, object_hook=lambda d: float(d["float"]) if d.keys() == {"float"} else d)


def _encode(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        return {str(key): _encode(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(part) for part in value]
    return value


# ---- parts


def _named_callbacks(trainer: Trainer) -> Iterator[tuple[str, Any]]:
    """(name, callback): its class, numbered where there are several of a class."""
    seen: Counter[str] = Counter()
    for callback in trainer.callbacks:
        kind = type(callback).__name__
        seen[kind] += 1
        yield (kind if seen[kind] == 1 else f"{kind}-{seen[kind]}"), callback


def _prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def _without(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    start = f"{prefix}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _source_state(source: Any) -> Any:
    return source.state_dict() if hasattr(source, "state_dict") else None


def _load_source(source: Any, state: Any) -> None:
    if state is not None and hasattr(source, "load_state_dict"):
        source.load_state_dict(state)


def _random_states(model: Any) -> dict[str, dict[str, Any]]:
    """What the layers that draw (dropout) draw next, by layer name."""
    return {
        name: layer.random_state() for name, layer in model.named_layers() if hasattr(layer, "random_state")
    }


def _load_random_states(model: Any, states: Mapping[str, Any]) -> None:
    layers = {name: layer for name, layer in model.named_layers() if hasattr(layer, "random_state")}
    if layers.keys() != states.keys():
        raise CheckpointError(
            f"its layers that draw random numbers are {', '.join(states) or 'none'}, "
            f"this model's {', '.join(layers) or 'none'}"
        )
    for name, layer in layers.items():
        layer.load_random_state(states[name])

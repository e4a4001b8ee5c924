"""What an optimizer remembers of each parameter, and reading it back from a state dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minicnn.backend import Array, device_of, get_xp, to_device
from minicnn.errors import WeightsError
from minicnn.optim.options import plain

State = dict[str, Any]  # of one parameter: "step" and the arrays of the rule


def remembered(state: State, slot: str, value: Array, start: float = 0.0) -> Array:
    """The array that the rule keeps under this name, made at its first use."""
    if slot not in state:
        state[slot] = get_xp(value).full_like(value, start)
    return state[slot]


def read_options(
    state_dict: Mapping[str, Any], groups: list[dict[str, Any]], defaults: dict[str, Any]
) -> list[dict[str, Any]]:
    """The saved options of each group; WeightsError if it has other parameters or other options."""
    saved_groups = state_dict.get("groups", [])
    if len(saved_groups) != len(groups):
        raise WeightsError(f"it has {len(saved_groups)} groups of parameters instead of {len(groups)}")
    for index, (saved, group) in enumerate(zip(saved_groups, groups)):
        _same_names(f"parameters of group {index}", saved.get("params", []), group["names"])
        _same_names(f"options of group {index}", set(saved) - {"params"}, defaults)
    return [{option: plain(saved[option]) for option in defaults} for saved in saved_groups]


def _same_names(what: str, saved: Iterable[str], ours: Iterable[str]) -> None:
    for title, names in (("unexpected", set(saved) - set(ours)), ("missing", set(ours) - set(saved))):
        if names:
            raise WeightsError(f"{title} {what}: {', '.join(sorted(names)[:8])}")


def read_state(
    state_dict: Mapping[str, Any],
    values: Mapping[str, Array],
    always: tuple[str, ...],
    sometimes: tuple[str, ...],
) -> dict[str, State]:
    """State by parameter name, its arrays copied to the dtype and the device of the parameter."""
    steps, arrays = state_dict.get("steps", {}), state_dict.get("arrays", {})
    needed = {f"{name}.{slot}" for name in steps for slot in always}
    welcome = {f"{name}.{slot}" for name in steps for slot in always + sometimes}
    _same_names("parameters with a step", set(steps) - set(values), ())
    _same_names("arrays", set(arrays) - welcome, ())
    _same_names("arrays", (), needed - set(arrays))
    state: dict[str, State] = {name: {"step": int(step)} for name, step in steps.items()}
    for key, array in arrays.items():
        name, _, slot = key.rpartition(".")
        value = values[name]
        if tuple(array.shape) != value.shape:
            raise WeightsError(f"array {key} has shape {tuple(array.shape)}, its parameter {value.shape}")
        state[name][slot] = to_device(array, device_of(value)).astype(value.dtype, order="C", copy=True)
    return state

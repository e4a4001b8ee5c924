"""The forms in which parameters are given to an optimizer, made into groups with names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from minicnn.errors import ConfigError, DTypeError, nearest
from minicnn.layers.base import Layer, Parameter
from minicnn.optim.options import plain

# A layer, Parameters, (name, Parameter) pairs, or a list of groups {"params": one of these, "lr": 0.1, ...}.
Params = Layer | Iterable[Any]


def make_groups(who: str, params: Params, defaults: dict[str, Any]) -> list[dict[str, Any]]:
    """Groups with names, from any form in which parameters can be given."""
    given = [params] if isinstance(params, Layer) else _as_list(who, params)
    if not any(isinstance(item, Mapping) for item in given):
        given = [{"params": params if isinstance(params, Layer) else given}]
    groups = [_make_group(who, group, defaults) for group in given]
    _complete_names(groups)
    _refuse_duplicates(who, groups)
    return groups


def _make_group(who: str, given: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping) or "params" not in given:
        raise ConfigError(f'{who}: a group is a dict {{"params": ..., "lr": ...}}, got {given!r}')
    options = {name: plain(value) for name, value in given.items() if name != "params"}
    for name in options:
        if name not in defaults:
            raise ConfigError(f"{who} has no option {name!r}: {nearest(str(name), defaults)}")
    params = given["params"]
    pairs: list[tuple[str | None, Parameter]]
    if isinstance(params, Layer):
        pairs = list(params.named_parameters())
    else:
        pairs = [_named(who, item) for item in _as_list(who, params)]
    if not pairs:
        raise ConfigError(
            f"{who} got no parameters to train: pass a layer that has some, or a list of Parameters "
            "(a generator can be read only once)"
        )
    for name, parameter in pairs:
        if parameter.dtype.kind != "f":
            raise DTypeError(
                f"{who} trains floating-point parameters, but {name or parameter!r} is {parameter.dtype}"
            )
    return {
        "params": [parameter for _, parameter in pairs],
        "names": [name for name, _ in pairs],
        **defaults,
        **options,
    }


def _as_list(who: str, params: Any) -> list[Any]:
    if isinstance(params, Parameter):
        return [params]
    if isinstance(params, Mapping):
        raise ConfigError(
            f"{who} got a dict: a group must stand in a list, [{{...}}]; named parameters are pairs, as from "
            "layer.named_parameters()"
        )
    try:
        return list(params)
    except TypeError:
        raise ConfigError(
            f"{who} expects a layer, Parameters or a list of groups, got {type(params).__name__}"
        ) from None


def _named(who: str, item: Any) -> tuple[str | None, Parameter]:
    """A Parameter, or a pair of its name and itself, as a pair."""
    name, parameter = item if isinstance(item, tuple) and len(item) == 2 else (None, item)
    if not isinstance(parameter, Parameter):
        raise ConfigError(
            f"{who} expects Parameters, got {type(parameter).__name__}: pass the layer itself or layer.parameters()"
        )
    return name, parameter


def _complete_names(groups: list[dict[str, Any]]) -> None:
    """Number the parameters that have no name, and tell groups apart that use one name twice."""
    names = [name for group in groups for name in group["names"] if name is not None]
    prefix = "group{}." if len(set(names)) < len(names) else ""
    number = 0
    for index, group in enumerate(groups):
        for place, name in enumerate(group["names"]):
            group["names"][place] = str(number) if name is None else prefix.format(index) + name
            number += 1


def _refuse_duplicates(who: str, groups: list[dict[str, Any]]) -> None:
    names: dict[int, str] = {}
    for group in groups:
        for name, parameter in zip(group["names"], group["params"]):
            if id(parameter) in names:
                raise ConfigError(
                    f"{who}: parameter {name!r} of shape {parameter.shape} was given twice (first as "
                    f"{names[id(parameter)]!r}): each parameter belongs to one group, once"
                )
            names[id(parameter)] = name
    for name, count in Counter(names.values()).items():
        if count > 1:
            raise ConfigError(f"{who}: {count} parameters of one group are all named {name!r}")

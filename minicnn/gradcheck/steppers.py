"""How the optimizers of various styles are driven, step by step, with given gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.backend import to_device, to_numpy
from minicnn.errors import ConfigError
from minicnn.gradcheck.report import Finding
from minicnn.gradcheck.rules import DEFAULTS


class ObjectStepper:
    """An object with step(), driven as a copy together with its parameters."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = copy.deepcopy(optimizer)
        self.parameters = list(_parameters(self.optimizer))
        if not self.parameters:
            raise ConfigError(
                f"no parameters were found in {optimizer!r}: the check looks in its groups, param_groups, params and "
                "parameters for objects with value (or data) and grad"
            )
        self.sources = [source for _, source in self.parameters]
        self.names = [f"parameter {i}" for i in range(len(self.parameters))]
        self.start = [_value(parameter).copy() for parameter, _ in self.parameters]
        self.findings: list[Finding] = []

    def run(self, gradients: list[list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
        for step in gradients:
            if callable(getattr(self.optimizer, "zero_grad", None)):
                self.optimizer.zero_grad()
            given = []
            for (parameter, _), gradient in zip(self.parameters, step):
                given.append(gradient.astype(_value(parameter).dtype))
                _set_grad(parameter, given[-1].copy())
            self.optimizer.step()
            for i, ((parameter, _), gradient) in enumerate(zip(self.parameters, given)):
                now = to_numpy(parameter.grad)
                if now is not None and not np.array_equal(now, gradient) and not self.findings:
                    self.findings.append(
                        Finding(
                            "gradient changed",
                            f"step() changed the gradient of {self.names[i]} in place: work on a copy",
                        )
                    )
            yield [_value(parameter).copy() for parameter, _ in self.parameters]


class FunctionStepper:
    """A function (w, dw, config) -> (w, config)."""

    def __init__(
        self, function: Callable[..., Any], rule: str, settings: dict[str, Any], rng: np.random.Generator
    ) -> None:
        self.function = function
        self.start = [rng.standard_normal(23)]
        self.names = ["w"]
        self.sources: list[Any] = [settings]
        self.findings: list[Finding] = []
        known = {**DEFAULTS[rule], **settings}
        self.config: dict[str, Any] = dict(known, learning_rate=known["lr"], epsilon=known.get("eps", 0.0))
        self.config["decay_rate"] = known.get("alpha", 0.0)
        self.config["beta1"], self.config["beta2"] = known.get("betas", (0.0, 0.0))

    def run(self, gradients: list[list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
        w, config = self.start[0].copy(), dict(self.config)
        for step in gradients:
            w, config = self.function(w, step[0].copy(), config)
            yield [np.array(w)]


def _parameters(optimizer: Any) -> Iterator[tuple[Any, Any]]:
    """(parameter, where its settings stand) of all parameters."""
    groups = next(
        (
            getattr(optimizer, n)
            for n in ("groups", "param_groups")
            if isinstance(getattr(optimizer, n, None), list)
        ),
        None,
    )
    if groups is not None:
        for group in groups:
            held = group["params"]
            yield from (
                (p, {**_attributes(optimizer), **group})
                for p in (held.values() if isinstance(held, dict) else held)
            )
        return
    for name in ("params", "parameters"):
        held = getattr(optimizer, name, None)
        held = held() if callable(held) else held
        if isinstance(held, dict):
            held = list(held.values())
        if isinstance(held, (list, tuple)) and held and all(hasattr(p, "grad") for p in held):
            yield from ((p, _attributes(optimizer)) for p in held)
            return


def _attributes(optimizer: Any) -> dict[str, Any]:
    """The attributes of the object and those that its class gives as defaults."""
    found: dict[str, Any] = {}
    for cls in reversed(type(optimizer).__mro__[:-1]):
        found.update({key: value for key, value in vars(cls).items() if not key.startswith("__")})
    return {**found, **getattr(optimizer, "__dict__", {})}


def _value(parameter: Any) -> np.ndarray:
    return to_numpy(parameter.value if hasattr(parameter, "value") else parameter.data)


def _set_grad(parameter: Any, gradient: np.ndarray) -> None:
    held = parameter.value if hasattr(parameter, "value") else parameter.data
    parameter.grad = to_device(gradient, "cuda" if hasattr(held, "get") else "cpu")

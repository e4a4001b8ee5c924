"""The base class of all optimizers: groups of parameters, steps, state dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minicnn.backend import Array
from minicnn.errors import ConfigError, TrainingError, WeightsError
from minicnn.layers.base import Parameter
from minicnn.optim.groups import Params, make_groups
from minicnn.optim.options import ALLOWED, Hyper, as_json, plain
from minicnn.optim.state import State, read_options, read_state


class Optimizer:
    """The base class. A subclass gives its options to __init__ and defines `update`.

    `groups` is a list of dicts, one for each group of parameters: "params" (the Parameters),
    "names" (theirs), and the options, such as "lr", which may be changed between steps.
    `state` maps a parameter's name to what is remembered of it: "step", how often it was
    updated, and the arrays of the rule.

    A parameter is named as in layer.named_parameters(); without a name it is numbered, "0",
    "1", ..., over all groups. If the groups use a name twice, all get a prefix: "group1.weight".
    """

    # The arrays in a parameter's state: those that every step needs, and those that options add.
    always: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()

    def __init__(self, params: Params, **options: Any) -> None:
        self.defaults = {option: plain(value) for option, value in options.items()}
        self.groups = make_groups(type(self).__name__, params, self.defaults)
        self.state: dict[str, State] = {}
        for group in self.groups:
            self.check(group)
        # to() and astype() put other arrays in place of these: step() then refuses.
        self._values = [parameter.value for _, parameter, _ in self._parameters()]

    def update(self, value: Array, grad: Array, state: State, hyper: Hyper) -> None:
        """Change value and state in place by one step. grad stays as it is: someone else may hold it."""
        raise NotImplementedError(
            f"{type(self).__name__} must define update(self, value, grad, state, hyper)"
        )

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ConfigError where an option makes no sense."""
        for name, value in options.items():
            if name in ALLOWED and not ALLOWED[name][0](value):
                raise ConfigError(f"{type(self).__name__}: {name} must be {ALLOWED[name][1]}, got {value!r}")

    def step(self) -> None:
        """Update every parameter, in place, except frozen ones and those that no gradient has reached."""
        self._check_attached()
        for group in self.groups:
            hyper = Hyper(**{option: plain(group[option]) for option in self.defaults})
            for name, parameter in zip(group["names"], group["params"]):
                if parameter.frozen or not parameter.has_grad:
                    continue
                grad = -parameter.grad if getattr(hyper, "maximize", False) else parameter.grad
                state = self.state.setdefault(name, {"step": 0})
                state["step"] += 1
                self.update(parameter.value, grad, state, hyper)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for _, parameter, _ in self._parameters():
            parameter.zero_grad()

    @property
    def lr(self) -> float:
        """The learning rate. Setting it sets all groups; with several groups it reads the first."""
        return self.groups[0]["lr"]

    @lr.setter
    def lr(self, lr: float) -> None:
        self.check({"lr": lr})
        for group in self.groups:
            group["lr"] = float(lr)

    def state_dict(self) -> dict[str, Any]:
        """All that load_state_dict needs to go on as if nothing had happened.

            {"optimizer": "Adam",
             "groups": [{"params": ["conv1.weight", ...], "lr": 0.001, "betas": [0.9, 0.999], ...}],
             "steps": {"conv1.weight": 12, ...},
             "arrays": {"conv1.weight.exp_avg": array, ...}}

        "arrays" is one flat dict of C-contiguous copies, as safetensors wants it; the rest is
        plain JSON.
        """
        return {
            "optimizer": type(self).__name__,
            "groups": [
                {"params": list(group["names"])}
                | {option: as_json(group[option]) for option in self.defaults}
                for group in self.groups
            ],
            "steps": {name: state["step"] for name, state in self.state.items()},
            "arrays": {
                f"{name}.{slot}": state[slot].copy(order="C")
                for name, state in self.state.items()
                for slot in self.always + self.sometimes
                if slot in state
            },
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what state_dict() gave, options included; arrays are copied.

        Raises WeightsError, with nothing changed, when it comes from another kind of optimizer
        or from other parameters, or when an array is missing, unknown or of another shape.
        """
        try:
            if state_dict.get("optimizer") != type(self).__name__:
                raise WeightsError(f"it is the state of {state_dict.get('optimizer', 'something else')}")
            options = read_options(state_dict, self.groups, self.defaults)
            values = {name: parameter.value for name, parameter, _ in self._parameters()}
            state = read_state(state_dict, values, self.always, self.sometimes)
        except WeightsError as error:
            raise WeightsError(
                f"the state dict does not fit this {type(self).__name__}: {error}. Nothing was loaded: make the "
                "optimizer with the same class and the same groups of parameters as the one that was saved"
            ) from None
        for saved in options:
            self.check(saved)
        for group, saved in zip(self.groups, options):
            group.update(saved)
        self.state = state

    def _parameters(self) -> Iterator[tuple[str, Parameter, dict[str, Any]]]:
        """(name, Parameter, group) of all."""
        for group in self.groups:
            for name, parameter in zip(group["names"], group["params"]):
                yield name, parameter, group

    def _check_attached(self) -> None:
        """The parameters are still those of the model, and their arrays those that were given."""
        for (name, parameter, _), value in zip(self._parameters(), self._values):
            if parameter.retired:
                why = "left its model (its layer was replaced or deleted)"
            elif parameter.value is not value:
                why = "was given another array (by to(...), astype(...) or an assignment to .value)"
            else:
                continue
            raise TrainingError(
                f"{type(self).__name__}.step: parameter {name!r} {why} after this optimizer was made. "
                "Change the model first, then make a new optimizer"
            )

    def __repr__(self) -> str:
        options = ", ".join(f"{option}={self.groups[0][option]!r}" for option in self.defaults)
        more = f", {len(self.groups)} groups" if len(self.groups) > 1 else ""
        return f"{type(self).__name__}({options}{more})"

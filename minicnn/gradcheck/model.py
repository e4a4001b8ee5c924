"""check_model: a whole network with its loss, and the first wrong layer by name."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.errors import ConfigError
from minicnn.gradcheck.engine import Examination, Settings
from minicnn.gradcheck.layer import LayerSubject, as_input, describe, duplicate
from minicnn.gradcheck.locate import find_culprit
from minicnn.gradcheck.report import Finding, Report, Verdict
from minicnn.gradcheck.snapshot import Snapshot
from minicnn.gradcheck.subject import BadOutput, CodeRaised, call


def check_model(
    model: Any,
    loss: Any,
    x: Any,
    labels: Any,
    *,
    name: str | None = None,
    rng: np.random.Generator | int = 0,
    directions: int = 2,
    elements: bool = False,
    every_layer: bool = False,
) -> Report:
    """Check the gradient of loss(model(x), labels) for every parameter and, if it is given, x.

    loss: an object with forward(logits, labels) and backward(); or a function of (logits, labels)
    that returns (loss, dlogits); or None for a model with loss(x, labels) -> (loss, grads), params
    and grads being dictionaries (the style of CS231n). The model is checked in its present mode, as
    a float64 copy.

    Where the whole is wrong, every layer is replayed with the input and the upstream gradient that
    it got, from the loss backwards: report.culprit is the first wrong one and report.parts[culprit]
    its own report. every_layer=True does so even if the whole is right. An input that lies on a
    corner (a ReLU at 0, equal maxima) is left for one close by, and the layers are then replayed at
    the input as given, each of which can judge its own corners.
    """
    rng = np.random.default_rng(rng)
    if loss is None:
        model, loss = _DictModel(model, labels), _no_loss
    x = as_input(model, x, rng)
    subject = ModelSubject(model, loss, x, labels, name)
    examination = Examination(
        subject, rng, Settings(directions, elements, narrow_down=False, element_limit=512)
    )
    report = examination.run()
    on_corner = report.has("corner")
    if report.verdict is Verdict.PASS and not (on_corner or every_layer):
        return report
    if any(f.kind == "forward raised" for f in report.findings) or isinstance(model, _DictModel):
        return report
    culprit = find_culprit(model, loss, x, labels, rng, directions)
    if culprit is not None:
        report.culprit, part = culprit
        report.parts[report.culprit] = part
        report.causes = [f"{report.culprit}: {cause}" for cause in part.causes]
        report.findings.append(
            Finding(
                "wrong layer",
                f"the backward of {report.culprit} ({part.name}) is wrong; its own report is below",
            )
        )
    return report


class ModelSubject(LayerSubject):
    """A network with its loss: one number as output."""

    def __init__(self, model: Any, loss: Any, x: np.ndarray, labels: Any, name: str | None) -> None:
        self.loss = duplicate(loss) if hasattr(loss, "forward") else loss
        self.labels = labels
        super().__init__(model, x, name)
        self.composite = True
        self.name = name or f"{type(model).__name__} with {_loss_name(loss)}"
        self._state = Snapshot([self.layer, self.loss])
        self._gives_dx = self._try_dx()
        if not self._gives_dx:
            self.names, self.values = self.names[1:], self.values[1:]
        self._input = np.array(x, dtype=np.float64)

    def forward(self, arrays: Sequence[np.ndarray]) -> tuple[Any, Any]:
        arrays = arrays if self._gives_dx else [self._input.copy(), *arrays]
        _, logits = super().forward(arrays)
        return self._loss_of(logits)

    def backward(self, token: Any, dy: np.ndarray) -> list[Any]:
        dlogits = call("loss.backward", self.loss.backward) if token is None else token
        gradients = self._backward_model(dlogits)
        # The loss takes no upstream gradient: scale what comes out instead.
        scaled = [None if g is None else to_numpy(g) * float(dy) for g in gradients]
        return scaled if self._gives_dx else scaled[1:]

    def live(self) -> list[np.ndarray]:
        return super().live() if self._gives_dx else super().live()[1:]

    def with_fewer_samples(self) -> None:
        return None

    def _loss_of(self, logits: Any) -> tuple[Any, Any]:
        """(dlogits if the loss is a function that returns them, the loss)."""
        if hasattr(self.loss, "forward"):
            return None, call("loss.forward", self.loss.forward, logits, self.labels)
        result = call("loss", self.loss, logits, self.labels)
        if not isinstance(result, tuple) or len(result) != 2:
            raise BadOutput("the loss function must return (loss, dlogits)")
        return result[1], np.asarray(result[0])

    def _backward_model(self, dlogits: Any) -> list[Any]:
        backward = self.layer.backward
        options = {"need_dx": True} if _accepts(backward, "need_dx") else {}
        dx = call("backward", backward, dlogits, **options)
        if not self._settled:
            self._settled = True
            self._repeatable.settle()
        return [dx, *(slot.grad() for slot in self.view.slots)]

    def _try_dx(self) -> bool:
        """Whether backward returns the gradient of x; many networks do not."""
        self._gives_dx = True
        try:
            self.begin()
            token, y = self.forward([value.copy() for value in self.values])
            return self.backward(token, np.ones(np.shape(to_numpy(y))))[0] is not None
        except (CodeRaised, BadOutput, TypeError, AttributeError):
            return True  # the protocol will say what is wrong
        finally:
            self._settled = False
            self.begin()


class _DictModel:
    """A model in the style of CS231n, whose loss(x, labels) does forward and backward in one."""

    def __init__(self, model: Any, labels: Any) -> None:
        if not callable(getattr(model, "loss", None)) or not isinstance(getattr(model, "params", None), dict):
            raise ConfigError(
                f"{describe(model)} has no loss(x, labels) and params dictionary: with loss=None the model itself must "
                "return (loss, grads); otherwise pass a loss object, check_model(model, loss, x, labels)"
            )
        self.model, self.labels = model, labels
        self.grads: dict[str, Any] = {}

    @property
    def params(self) -> dict[str, Any]:
        return self.model.params

    def forward(self, x: Any) -> Any:
        loss, self.grads = self.model.loss(x, self.labels)
        return np.asarray(loss)

    def backward(self, dy: Any) -> None:
        return None


def _no_loss(value: Any, labels: Any) -> tuple[Any, Any]:
    return value, np.ones(())


def _accepts(function: Any, parameter: str) -> bool:
    try:
        return parameter in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _loss_name(loss: Any) -> str:
    return getattr(loss, "__name__", type(loss).__name__)

"""Losses: one number that says how wrong the network is, and where its gradient begins.

    loss = CrossEntropyLoss()
    value = loss(model(images), labels)     # a 0-d array
    model.backward(loss.backward())

A loss keeps what its backward needs from one forward, as a layer does.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.backend import Array, device_of, get_xp, to_device
from minicnn.errors import CacheError, ConfigError, ShapeError
from minicnn.functional.check import number
from minicnn.functional.cross_entropy import (
    check_labels,
    check_smoothing,
    cross_entropy_backward,
    cross_entropy_forward,
)
from minicnn.functional.focal_loss import focal_loss_backward, focal_loss_forward
from minicnn.functional.mse import check_reduction, mse_backward, mse_forward
from minicnn.functional.soft_cross_entropy import soft_cross_entropy_backward, soft_cross_entropy_forward
from minicnn.layers.inference import is_inference


def right_answers(logits: Array, labels: Array) -> Array:
    """How many rows of logits (N, K) are largest at their label (N,), a 0-d array."""
    return (logits.argmax(axis=1) == labels).sum()


class Loss:
    """The base class: a subclass defines forward, which keeps its cache, and backward."""

    # What the last forward left: the loss it returned and the cache of the functional pair.
    _kept: tuple[Array, Any] | None = None
    # And, where it counted right answers on its way: the logits, the labels, how many.
    _counted: tuple[Array, Array, int] | None = None

    def forward(self, logits: Array, labels: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, logits, labels)")

    def backward(self, dloss: Array | None = None) -> Array:
        """The gradient with respect to the first argument of forward.

        dloss is what arrives from above, of the loss's shape: None means ones, so a scalar loss
        needs no argument, and with reduction="none" every sample counts as in a sum.
        """
        raise NotImplementedError(f"{type(self).__name__} must define backward(self, dloss)")

    def __call__(self, logits: Array, labels: Array) -> Array:
        return self.forward(logits, labels)

    def keep(self, loss: Array, cache: Any) -> Array:
        """Keep the cache for backward, unless inside `with minicnn.inference():`. Returns the loss."""
        self._kept = None if is_inference() else (loss, cache)
        return loss

    def right_answers(self, logits: Array, labels: Array) -> Array | int:
        """How many rows of logits (N, K) are largest at their label (N,); on a GPU a 0-d array there.

        It costs nothing after a forward of just these arrays that counted while it looked at every logit.
        """
        if self._counted is not None and self._counted[0] is logits and self._counted[1] is labels:
            return self._counted[2]
        return right_answers(logits, labels)

    def take(self, dloss: Array | None) -> tuple[Array, Any]:
        """(dloss, with ones for None, and the cache), leaving nothing behind."""
        if self._kept is None:
            raise CacheError(
                f"{self!r}.backward needs a forward pass, and there is none: "
                "call loss.forward(logits, labels) first, once for every backward, and not inside `with minicnn.inference():`"
            )
        (loss, cache), self._kept = self._kept, None
        return _ones_like(loss) if dloss is None else dloss, cache


class CrossEntropyLoss(Loss):
    """Cross entropy between class scores (logits, before any softmax) and integer labels.

    weight (K,): one factor per class; "mean" then divides by the sum of the labels' weights.
    ignore_index: the label of samples to leave out. label_smoothing: the share of the target
    that is spread evenly over all classes.

    logits (N, K) or (N, K, d1, ...), labels (N,) or (N, d1, ...) -> a 0-d array, with
    reduction="none" one of the labels' shape. See functional/cross_entropy.py for the formula.
    """

    def __init__(
        self,
        weight: Array | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        check_reduction("CrossEntropyLoss", reduction)
        self.weight = weight
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = check_smoothing("CrossEntropyLoss", label_smoothing)

    def forward(self, logits: Array, labels: Array) -> Array:
        if isinstance(logits, tuple):
            raise ShapeError(
                f"CrossEntropyLoss takes one array of logits, got {len(logits)} ({type(logits).__name__}): for a network "
                "with auxiliary outputs use WithAuxiliary(CrossEntropyLoss(), 0.3), or build it with aux_logits=False"
            )
        # The weights are a constant of the loss, so they follow the logits to their device.
        weight = None if self.weight is None else to_device(self.weight, device_of(logits))
        loss, cache = cross_entropy_forward(
            logits,
            labels,
            weight=weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
        right = getattr(cache, "right", None)  # the CPU's kernel has counted them
        self._counted = None if right is None else (logits, labels, right)
        return self.keep(loss, cache)

    def backward(self, dloss: Array | None = None) -> Array:
        return cross_entropy_backward(*self.take(dloss))

    def __repr__(self) -> str:
        weight = "" if self.weight is None else "weight=..., "
        return (
            f"CrossEntropyLoss({weight}ignore_index={self.ignore_index}, reduction={self.reduction!r}, "
            f"label_smoothing={self.label_smoothing})"
        )


class MSELoss(Loss):
    """The mean squared error between predictions and targets of one shape and dtype."""

    def __init__(self, reduction: str = "mean") -> None:
        check_reduction("MSELoss", reduction)
        self.reduction = reduction

    def forward(self, x: Array, target: Array) -> Array:
        return self.keep(*mse_forward(x, target, reduction=self.reduction))

    def backward(self, dloss: Array | None = None) -> Array:
        dx, _ = mse_backward(*self.take(dloss), needs=(True, False))
        return dx

    def __repr__(self) -> str:
        return f"MSELoss(reduction={self.reduction!r})"


class WithAuxiliary(Loss):
    """The loss of a network with several outputs: that of the first, and a share of each other's.

        L = loss(outputs[0], labels) + weight Σᵢ loss(outputs[i], labels),  i ≥ 1

    For GoogLeNet's auxiliary classifiers (Szegedy et al. 2015, section 5: weight 0.3). In evaluation, where
    the network gives one output, it is that one's loss. backward gives a tuple like the one that came.
    """

    def __init__(self, loss: Loss, weight: float = 0.3) -> None:
        if not isinstance(loss, Loss):
            raise ConfigError(f"WithAuxiliary takes a loss object, such as CrossEntropyLoss(), got {loss!r}")
        self.loss = loss
        self.weight = number("WithAuxiliary", "weight", weight)

    @property
    def reduction(self) -> str:
        return getattr(self.loss, "reduction", "mean")

    def forward(self, logits: Any, labels: Array) -> Array:
        """logits: an array (N, K), or a (named) tuple of such; labels as the inner loss takes them."""
        outputs = logits if isinstance(logits, tuple) else (logits,)
        total, criteria = None, []
        for output in outputs:
            criterion = copy.copy(self.loss)  # each output's loss keeps its own cache
            value = criterion.forward(output, labels)
            total = value if total is None else _zero_d(total + self.weight * value)
            criteria.append(criterion)
        if total is None:
            raise ShapeError("WithAuxiliary got an empty tuple: the network must give at least one output")
        return self.keep(total, (logits, criteria))

    def backward(self, dloss: Array | None = None) -> Any:
        dloss, (logits, criteria) = self.take(dloss)
        main, *others = criteria
        gradients = [
            main.backward(dloss),
            *(other.backward(_zero_d(self.weight * dloss)) for other in others),
        ]
        if not isinstance(logits, tuple):
            return gradients[0]
        return type(logits)(*gradients) if hasattr(logits, "_fields") else tuple(gradients)

    def __repr__(self) -> str:
        return f"WithAuxiliary({self.loss!r}, weight={self.weight})"


def _ones_like(loss: Array) -> Array:
    return _one(loss.dtype) if type(loss) is np.ndarray and loss.ndim == 0 else get_xp(loss).ones_like(loss)


@lru_cache
def _one(dtype: np.dtype) -> np.ndarray:
    """1 as a 0-d array that nobody can write to. Making one in each step took longer than using it."""
    one = np.ones((), dtype)
    one.flags.writeable = False
    return one


def _zero_d(value: Array) -> Array:
    """NumPy makes scalars of sums of 0-d arrays; a loss is an array."""
    return get_xp(value).asarray(value)


class FocalLoss(Loss):
    """Cross entropy that looks away from what is already right: Lin et al. 2017.

    gamma: how much (0: not at all).  weight (K,): one factor per class.  See functional/focal_loss.py.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        weight: Array | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        check_reduction("FocalLoss", reduction)
        if not gamma >= 0:
            raise ConfigError(f"FocalLoss: gamma must be 0 or more, got {gamma}")
        self.gamma = gamma
        self.weight = weight
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, logits: Array, labels: Array) -> Array:
        weight = None if self.weight is None else to_device(self.weight, device_of(logits))
        loss, cache = focal_loss_forward(
            logits,
            labels,
            gamma=self.gamma,
            weight=weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )
        return self.keep(loss, cache)

    def backward(self, dloss: Array | None = None) -> Array:
        return focal_loss_backward(*self.take(dloss))

    def __repr__(self) -> str:
        weight = "" if self.weight is None else "weight=..., "
        return f"FocalLoss(gamma={self.gamma}, {weight}ignore_index={self.ignore_index}, reduction={self.reduction!r})"


class SoftCrossEntropyLoss(Loss):
    """Cross entropy against shares of classes (N, K), as mixup and cutmix make them.

    Class numbers (N,) stand for one whole class each, so that the same loss serves training and evaluation.
    weight (K,): one factor per class. See functional/soft_cross_entropy.py.
    """

    def __init__(self, weight: Array | None = None, reduction: str = "mean") -> None:
        check_reduction("SoftCrossEntropyLoss", reduction)
        self.weight = weight
        self.reduction = reduction

    def forward(self, logits: Array, labels: Array) -> Array:
        xp = get_xp(logits, labels)
        if labels.ndim == 1:
            numbers = check_labels(logits.shape, labels, who="SoftCrossEntropyLoss")
            labels = xp.eye(logits.shape[1], dtype=logits.dtype)[numbers]
        weight = None if self.weight is None else to_device(self.weight, device_of(logits))
        return self.keep(
            *soft_cross_entropy_forward(
                logits, labels.astype(logits.dtype, copy=False), weight=weight, reduction=self.reduction
            )
        )

    def backward(self, dloss: Array | None = None) -> Array:
        dlogits, _ = soft_cross_entropy_backward(*self.take(dloss), needs=(True, False))
        return dlogits

    def __repr__(self) -> str:
        weight = "" if self.weight is None else "weight=..., "
        return f"SoftCrossEntropyLoss({weight}reduction={self.reduction!r})"

"""Batch normalisation: recognised per channel, in training and in evaluation mode; then known mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minicnn.gradcheck.evidence import Evidence, Mistake, Suspects

EPSILONS = (1e-5, 1e-3, 1e-8, 1e-6, 1e-4, 1e-7, 1e-12, 1e-2, 0.0)


class Norm(NamedTuple):
    """A batch normalisation of x, every array shaped to broadcast against x."""

    x: np.ndarray
    normalized: np.ndarray  # x̂
    inverse_std: np.ndarray
    gamma: np.ndarray
    eps: float
    training: bool
    unbiased: bool
    axes: tuple[int, ...]

    @property
    def per_channel(self) -> int:
        return int(np.prod([self.x.shape[axis] for axis in self.axes]))

    def mean(self, array: np.ndarray) -> np.ndarray:
        return array.mean(axis=self.axes, keepdims=True)


def norm_suspects(evidence: Evidence) -> Suspects | None:
    """The right gradient of a batch normalisation and its mistakes; None if forward is none."""
    x, y, v = evidence.values[0], evidence.y, evidence.v
    if x.ndim < 2 or x.shape != y.shape or len(evidence.values) > 3:
        return None
    channels = (x.shape[1],)
    if any(a.shape != channels for a in evidence.values[1:]):
        return None
    norm = recognise(x, y, evidence.values[1:])
    if norm is None:
        return None
    kind = ("x", "gamma", "beta")[evidence.index]
    return Suspects(gradient(norm, v, kind), _mistakes(norm, v, kind))


def recognise(x: np.ndarray, y: np.ndarray, affine: list[np.ndarray]) -> Norm | None:
    """The normalisation that makes y of x, if there is one."""
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    shape = tuple(-1 if axis == 1 else 1 for axis in range(x.ndim))
    ones = np.ones(x.shape[1])
    gamma, beta = (a.reshape(shape) for a in (*affine, *(ones, 0 * ones)[len(affine) :]))
    count = x.size // x.shape[1]
    mean = x.mean(axis=axes, keepdims=True)
    var = x.var(axis=axes, keepdims=True)
    tolerance = 1e-7 * np.max(np.abs(y), initial=1e-300)
    for unbiased in (False, True):
        if unbiased and count < 2:
            continue
        spread = var * count / (count - 1) if unbiased else var
        for eps in EPSILONS:
            with np.errstate(all="ignore"):
                inverse_std = 1 / np.sqrt(spread + eps)
                normalized = (x - mean) * inverse_std
                off = np.max(np.abs(normalized * gamma + beta - y))
            if off <= 1e-9 * np.max(np.abs(y), initial=1e-300):
                return Norm(x, normalized, inverse_std, gamma, eps, True, unbiased, axes)
    # Evaluation: a straight line in every channel, y = slope x + offset.
    if not affine or np.any(gamma == 0) or np.any(var == 0):
        return None
    slope = ((x - mean) * (y - y.mean(axis=axes, keepdims=True))).mean(axis=axes, keepdims=True) / var
    if np.max(np.abs((x - mean) * slope + y.mean(axis=axes, keepdims=True) - y)) > tolerance:
        return None
    return Norm(x, (y - beta) / gamma, slope / gamma, gamma, 0.0, False, False, axes)


def gradient(norm: Norm, v: np.ndarray, kind: str) -> np.ndarray:
    if kind == "beta":
        return v.sum(axis=norm.axes)
    if kind == "gamma":
        return (v * norm.normalized).sum(axis=norm.axes)
    if not norm.training:
        return v * norm.gamma * norm.inverse_std
    return _dx(norm, v)


def _dx(
    norm: Norm,
    v: np.ndarray,
    *,
    through_mean: bool = True,
    through_var: bool = True,
    inverse_std: np.ndarray | None = None,
    normalized: np.ndarray | None = None,
    divisor_mean: int = 0,
    divisor_var: int = 0,
) -> np.ndarray:
    """(dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂)) / std; every keyword is a place where a mistake can be made."""
    inverse_std = norm.inverse_std if inverse_std is None else inverse_std
    normalized = norm.normalized if normalized is None else normalized
    count = norm.per_channel
    right_var = count - 1 if norm.unbiased else count
    dnormalized = v * norm.gamma
    dx = dnormalized.copy()
    if through_mean:
        dx -= norm.mean(dnormalized) * count / (divisor_mean or count)
    if through_var:
        dx -= normalized * norm.mean(dnormalized * normalized) * count / (divisor_var or right_var)
    return dx * inverse_std


def _mistakes(norm: Norm, v: np.ndarray, kind: str) -> Iterator[Mistake]:
    if kind == "gamma":
        yield from _of_gamma(norm, v)
    elif kind == "x" and norm.training:
        yield from _of_training(norm, v)
    elif kind == "x":
        sentence = (
            "this is the gradient of training mode, but forward used fixed running statistics: in evaluation mode "
            "mean and variance are constants, and dx = dy * gamma / std"
        )
        own = (norm.x - norm.mean(norm.x)) / np.sqrt(norm.x.var(axis=norm.axes, keepdims=True) + 1e-5)
        own_std = 1 / np.sqrt(norm.x.var(axis=norm.axes, keepdims=True) + 1e-5)
        yield Mistake(sentence, _dx(norm, v))
        yield Mistake(sentence, _dx(norm, v, normalized=own))
        yield Mistake(sentence, _dx(norm, v, normalized=own, inverse_std=own_std))


def _of_gamma(norm: Norm, v: np.ndarray) -> Iterator[Mistake]:
    yield Mistake(
        "dgamma is taken from the raw x: multiply dy by the normalised x̂, dgamma = Σ dy x̂",
        (v * norm.x).sum(axis=norm.axes),
    )
    if norm.training:
        yield Mistake(
            "dgamma is taken from x − mean without dividing by the standard deviation: dgamma = Σ dy x̂",
            (v * (norm.x - norm.mean(norm.x))).sum(axis=norm.axes),
        )


def _of_training(norm: Norm, v: np.ndarray) -> Iterator[Mistake]:
    count, var = norm.per_channel, norm.x.var(axis=norm.axes, keepdims=True)
    yield Mistake(
        "the term through the batch mean is missing: dx = (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂)) / std",
        _dx(norm, v, through_mean=False),
    )
    yield Mistake(
        "the term through the batch variance is missing: dx = (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂)) / std",
        _dx(norm, v, through_var=False),
    )
    yield Mistake(
        "mean and variance are treated as constants, but in training mode they depend on x too: "
        "dx = (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂)) / std",
        _dx(norm, v, through_mean=False, through_var=False),
    )
    yield Mistake(
        "gamma is left out of dx: dx̂ = gamma dy", _dx(norm._replace(gamma=np.ones_like(norm.gamma)), v)
    )
    if np.all(var > 0):
        bare = 1 / np.sqrt(var)
        sentence = f"eps is left out in backward: forward divided by √(var + {norm.eps:g}), backward by √var"
        yield Mistake(sentence, _dx(norm, v, inverse_std=bare))
        yield Mistake(
            sentence, _dx(norm, v, inverse_std=bare, normalized=(norm.x - norm.mean(norm.x)) * bare)
        )
    if count > 1:
        other = count if norm.unbiased else count - 1
        names = ("M − 1", "M") if norm.unbiased else ("M", "M − 1")
        sentence = (
            f"backward divides by {names[1]} where forward divided by {names[0]} (M = N H W values per channel): "
            "use the variance of forward"
        )
        factor = np.sqrt(other / (count - 1 if norm.unbiased else count))
        inverse = 1 / np.sqrt(1 / norm.inverse_std**2 / factor**2)
        for mean_divisor, var_divisor in ((0, other), (other, other), (other, 0)):
            yield Mistake(sentence, _dx(norm, v, divisor_mean=mean_divisor, divisor_var=var_divisor))
        yield Mistake(sentence, _dx(norm, v, inverse_std=inverse))
        yield Mistake(sentence, _dx(norm, v, divisor_mean=other, divisor_var=other) * count / other)
        spread = var * count / other if not norm.unbiased else var
        exact = 1 / np.sqrt(spread + norm.eps)
        centred = norm.x - norm.mean(norm.x)
        yield Mistake(sentence, _dx(norm, v, inverse_std=exact))
        yield Mistake(sentence, _dx(norm, v, inverse_std=exact, normalized=centred * exact))

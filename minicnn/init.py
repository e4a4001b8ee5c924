"""Initial values of weights: what a network knows before it has seen anything.

A weight of shape (O, C, R, S) (convolution) or (M, D) (linear) mixes fan_in = C·R·S inputs
into each output, and each input reaches fan_out = O·R·S outputs. If weights are drawn with
variance gain²/fan_in, activations keep their size from layer to layer going forward; with
gain²/fan_out, gradients keep theirs going backward. The gain makes up for what the
nonlinearity after the layer swallows: ReLU loses half of the variance, so its gain is √2.

Every function draws from the generator it is given and returns a new float32 array. Names,
arguments and formulas are those of torch.nn.init.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from minicnn.errors import ConfigError, ShapeError, nearest

Shape = Sequence[int]
Mode = Literal["fan_in", "fan_out"]

# PyTorch's values. ReLU's follows from E[relu(z)²] = E[z²]/2 (He et al. 2015); the others are conventions.
_GAINS = {
    "linear": 1.0,
    "conv2d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4.0,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation for the nonlinearity that follows the layer.

    linear, conv2d, sigmoid: 1;  tanh: 5/3;  relu: √2;  selu: 3/4;
    leaky_relu: √(2 / (1 + a²)) with negative slope a = param (0.01 if None).
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in _GAINS:
        raise ConfigError(
            f"no gain for nonlinearity {nonlinearity!r}: {nearest(nonlinearity, [*_GAINS, 'leaky_relu'])}"
        )
    return _GAINS[nonlinearity]


def fan_in_and_fan_out(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (O, C, R, S) or (M, D).

    For a grouped convolution C is the channels of one group, as its weight has them.
    """
    if len(shape) < 2:
        raise ShapeError(
            "fan-in and fan-out need a weight of two or more axes, (O, C, R, S) or (M, D), "
            f"got {tuple(shape)}: a bias starts with zeros(shape) or default_bias(weight_shape, rng)"
        )
    receptive_field = math.prod(shape[2:])
    return shape[1] * receptive_field, shape[0] * receptive_field


def xavier_uniform(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """Uniform on ±gain·√(6 / (fan_in + fan_out)): a compromise between forward and backward.

    Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return _uniform(shape, gain * math.sqrt(2.0 / max(sum(fan_in_and_fan_out(shape)), 1)), rng)


def xavier_normal(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """Normal with standard deviation gain·√(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return _normal(shape, gain * math.sqrt(2.0 / max(sum(fan_in_and_fan_out(shape)), 1)), rng)


def kaiming_uniform(
    shape: Shape,
    *,
    rng: np.random.Generator,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> np.ndarray:
    """Uniform on ±gain·√(3 / fan): keeps the variance through layers of ReLU.

    mode "fan_in" keeps activations level, "fan_out" gradients; a is leaky_relu's negative slope.
    He, Zhang, Ren & Sun 2015, Delving deep into rectifiers.
    """
    return _uniform(shape, calculate_gain(nonlinearity, a) / math.sqrt(_fan(shape, mode)), rng)


def kaiming_normal(
    shape: Shape,
    *,
    rng: np.random.Generator,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> np.ndarray:
    """Normal with standard deviation gain / √fan (He et al. 2015): see kaiming_uniform."""
    return _normal(shape, calculate_gain(nonlinearity, a) / math.sqrt(_fan(shape, mode)), rng)


def lecun_uniform(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """Uniform on ±√(3 / fan_in): unit variance in, unit variance out of a linear layer.

    LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.6.
    """
    return _uniform(shape, 1.0 / math.sqrt(_fan(shape, "fan_in")), rng)


def lecun_normal(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """Normal with standard deviation 1 / √fan_in (LeCun et al. 1998): see lecun_uniform."""
    return _normal(shape, 1.0 / math.sqrt(_fan(shape, "fan_in")), rng)


def orthogonal(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """gain times a random orthogonal matrix, uniformly distributed, seen as (O, C·R·S).

    Its rows are orthonormal, or its columns where there are more rows than columns: every
    singular value is gain, so a deep linear network neither shrinks nor stretches signals.
    Saxe, McClelland & Ganguli 2014, Exact solutions to the nonlinear dynamics of learning.
    """
    fan_in_and_fan_out(shape)  # refuses a vector
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    # QR leaves the sign of each column of q open; r's positive diagonal makes the draw uniform
    # over all orthogonal matrices (Mezzadri 2007).
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    matrix = q if rows >= columns else q.T
    return np.ascontiguousarray(gain * matrix, dtype=np.float32).reshape(shape)


def uniform(shape: Shape, *, rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Uniform on [low, high)."""
    return rng.uniform(low, high, tuple(shape)).astype(np.float32, copy=False)


def normal(shape: Shape, *, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """Normal with the given mean and standard deviation."""
    return rng.normal(mean, std, tuple(shape)).astype(np.float32, copy=False)


def constant(shape: Shape, value: float) -> np.ndarray:
    """The same value everywhere. For biases and scales: a constant weight never breaks symmetry."""
    return np.full(tuple(shape), value, dtype=np.float32)


def zeros(shape: Shape) -> np.ndarray:
    return constant(shape, 0.0)


def ones(shape: Shape) -> np.ndarray:
    return constant(shape, 1.0)


def default_weight(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """PyTorch's default weight of Conv2d and Linear: kaiming_uniform with a = √5, that is ±1/√fan_in."""
    return kaiming_uniform(shape, rng=rng, a=math.sqrt(5.0))


def default_bias(weight_shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """PyTorch's default bias (O,) for a weight of this shape: uniform on ±1/√fan_in."""
    bound = 1.0 / math.sqrt(_fan(weight_shape, "fan_in"))
    return uniform(weight_shape[:1], rng=rng, low=-bound, high=bound)


def _fan(shape: Shape, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ConfigError(f'unknown mode {mode!r}: expected "fan_in" or "fan_out"')
    fan_in, fan_out = fan_in_and_fan_out(shape)
    return max(fan_in if mode == "fan_in" else fan_out, 1)  # a weight without elements has nothing to scale


def _uniform(shape: Shape, std: float, rng: np.random.Generator) -> np.ndarray:
    bound = math.sqrt(3.0) * std  # the uniform distribution on ±b has standard deviation b/√3
    return uniform(shape, rng=rng, low=-bound, high=bound)


def _normal(shape: Shape, std: float, rng: np.random.Generator) -> np.ndarray:
    return normal(shape, rng=rng, std=std)

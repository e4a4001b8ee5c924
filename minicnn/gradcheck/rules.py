"""The published update rules of optimizers as float64 recurrences, one step each.

Every keyword of a rule after the settings is a place where a known mistake can be made; without
them the rule is the right one. θ and the state are arrays, t counts steps from 1.

Sources: Polyak 1964 and Sutskever et al. 2013 (momentum, Nesterov); Kingma and Ba 2015 (Adam);
Reddi et al. 2018 (AMSGrad); Loshchilov and Hutter 2019 (AdamW); Tieleman and Hinton 2012
(RMSprop); Graves 2013 (centred); Duchi et al. 2011 (Adagrad). Conventions as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Settings = Mapping[str, Any]
State = dict[str, np.ndarray]
Rule = Callable[..., np.ndarray]


def sgd(
    theta: np.ndarray,
    g: np.ndarray,
    t: int,
    state: State,
    s: Settings,
    *,
    dampen_first: bool = False,
    nesterov: str = "right",
    decay: str = "gradient",
    average: bool = False,
) -> np.ndarray:
    """g ← g + λθ;  v ← μ v + (1 − τ) g, v ← g at first;  θ ← θ − η v, or θ − η (g + μ v) with Nesterov."""
    if decay == "gradient":
        g = g + s["weight_decay"] * theta
    shrink = s["lr"] * s["weight_decay"] * theta if decay == "apart" else 0.0
    if not s["momentum"]:
        return theta - s["lr"] * g - shrink
    damping = s["dampening"]
    if average:
        damping = s["momentum"]
    first = t == 1 and not dampen_first and not average
    v = g if first else s["momentum"] * state.get("v", 0 * g) + (1 - damping) * g
    state["v"] = v
    if s["nesterov"] and nesterov == "right":
        return theta - s["lr"] * (g + s["momentum"] * v) - shrink
    if s["nesterov"] and nesterov == "no gradient":
        return theta - s["lr"] * s["momentum"] * v - shrink
    return theta - s["lr"] * v - shrink


def adam(
    theta: np.ndarray,
    g: np.ndarray,
    t: int,
    state: State,
    s: Settings,
    *,
    decoupled: bool = False,
    correct_first: bool = True,
    correct_second: bool = True,
    eps: str = "outside",
    count_from: int = 1,
    square: bool = True,
    root: bool = True,
    betas: str = "right",
    decay: bool = True,
) -> np.ndarray:
    """m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  θ ← θ − η m̂ / (√v̂ + ε), m̂ and v̂ corrected by 1 − βᵗ."""
    weight_decay = s["weight_decay"] if decay else 0.0
    beta1, beta2 = s["betas"] if betas == "right" else s["betas"][::-1]
    if decoupled:
        theta = theta - s["lr"] * weight_decay * theta
    else:
        g = g + weight_decay * theta
    m = state["m"] = beta1 * state.get("m", 0 * g) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0 * g) + (1 - beta2) * (g * g if square else np.abs(g))
    if s["amsgrad"]:
        v = state["largest"] = np.maximum(state.get("largest", v), v)
    step = t - 1 + count_from
    correction1 = 1 - beta1**step if correct_first and step else 1.0
    correction2 = 1 - beta2**step if correct_second and step else 1.0
    v = v / correction2
    if not root:
        return theta - s["lr"] * (m / correction1) / (v + s["eps"])
    if eps == "inside":
        return theta - s["lr"] * (m / correction1) / np.sqrt(v + s["eps"])
    if eps == "before correction":
        return theta - s["lr"] * (m / correction1) * np.sqrt(correction2) / (
            np.sqrt(v * correction2) + s["eps"]
        )
    scale = np.sqrt(v) + (s["eps"] if eps == "outside" else 0.0)
    return theta - s["lr"] * (m / correction1) / np.where(scale == 0, 1.0, scale)


def adamw(
    theta: np.ndarray,
    g: np.ndarray,
    t: int,
    state: State,
    s: Settings,
    *,
    coupled: bool = False,
    **mistake: Any,
) -> np.ndarray:
    """θ ← θ − η λ θ, then Adam's step without weight decay."""
    return adam(theta, g, t, state, s, decoupled=not coupled, **mistake)


def rmsprop(
    theta: np.ndarray,
    g: np.ndarray,
    t: int,
    state: State,
    s: Settings,
    *,
    eps: str = "outside",
    exchanged: bool = False,
    summed: bool = False,
    before: bool = False,
    root: bool = True,
) -> np.ndarray:
    """r ← α r + (1 − α) g²;  θ ← θ − η g / (√r + ε); centred: r − ḡ² for r; momentum on the quotient."""
    g = g + s["weight_decay"] * theta
    alpha = 1 - s["alpha"] if exchanged else s["alpha"]
    old = state.get("r", 0 * g)
    r = state["r"] = alpha * old + (1 if summed else 1 - alpha) * g * g
    r = old if before else r
    if s["centered"]:
        mean = state["mean"] = alpha * state.get("mean", 0 * g) + (1 - alpha) * g
        r = np.maximum(r - mean**2, 0)
    if eps == "inside":
        scale = np.sqrt(r + s["eps"])
    else:
        scale = (np.sqrt(r) if root else r) + s["eps"]
    quotient = g / scale
    if s["momentum"]:
        state["b"] = s["momentum"] * state.get("b", 0 * g) + quotient
        return theta - s["lr"] * state["b"]
    return theta - s["lr"] * quotient


def adagrad(
    theta: np.ndarray,
    g: np.ndarray,
    t: int,
    state: State,
    s: Settings,
    *,
    eps: str = "outside",
    decay_from: int = 0,
    square: bool = True,
    root: bool = True,
    before: bool = False,
    forget: bool = False,
) -> np.ndarray:
    """r ← r + g²;  θ ← θ − η / (1 + (t − 1) d) · g / (√r + ε), d being lr_decay."""
    g = g + s["weight_decay"] * theta
    old = state.get("r", 0 * g + s["initial_accumulator_value"])
    r = state["r"] = (0 if forget else old) + (g * g if square else np.abs(g))
    r = old if before else r
    scale = np.sqrt(r + s["eps"]) if eps == "inside" else (np.sqrt(r) if root else r) + s["eps"]
    return theta - s["lr"] / (1 + (t - 1 + decay_from) * s["lr_decay"]) * g / scale


RULES: dict[str, Rule] = {"sgd": sgd, "adam": adam, "adamw": adamw, "rmsprop": rmsprop, "adagrad": adagrad}

DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False},
    "adam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False},
    "adamw": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2, "amsgrad": False},
    "rmsprop": {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
    },
    "adagrad": {
        "lr": 1e-2,
        "lr_decay": 0.0,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
    },
}

# What known mistakes are called, and the keywords that make them.
_EPS_INSIDE = (
    "eps is added inside the square root, √(v + ε); the rule adds it outside, √v + ε",
    {"eps": "inside"},
)
_NO_ROOT = ("the square root is missing: the step is divided by v, not by √v", {"root": False})
_NO_SQUARE = ("the second moment collects |g| instead of g²", {"square": False})

MISTAKES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "sgd": [
        (
            "the first step is dampened: the rule starts with v = g and dampens from the second on",
            {"dampen_first": True},
        ),
        ("nesterov is ignored: the step is θ − η (g + μ v), not θ − η v", {"nesterov": "off"}),
        ("the gradient itself is left out of Nesterov's step, θ − η (g + μ v)", {"nesterov": "no gradient"}),
        ("weight decay is left out", {"decay": "none"}),
        (
            "weight decay is applied to θ directly; here it belongs into the gradient and so into the momentum",
            {"decay": "apart"},
        ),
        (
            "the momentum is an average, v = μ v + (1 − μ) g; the rule is v = μ v + (1 − τ) g with dampening τ",
            {"average": True},
        ),
    ],
    "adam": [
        (
            "the bias correction is missing: divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ",
            {"correct_first": False, "correct_second": False},
        ),
        ("the bias correction of the first moment is missing: divide m by 1 − β₁ᵗ", {"correct_first": False}),
        (
            "the bias correction of the second moment is missing: divide v by 1 − β₂ᵗ",
            {"correct_second": False},
        ),
        ("the step count in the bias correction is one too small: it starts at 1", {"count_from": 0}),
        ("the step count in the bias correction is one too large: it starts at 1", {"count_from": 2}),
        _EPS_INSIDE,
        (
            "eps is added before the bias correction of v, and so is divided by it",
            {"eps": "before correction"},
        ),
        _NO_ROOT,
        _NO_SQUARE,
        ("β₁ and β₂ are exchanged", {"betas": "exchanged"}),
        ("weight decay is decoupled as in AdamW; Adam adds it to the gradient", {"decoupled": True}),
        ("weight decay is left out", {"decay": False}),
    ],
    "adamw": [
        (
            "weight decay is added to the gradient as in Adam; AdamW shrinks the weights by themselves",
            {"coupled": True},
        ),
        ("weight decay is left out", {"decay": False}),
        (
            "the bias correction is missing: divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ",
            {"correct_first": False, "correct_second": False},
        ),
        ("the bias correction of the first moment is missing: divide m by 1 − β₁ᵗ", {"correct_first": False}),
        (
            "the bias correction of the second moment is missing: divide v by 1 − β₂ᵗ",
            {"correct_second": False},
        ),
        ("the step count in the bias correction is one too large: it starts at 1", {"count_from": 2}),
        _EPS_INSIDE,
        _NO_ROOT,
        ("β₁ and β₂ are exchanged", {"betas": "exchanged"}),
    ],
    "rmsprop": [
        _EPS_INSIDE,
        _NO_ROOT,
        ("α and 1 − α are exchanged: r = α r + (1 − α) g²", {"exchanged": True}),
        ("g² is not weighted by 1 − α: r = α r + (1 − α) g²", {"summed": True}),
        ("the step is divided by the average of before this step: update r first", {"before": True}),
    ],
    "adagrad": [
        _EPS_INSIDE,
        _NO_ROOT,
        _NO_SQUARE,
        (
            "lr_decay counts the first step already: the rule divides by 1 + (t − 1) lr_decay",
            {"decay_from": 1},
        ),
        ("the step is divided by the sum of before this step: add g² first", {"before": True}),
        ("the sum of squares is overwritten instead of added to", {"forget": True}),
    ],
}

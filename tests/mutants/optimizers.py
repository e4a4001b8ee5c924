"""Optimizers with one mistake each, written as one class after the papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.gradcheck import Report, check_optimizer


class Weight:
    """A parameter as students make one."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value
        self.grad: np.ndarray | None = None


class Base:
    """step() hands every weight to update(); what a rule remembers lies in `memory`."""

    def __init__(self, params: list[Weight], mistake: str = "", **settings: Any) -> None:
        self.params, self.mistake = params, mistake
        self.__dict__.update(settings)
        self.memory: list[dict[str, np.ndarray]] = [{} for _ in params]
        self.t = 0

    def step(self) -> None:
        self.t += 1
        for weight, memory in zip(self.params, self.memory):
            assert weight.grad is not None
            weight.value = weight.value - self.update(weight.value, weight.grad, memory)

    def update(self, theta: np.ndarray, g: np.ndarray, memory: dict[str, np.ndarray]) -> np.ndarray:
        raise NotImplementedError


class SGD(Base):
    lr, momentum, dampening, nesterov, weight_decay = 0.1, 0.9, 0.0, False, 0.0

    def update(self, theta: np.ndarray, g: np.ndarray, memory: dict[str, np.ndarray]) -> np.ndarray:
        g = g + self.weight_decay * theta
        fresh = (1 - self.dampening) * g if "v" in memory or self.mistake == "first step dampened" else g
        if self.mistake == "momentum as an average":
            fresh = (1 - self.momentum) * g
        memory["v"] = self.momentum * memory.get("v", np.zeros_like(g)) + fresh
        look_ahead = self.nesterov and self.mistake != "nesterov ignored"
        return self.lr * (g + self.momentum * memory["v"] if look_ahead else memory["v"])


class Adam(Base):
    lr, beta1, beta2, eps, weight_decay = 1e-2, 0.9, 0.99, 1e-6, 0.0
    decoupled = False

    def update(self, theta: np.ndarray, g: np.ndarray, memory: dict[str, np.ndarray]) -> np.ndarray:
        apart = self.decoupled != (self.mistake == "decay coupled")
        step = self.lr * self.weight_decay * theta if apart else 0.0
        g = g if apart else g + self.weight_decay * theta
        memory["m"] = self.beta1 * memory.get("m", 0) + (1 - self.beta1) * g
        memory["v"] = self.beta2 * memory.get("v", 0) + (1 - self.beta2) * g**2
        t = self.t + (self.mistake == "step count off by one")
        m, v = memory["m"] / (1 - self.beta1**t), memory["v"] / (1 - self.beta2**t)
        if self.mistake == "no bias correction":
            m, v = memory["m"], memory["v"]
        if self.mistake == "eps inside the root":
            return step + self.lr * m / np.sqrt(v + self.eps)
        return step + self.lr * m / (np.sqrt(v) + self.eps)


class AdamW(Adam):
    weight_decay, decoupled = 0.1, True


class RMSprop(Base):
    lr, alpha, eps = 1e-2, 0.9, 1e-6

    def update(self, theta: np.ndarray, g: np.ndarray, memory: dict[str, np.ndarray]) -> np.ndarray:
        keep = 1 - self.alpha if self.mistake == "alpha exchanged" else self.alpha
        memory["r"] = keep * memory.get("r", 0) + (1 - keep) * g**2
        if self.mistake == "eps inside the root":
            return self.lr * g / np.sqrt(memory["r"] + self.eps)
        return self.lr * g / (np.sqrt(memory["r"]) + self.eps)


class Adagrad(Base):
    lr, eps, lr_decay = 0.1, 1e-6, 0.1

    def update(self, theta: np.ndarray, g: np.ndarray, memory: dict[str, np.ndarray]) -> np.ndarray:
        memory["r"] = g**2 if self.mistake == "sum overwritten" else memory.get("r", 0) + g**2
        late = self.t - (self.mistake != "lr_decay a step early")
        return self.lr / (1 + late * self.lr_decay) * g / (np.sqrt(memory["r"]) + self.eps)


@dataclass(frozen=True)
class OptimizerMutant:
    kind: type[Base]
    mistake: str
    words: str
    settings: tuple[tuple[str, Any], ...] = ()

    def check(self, seed: int, broken: bool) -> Report:
        rng = np.random.default_rng(2000 + seed)
        weights = [Weight(rng.standard_normal((3, 4))), Weight(rng.standard_normal(5))]
        optimizer = self.kind(weights, self.mistake if broken else "", **dict(self.settings))
        return check_optimizer(optimizer, rng=seed)

    def __str__(self) -> str:
        return f"{self.kind.__name__}: {self.mistake}"


MUTANTS = [
    OptimizerMutant(SGD, "first step dampened", "first step is dampened", (("dampening", 0.3),)),
    OptimizerMutant(SGD, "nesterov ignored", "nesterov is ignored", (("nesterov", True),)),
    OptimizerMutant(SGD, "momentum as an average", "average"),
    OptimizerMutant(Adam, "no bias correction", "bias correction is missing"),
    OptimizerMutant(Adam, "eps inside the root", "inside the square root"),
    OptimizerMutant(Adam, "step count off by one", "one too large"),
    OptimizerMutant(AdamW, "decay coupled", "as in Adam"),
    OptimizerMutant(RMSprop, "eps inside the root", "inside the square root"),
    OptimizerMutant(RMSprop, "alpha exchanged", "exchanged"),
    OptimizerMutant(Adagrad, "lr_decay a step early", "counts the first step"),
    OptimizerMutant(Adagrad, "sum overwritten", "overwritten"),
]

"""Gradients: set to zero between steps, reaching every weight, of a sane size at every depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.layers.activation import ReLU
from minicnn.train.doctor.finding import Finding, fault, note, ok
from minicnn.train.doctor.patient import Patient
from minicnn.train.undo import undoing


def check_zeroing(patient: Patient) -> Finding:
    """With learning rate 0 the same batch gives the same gradients twice, unless the first stay in the sum."""
    check = "zeroed gradients"
    x, labels = patient.batch()
    gradients = []
    with undoing(patient.model, patient.optimizer):
        patient.model.train()
        for group in patient.optimizer.groups:
            group["lr"] = 0.0
        random = [
            (layer, layer.random_state())
            for _, layer in patient.model.named_layers()
            if hasattr(layer, "random_state")
        ]
        patient.model.zero_grad()
        for _ in range(2):
            for layer, state in random:
                layer.load_random_state(state)  # type: ignore[attr-defined]
            patient.step(x, labels)
            gradients.append(
                [to_numpy(p.grad).astype(np.float64) for p in patient.model.parameters() if p.has_grad]
            )
    first, second = gradients
    length = np.sqrt(sum((g**2).sum() for g in first))
    if not first or length == 0:
        return note(check, "there are no gradients after a step to compare")
    ratio = float(sum((a * b).sum() for a, b in zip(first, second)) / length**2)
    if ratio > 1.5:
        return fault(
            check,
            "gradients not zeroed",
            f"a second step on the same batch has {ratio:.2f} times the gradient of the first: old gradients "
            "stay in the sum. Call optimizer.zero_grad() before every backward",
        )
    return ok(check, f"a second step on the same batch has {ratio:.2f} times the gradient of the first")


def check_frozen(patient: Patient) -> Finding:
    """Every parameter changes within a few steps."""
    check = "trained weights"
    model = patient.model
    with undoing(model, patient.optimizer):
        before = {name: p.value.copy() for name, p in model.named_parameters()}
        patient.train(3)
        still = [name for name, p in model.named_parameters() if bool((p.value == before[name]).all())]
        frozen = {name for name, p in model.named_parameters() if p.frozen}
    ours = {id(p) for group in patient.optimizer.groups for p in group["params"]}
    forgotten = {name for name, p in model.named_parameters() if id(p) not in ours}
    total = len(before)
    if frozen | forgotten:
        names = sorted(frozen | forgotten, key=list(before).index)
        why = "frozen" if frozen else "not among the optimizer's parameters"
        return fault(
            check,
            "frozen by mistake",
            f"{len(names)} of {total} parameters are {why} and will not be trained: {_list(names)}. If that is not on "
            "purpose: model.unfreeze(), and make the optimizer with the whole model",
        )
    # A bias before batch norm has no effect, so rightly no gradient: only weights are judged.
    still = [name for name in still if len(before[name].shape) >= 2]
    if still:
        return fault(
            check,
            "weights that do not move",
            f"{len(still)} weight arrays did not change in three steps: {_list(still)}. Their gradient is zero or "
            "the learning rate is too small to be felt",
        )
    return ok(check, f"all weights among {total} parameters change")


@dataclass
class Depth:
    """Numbers by depth, one entry a leaf that computes: see plots.by_depth."""

    names: list[str]
    activations: list[float]
    gradients: list[float]
    update_ratios: list[float]
    dead: dict[str, float]  # ReLU -> share of its units that are 0 for every image


def measure_depth(patient: Patient) -> Depth:
    """One batch forward and backward, watched, and then the size of ten updates against their weights."""
    model, (x, labels) = patient.model, patient.batch()
    with undoing(model, patient.optimizer), np.errstate(all="ignore"):
        model.train()
        with model.watch() as records:
            patient.loss.forward(model.forward(x), labels)
            model.backward(patient.loss.backward())
        leaves = dict(model.leaves())
        dead = {
            name: _dead_share(to_numpy(records[name].y))
            for name, leaf in leaves.items()
            if isinstance(leaf, ReLU) and records[name].y is not None
        }
        patient.train(5)
        before = {name: p.value.copy() for name, p in model.named_parameters()}
        patient.train(1)
        ratios = {
            name.rpartition(".")[0]: _norm(p.value - before[name]) / (_norm(before[name]) or 1.0)
            for name, p in model.named_parameters()
            if len(p.shape) >= 2
        }
    names = [name for name, record in records.items() if record.y is not None]
    return Depth(
        names,
        [float(to_numpy(records[name].y).std()) for name in names],
        [
            float(to_numpy(records[name].dy).std()) if records[name].dy is not None else np.nan
            for name in names
        ],
        [ratios.get(name, np.nan) for name in names],
        dead,
    )


def check_depth(depth: Depth) -> Finding:
    """Neither forward nor backward do numbers die out or explode on their way."""
    check = "depth"
    sizes = [(n, a) for n, a in zip(depth.names, depth.activations) if np.isfinite(a)]
    gradients = [g for g in depth.gradients if np.isfinite(g) and g > 0]
    if len(gradients) < 2 or not sizes:
        return note(check, "no gradients to compare")
    ratio = gradients[0] / gradients[-1]
    text = f"outputs deviate by {sizes[0][1]:.2g} at the first layer and {sizes[-1][1]:.2g} at the last; gradients at the first are {ratio:.2g} of those at the last"
    if ratio < 1e-5 or min(size for _, size in sizes) < 1e-6:
        return fault(
            check,
            "vanishing gradients",
            f"{text}. Use ReLU with Kaiming initialisation, batch norm or shortcuts",
        )
    if ratio > 1e5 or max(size for _, size in sizes) > 1e5:
        return fault(
            check,
            "exploding numbers",
            f"{text}. Smaller initial weights, batch norm, or clipped gradients help",
        )
    return ok(check, text)


def check_dead(depth: Depth) -> Finding:
    """A ReLU unit that is 0 for every image has no gradient, so it stays so."""
    check = "dead ReLUs"
    if not depth.dead:
        return note(check, "the network has no ReLU")
    worst = max(depth.dead, key=lambda name: depth.dead[name])
    share = depth.dead[worst]
    text = f"at most {share:.0%} of a layer's units are 0 for every image ({worst})"
    if share > 0.5:
        return fault(
            check,
            "dead ReLUs",
            f"{text}: they get no gradient and stay dead. Look for large negative biases, a learning rate that was "
            "too high, or inputs that are not centred",
        )
    return note(check, text) if share > 0.25 else ok(check, text)


def check_update_ratio(depth: Depth) -> Finding:
    """|update| / |weight| near 1e-3: far less hardly trains, far more leaps (CS231n, Bottou)."""
    check = "update / weight"
    ratios = [ratio for ratio in depth.update_ratios if np.isfinite(ratio)]
    if not ratios:
        return note(check, "there are no weights to compare")
    middle = float(np.median(ratios))
    text = f"{middle:.1e} (median of {len(ratios)} layers; 1e-4 to 1e-2 is usual)"
    return ok(check, text) if 3e-5 <= middle <= 3e-2 else note(check, f"{text}: see the learning rate")


def _dead_share(y: Any) -> float:
    """Units are channels for images, numbers for rows."""
    axes = (0, *range(2, y.ndim))
    return float((np.abs(y).max(axis=axes) == 0).mean())


def _norm(array: Any) -> float:
    return float(np.linalg.norm(to_numpy(array).astype(np.float64)))


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")

"""One training step and one prediction, in minicnn and in PyTorch, and how they are timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.networks import Network, copy_weights
from minicnn import inference
from minicnn.losses import CrossEntropyLoss, WithAuxiliary
from minicnn.optim import SGD

Step = Callable[[], Any]
AUXILIARY_WEIGHT = 0.3  # of GoogLeNet's two other outputs; networks with one output have none
CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}


def batch_of(network: Network, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((batch, *network.shape), dtype=np.float32)
    return x, rng.integers(0, 10, batch)


def minicnn_steps(network: Network, batch: int) -> tuple[Step, Step]:
    """(training step, prediction) with what a user writes: layers, a loss, an optimizer."""
    x, labels = batch_of(network, batch)
    if network.shape[0] > 3:
        # What enters a block comes from a layer, stored as that layer left it; PyTorch gets both layouts too.
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    model, loss = (
        network.minicnn(np.random.default_rng(0)),
        WithAuxiliary(CrossEntropyLoss(), AUXILIARY_WEIGHT),
    )
    optimizer = SGD(model, lr=1e-3, momentum=0.9)

    def train() -> float:
        optimizer.zero_grad()
        value = loss(model(x), labels)
        model.backward(loss.backward(), need_dx=False)  # type: ignore[call-arg]
        optimizer.step()
        return float(value)

    def predict() -> Any:
        model.eval()
        with inference():
            y = model(x)
        model.train()
        return y

    return train, predict


def torch_steps(network: Network, batch: int, channels_last: bool) -> tuple[Step, Step]:
    import torch
    from torch.nn import functional

    x, labels = (torch.from_numpy(array) for array in batch_of(network, batch))
    module = network.torch(torch.nn)
    copy_weights(network.minicnn(np.random.default_rng(0)), module)
    if channels_last:
        module = module.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)

    def train() -> float:
        optimizer.zero_grad()
        outputs = module(x)
        main, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        value = functional.cross_entropy(main, labels)
        for output in auxiliary:
            value = value + AUXILIARY_WEIGHT * functional.cross_entropy(output, labels)
        value.backward()
        optimizer.step()
        return float(value)

    def predict() -> Any:
        module.eval()
        with torch.inference_mode():
            y = module(x)
        module.train()
        return y

    return train, predict


def alternate(steps: dict[str, Step], seconds: float, clock: str) -> dict[str, tuple[float, float]]:
    """(minimum, median) seconds of each, taken in turns so that a busy machine hurts all alike."""
    now = CLOCKS[clock]
    for step in steps.values():
        step()
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 3:
        for name, step in steps.items():
            for warm in (False, True):  # the first after another library's finds its caches cold
                start = now()
                step()
                if warm:
                    times[name].append(now() - start)
    return {name: (min(values), float(np.median(values))) for name, values in times.items()}


def compare(
    network: Network, batch: int, seconds: float, clock: str, predicting: bool = False
) -> dict[str, Any]:
    """Times of both in milliseconds, the better of PyTorch's layouts, and the ratios."""
    which = 1 if predicting else 0
    start = time.perf_counter()
    ours = minicnn_steps(network, batch)[which]
    ours()
    first = time.perf_counter() - start
    steps = {"minicnn": ours}
    for channels_last in (False, True):
        steps[f"torch {'NHWC' if channels_last else 'NCHW'}"] = torch_steps(network, batch, channels_last)[
            which
        ]
    times = alternate(steps, seconds, clock)
    theirs = [min(times[name][i] for name in times if name != "minicnn") for i in (0, 1)]
    return {
        "network": network.name,
        "batch": batch,
        "ms": {name: [round(1e3 * value, 4) for value in pair] for name, pair in times.items()},
        "ratio_min": round(theirs[0] / times["minicnn"][0], 3),
        "ratio_median": round(theirs[1] / times["minicnn"][1], 3),
        "first_step_s": round(first, 2),
        "required": None if predicting else network.required,
    }

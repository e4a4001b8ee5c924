"""Training steps on a GPU beside PyTorch with cuDNN: part of make gpu-check, or python -m benchmarks.gpu_training

Both train the same network with the same weights on the same random batch, by SGD with momentum; ours as the
Trainer does it, forward, loss and backward as one CUDA graph. Steps of the two alternate in rounds; a
round's time is that of many steps, from an idle GPU to an idle GPU. TF32 is off in the rows "fp32" and on in
the others, in cuDNN and cuBLAS as in our kernels.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from benchmarks import from_checkout  # noqa: F401  (first: it makes minicnn.kernels importable)
from benchmarks.networks import copy_weights, torch_convnet3, torch_lenet
from minicnn import models
from minicnn.kernels import using
from minicnn.layers.base import backward_into
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD

ROUNDS = 5
ROUND_SECONDS = 0.4


class Row(NamedTuple):
    """One line of the table. required and aim: PyTorch's time over ours."""

    model: str
    shape: tuple[int, int, int]
    batch: int
    tf32: bool
    required: float
    aim: float
    classes: int = 10

    @property
    def dropout(self) -> bool:
        """Then the losses of the two differ: each draws its own masks."""
        return self.model in ("convnet3", "vgg16")


ROWS = [
    Row("lenet5", (1, 28, 28), 128, False, 1.5, 3.0),
    Row("convnet3", (3, 32, 32), 512, False, 1.0, 1.5),
    Row("resnet18", (3, 224, 224), 64, False, 0.5, 1.0, 1000),
    Row("vgg16", (3, 224, 224), 32, False, 0.5, 1.0, 1000),
    Row("resnet18", (3, 224, 224), 64, True, 0.35, 0.8, 1000),
]


def torch_module(name: str) -> Any:
    """The network in PyTorch."""
    from torch import nn

    from benchmarks import torch_models

    small = {"lenet5": torch_lenet, "convnet3": torch_convnet3}
    return small[name](nn) if name in small else torch_models.build(name)


def our_step(row: Row, device: str = "cuda") -> tuple[Callable[[], Any], Any]:
    """(a training step, which returns the loss, the model)."""
    from minicnn.backend import to_device
    from minicnn.train.graph import step_for

    model = models.build(row.model, rng=np.random.default_rng(0)).to(device).train()
    x, labels = (to_device(array, device) for array in batch_of(row))
    loss, optimizer = CrossEntropyLoss(), SGD(model, lr=1e-3, momentum=0.9)
    graph = step_for(model, loss, "auto")

    def step() -> Any:
        optimizer.zero_grad()
        with using("tf32") if row.tf32 else nullcontext():
            if graph is not None:
                value, _ = graph(x, labels)
            else:
                value = loss.forward(model.forward(x), labels)
                backward_into(model, loss.backward(), need_dx=False)
        optimizer.step()
        return value

    step.graph = graph  # type: ignore[attr-defined]
    return step, model


def torch_step(row: Row, model: Any) -> Callable[[], Any]:
    import torch
    from torch.nn import functional

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = row.tf32
    torch.backends.cudnn.benchmark = True  # its fastest algorithms, tried out in the first steps
    module = torch_module(row.model).train()
    copy_weights(model, module)
    module = module.cuda()
    x, labels = (torch.from_numpy(array).cuda() for array in batch_of(row))
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)

    def step() -> Any:
        optimizer.zero_grad()
        loss = functional.cross_entropy(module(x), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def batch_of(row: Row) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((row.batch, *row.shape), dtype=np.float32), rng.integers(
        0, row.classes, row.batch
    )


def measure(row: Row) -> dict[str, Any]:
    """One line of the table: milliseconds a step, and their ratio. Without PyTorch ours alone."""
    import cupy

    cpu_model = models.build(row.model, rng=np.random.default_rng(0))
    ours, _ = our_step(row)
    steps: dict[str, Callable[[], Any]] = {"minicnn": ours}
    wait: dict[str, Callable[[], Any]] = {"minicnn": cupy.cuda.Device().synchronize}
    problem = ""
    losses = {"minicnn": float(ours())}
    for _ in range(4):  # compiles, records the graph
        ours()
    try:
        import torch

        steps["torch"], wait["torch"] = torch_step(row, cpu_model), torch.cuda.synchronize
        losses["torch"] = float(steps["torch"]())
        for _ in range(4):  # tries cuDNN's algorithms
            steps["torch"]()
    except Exception as error:
        steps.pop("torch", None)
        problem = f"{type(error).__name__}: {error}"
    del cpu_model
    if (
        "torch" in losses
        and not row.dropout
        and abs(losses["torch"] - losses["minicnn"]) > 0.01 * losses["torch"]
    ):
        raise ArithmeticError(f"the two compute different losses from the same weights: {losses}")
    times: dict[str, list[float]] = {name: [] for name in steps}
    counts = {
        name: max(3, int(ROUND_SECONDS / max(_seconds(step, 3, wait[name]), 1e-6)))
        for name, step in steps.items()
    }
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(_seconds(step, counts[name], wait[name]))
    graph = ours.graph  # type: ignore[attr-defined]
    ms = {name: 1e3 * statistics.median(each) for name, each in times.items()}
    return {
        **row._asdict(),
        "first_loss": losses,
        "ms": {name: round(value, 4) for name, value in ms.items()},
        "ms_rounds": {name: [round(1e3 * value, 4) for value in each] for name, each in times.items()},
        "ratio": round(ms["torch"] / ms["minicnn"], 3) if "torch" in ms else None,
        "torch_problem": problem,
        "images_per_second": {name: round(1e3 * row.batch / value) for name, value in ms.items()},
        "graph": "replayed"
        if graph is not None and graph.replays
        else f"not recorded: {graph and graph.problem}",
    }


def _seconds(step: Callable[[], Any], count: int, wait: Callable[[], Any]) -> float:
    wait()
    start = time.perf_counter()
    for _ in range(count):
        step()
    wait()
    return (time.perf_counter() - start) / count


def items() -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """The rows, as make gpu-check walks over them."""
    return [(title(row._asdict()), lambda row=row: measure(row)) for row in ROWS]


def cpu_items() -> list[tuple[str, Callable[[], float]]]:
    """Images a second of the CPU engine on the same steps, for small networks: large ones would take minutes."""
    return [
        (row.model, lambda row=row: cpu_images_per_second(row))
        for row in ROWS
        if row.model in ("lenet5", "convnet3")
    ]


def cpu_images_per_second(row: Row) -> float:
    step, _ = our_step(row, "cpu")
    step()
    return round(row.batch / min(_seconds(step, 3, lambda: None) for _ in range(3)))


def title(row: Mapping[str, Any]) -> str:
    return f"{row['model']}, batch {row['batch']}, {'TF32' if row['tf32'] else 'fp32'}"


def markdown(results: list[dict[str, Any]], cpu: Mapping[str, float] | None = None) -> str:
    """The table of walked items; cpu: images a second of the CPU engine, by model."""
    lines = [
        "| training step | PyTorch / minicnn | required | aim | minicnn ms | PyTorch ms | minicnn img/s | PyTorch img/s | CPU img/s | CUDA graph |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows = {title(row._asdict()): row for row in ROWS}
    for each in results:
        row, found = rows[each["item"]], each["found"]
        start, wanted = f"| {each['item']}", f"{row.required} | {row.aim}"
        if not each["passed"]:
            lines.append(f"{start} | not measured: {str(found).replace('|', '/')} | {wanted} |" + " - |" * 6)
            continue
        ms, speed = found["ms"], found["images_per_second"]
        ratio = (
            f"{found['ratio']:.2f}" if "torch" in ms else f"- ({found['torch_problem']})".replace("|", "/")
        )
        theirs = (f"{ms['torch']:.3f}", f"{speed['torch']:,}") if "torch" in ms else ("-", "-")
        speed_cpu = (cpu or {}).get(row.model)
        cells = [ratio, wanted, f"{ms['minicnn']:.3f}", theirs[0], f"{speed['minicnn']:,}", theirs[1]]
        cells += ["-" if speed_cpu is None else f"{speed_cpu:,}", found["graph"].replace("|", "/")]
        lines.append(f"{start} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    results = []
    for name, compute in items():
        try:
            results.append({"item": name, "passed": True, "found": compute()})
        except Exception as error:
            results.append({"item": name, "passed": False, "found": f"{type(error).__name__}: {error}"})
        print(json.dumps(results[-1]), flush=True)
    print(markdown(results))


if __name__ == "__main__":
    main()

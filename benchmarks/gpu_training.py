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
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from benchmarks import from_checkout  # noqa: F401  (first: it makes minicnn.kernels importable)
from benchmarks.networks import copy_weights, torch_convnet3, torch_lenet
from minicnn import models
from minicnn.kernels import using
from minicnn.losses import CrossEntropyLoss
from minicnn.models import ARCHITECTURES
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


ROWS = [
    Row("lenet5", (1, 28, 28), 128, False, 1.5, 3.0),
    Row("convnet3", (3, 32, 32), 512, False, 1.0, 1.5),
    Row("resnet18", (3, 224, 224), 64, False, 0.5, 1.0, 1000),
    Row("vgg16", (3, 224, 224), 32, False, 0.5, 1.0, 1000),
    Row("resnet18", (3, 224, 224), 64, True, 0.35, 0.8, 1000),
]


def torch_vgg16(nn: Any) -> Any:
    layers: list[Any] = []
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    head = [
        nn.Linear(25088, 4096),
        nn.ReLU(True),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(True),
        nn.Dropout(),
    ]
    return nn.Sequential(*layers, nn.Flatten(), *head, nn.Linear(4096, 1000))


def torch_resnet18(nn: Any) -> Any:
    class Block(nn.Module):
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2, self.downsample = nn.BatchNorm2d(width), nn.Identity()
            if stride != 1 or channels != width:
                conv = nn.Conv2d(channels, width, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(width))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + self.downsample(x))

    stem = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    blocks, channels = [], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(channels, width, stride), Block(width, width, 1)]
        channels = width
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


TORCH = {"lenet5": torch_lenet, "convnet3": torch_convnet3, "vgg16": torch_vgg16, "resnet18": torch_resnet18}


def our_step(row: Row, device: str = "cuda") -> tuple[Callable[[], None], Any]:
    """(a training step, the model)."""
    from minicnn.backend import to_device
    from minicnn.train.graph import step_for

    model = models.build(row.model, rng=np.random.default_rng(0)).to(device).train()
    x, labels = (to_device(array, device) for array in batch_of(row))
    loss, optimizer = CrossEntropyLoss(), SGD(model, lr=1e-3, momentum=0.9)
    graph = step_for(model, loss, "auto")

    def step() -> None:
        optimizer.zero_grad()
        with using("tf32") if row.tf32 else nullcontext():
            if graph is not None:
                graph(x, labels)
            else:
                loss.forward(model.forward(x), labels)
                model.backward(loss.backward(), need_dx=False)  # type: ignore[call-arg]
        optimizer.step()

    step.graph = graph  # type: ignore[attr-defined]
    return step, model


def torch_step(row: Row, model: Any) -> Callable[[], None]:
    import torch
    from torch.nn import functional

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = row.tf32
    torch.backends.cudnn.benchmark = True  # its fastest algorithms, tried out in the first steps
    module = TORCH[row.model](torch.nn).train()
    copy_weights(model, module)
    module = module.cuda()
    x, labels = (torch.from_numpy(array).cuda() for array in batch_of(row))
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(module(x), labels).backward()
        optimizer.step()

    return step


def batch_of(row: Row) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((row.batch, *row.shape), dtype=np.float32), rng.integers(
        0, row.classes, row.batch
    )


def measure(row: Row) -> dict[str, Any]:
    """One line of the table: milliseconds a step, and their ratio."""
    import cupy
    import torch

    cpu_model = models.build(row.model, rng=np.random.default_rng(0))
    ours, _ = our_step(row)
    theirs = torch_step(row, cpu_model)
    times: dict[str, list[float]] = {"minicnn": [], "torch": []}
    wait = {"minicnn": cupy.cuda.Device().synchronize, "torch": torch.cuda.synchronize}
    steps = {"minicnn": ours, "torch": theirs}
    counts = {}
    for name, step in steps.items():
        for _ in range(5):  # compiles, records the graph, tries cuDNN's algorithms
            step()
        counts[name] = max(3, int(ROUND_SECONDS / max(_seconds(step, 3, wait[name]), 1e-6)))
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(_seconds(step, counts[name], wait[name]))
    graph = ours.graph  # type: ignore[attr-defined]
    ms = {name: 1e3 * statistics.median(each) for name, each in times.items()}
    return {
        **row._asdict(),
        "ms": {name: round(value, 4) for name, value in ms.items()},
        "ms_rounds": {name: [round(1e3 * value, 4) for value in each] for name, each in times.items()},
        "ratio": round(ms["torch"] / ms["minicnn"], 3),
        "images_per_second": round(1e3 * row.batch / ms["minicnn"]),
        "graph": "replayed"
        if graph is not None and graph.replays
        else f"not recorded: {graph and graph.problem}",
    }


def _seconds(step: Callable[[], None], count: int, wait: Callable[[], Any]) -> float:
    wait()
    start = time.perf_counter()
    for _ in range(count):
        step()
    wait()
    return (time.perf_counter() - start) / count


def cpu_images_per_second(row: Row) -> float:
    """The CPU engine on the same step; small networks only, the large would take the time of all others."""
    step, _ = our_step(row, "cpu")
    step()
    return round(row.batch / _seconds(step, 3, lambda: None))


def measure_all() -> list[dict[str, Any]]:
    """Every row whose model there is; what goes wrong in one is written down and does not stop the others."""
    results = []
    for row in ROWS:
        try:
            if row.model not in ARCHITECTURES:
                raise LookupError(f"minicnn.models has no {row.model} yet")
            result = measure(row)
            if row.model in ("lenet5", "convnet3"):
                result["cpu_images_per_second"] = cpu_images_per_second(row)
        except Exception as error:
            result = {**row._asdict(), "not_measured": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)
        results.append(result)
    return results


def markdown(results: list[dict[str, Any]]) -> str:
    """The table."""
    lines = [
        "| network | batch | arithmetic | PyTorch / minicnn | required | aim | minicnn ms | PyTorch ms | img/s | CPU img/s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        start = f"| {each['model']} | {each['batch']} | {'TF32' if each['tf32'] else 'fp32'}"
        wanted = f"{each['required']} | {each['aim']}"
        if "not_measured" in each:
            lines.append(f"{start} | not measured: {each['not_measured']} | {wanted} | - | - | - | - |")
            continue
        ms = f"{each['ms']['minicnn']:.3f} | {each['ms']['torch']:.3f}"
        cpu = each.get("cpu_images_per_second", "-")
        lines.append(
            f"{start} | {each['ratio']:.2f} | {wanted} | {ms} | {each['images_per_second']} | {cpu} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(measure_all()))

"""The networks of the comparison, each written twice: in minicnn and in PyTorch, with the same weights.

Blocks of larger networks end in a global average and a linear layer, so that every one can be
trained on labels in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn import layers as ours
from minicnn.models import build, convnet3, lenet5


class Network(NamedTuple):
    """One line of the table."""

    name: str
    minicnn: Callable[[np.random.Generator], ours.Layer]
    torch: Callable[[Any], Any]  # takes torch.nn
    shape: tuple[int, int, int]
    batch: int
    required: float  # PyTorch's time over ours


def _conv(rng: np.random.Generator, i: int, o: int, k: int, bias: bool = False) -> ours.Conv2d:
    return ours.Conv2d(i, o, k, padding=k // 2, bias=bias, rng=rng)


def _head(rng: np.random.Generator, channels: int) -> list[ours.Layer]:
    return [ours.AdaptiveAvgPool2d(1), ours.Flatten(), ours.Linear(channels, 10, rng=rng)]


def _torch_head(nn: Any, channels: int) -> list[Any]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def torch_lenet(nn: Any) -> Any:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def torch_convnet3(nn: Any) -> Any:
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(2048, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10)),
    )


def vgg_block(rng: np.random.Generator) -> ours.Layer:
    body: list[ours.Layer] = []
    for _ in range(3):
        body += [_conv(rng, 256, 256, 3, bias=True), ours.ReLU()]
    return ours.Sequential(*body, ours.MaxPool2d(2), *_head(rng, 256))


def torch_vgg_block(nn: Any) -> Any:
    body: list[Any] = []
    for _ in range(3):
        body += [nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*body, nn.MaxPool2d(2), *_torch_head(nn, 256))


def _residual(rng: np.random.Generator, shape: list[tuple[int, int, int]]) -> ours.Layer:
    body: list[ours.Layer] = []
    for i, o, k in shape:
        body += [_conv(rng, i, o, k), ours.BatchNorm2d(o), ours.ReLU()]
    block = ours.Sequential(ours.Residual(ours.Sequential(*body[:-1])), ours.ReLU())
    return ours.Sequential(block, *_head(rng, shape[-1][1]))


def _torch_residual(nn: Any, shape: list[tuple[int, int, int]]) -> Any:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            body: list[Any] = []
            for i, o, k in shape:
                body += [
                    nn.Conv2d(i, o, k, padding=k // 2, bias=False),
                    nn.BatchNorm2d(o),
                    nn.ReLU(inplace=True),
                ]
            self.body, self.relu = nn.Sequential(*body[:-1]), nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            return self.relu(self.body(x) + x)

    return nn.Sequential(Residual(), *_torch_head(nn, shape[-1][1]))


def _basic(channels: int, side: int, required: float) -> Network:
    shape = [(channels, channels, 3)] * 2
    return Network(
        f"ResNet basic block {channels}@{side}",
        lambda rng: _residual(rng, shape),
        lambda nn: _torch_residual(nn, shape),
        (channels, side, side),
        8,
        required,
    )


def _bottleneck(channels: int, side: int) -> Network:
    wide = 4 * channels
    shape = [(wide, channels, 1), (channels, channels, 3), (channels, wide, 1)]
    return Network(
        f"bottleneck {wide}@{side}",
        lambda rng: _residual(rng, shape),
        lambda nn: _torch_residual(nn, shape),
        (wide, side, side),
        4,
        1.15,
    )


def _published(title: str, batch: int, required: float) -> Network:
    """A whole network at 224x224, in PyTorch by torch_models.py."""
    name = title.lower().replace("-", "")

    def theirs(nn: Any) -> Any:
        from benchmarks import torch_models

        return torch_models.build(name)

    return Network(title, lambda rng: build(name, rng=rng), theirs, (3, 224, 224), batch, required)


NETWORKS = [
    Network("LeNet-5", lambda rng: lenet5(rng=rng), torch_lenet, (1, 28, 28), 64, 2.5),
    Network("LeNet-5", lambda rng: lenet5(rng=rng), torch_lenet, (1, 28, 28), 128, 2.5),
    Network("convnet3", lambda rng: convnet3(rng=rng), torch_convnet3, (3, 32, 32), 128, 1.8),
    Network("VGG-16 block 3 x 256@56", vgg_block, torch_vgg_block, (256, 56, 56), 4, 2.0),
    *(_basic(channels, side, 1.6) for channels, side in ((64, 56), (128, 28), (256, 14))),
    *(_bottleneck(channels, side) for channels, side in ((64, 56), (128, 28), (256, 14))),
    _published("AlexNet", 16, 1.2),
    _published("VGG-16", 4, 1.9),
    _published("GoogLeNet", 8, 1.2),
    _published("ResNet-18", 8, 1.5),
    _published("ResNet-50", 4, 1.1),
    _published("DenseNet-121", 4, 1.1),
]


def copy_weights(model: ours.Layer, module: Any) -> None:
    """Give the PyTorch module minicnn's weights: both list their parameters in the same order."""
    import torch

    theirs = list(module.parameters())
    mine = list(model.parameters())
    assert [tuple(p.shape) for p in theirs] == [p.shape for p in mine]
    with torch.no_grad():
        for parameter, other in zip(mine, theirs):
            other.copy_(torch.from_numpy(parameter.value))

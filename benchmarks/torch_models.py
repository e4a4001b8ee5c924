"""The architectures in PyTorch, for comparison: torchvision's names and numbers, our `width` option.

Written from the papers' tables and torchvision's documentation, so that comparisons run where
torchvision is not installed. Where it is, tests/torch/test_models_torch.py holds these against it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


class AlexNet(nn.Module):
    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        a, b, c, d = (scaled(channels, width) for channels in (64, 192, 384, 256))
        hidden = scaled(4096, width)
        self.features = nn.Sequential(
            *(nn.Conv2d(3, a, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(d, d, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(d * 36, hidden), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)),
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class VGG(nn.Module):
    def __init__(self, counts: tuple[int, ...], batch_norm: bool, num_classes: int, width: float) -> None:
        super().__init__()
        layers: list[Any] = []
        channels = 3
        for count, stage in zip(counts, (64, 128, 256, 512, 512)):
            for _ in range(count):
                layers.append(nn.Conv2d(channels, scaled(stage, width), 3, padding=1))
                channels = scaled(stage, width)
                layers += [nn.BatchNorm2d(channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        hidden = scaled(4096, width)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            *(nn.Linear(channels * 49, hidden), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, num_classes)),
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class BasicConv(nn.Module):
    def __init__(self, i: int, o: int, kernel_size: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel_size, bias=False, **options)
        self.bn = nn.BatchNorm2d(o, eps=0.001)

    def forward(self, x: Any) -> Any:
        return torch.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, i: int, a: int, b: int, c: int, d: int, e: int, f: int) -> None:
        super().__init__()
        self.branch1 = BasicConv(i, a, 1)
        self.branch2 = nn.Sequential(BasicConv(i, b, 1), BasicConv(b, c, 3, padding=1))
        self.branch3 = nn.Sequential(BasicConv(i, d, 1), BasicConv(d, e, 3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv(i, f, 1))

    def forward(self, x: Any) -> Any:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    def __init__(self, i: int, num_classes: int, width: float) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = BasicConv(i, scaled(128, width), 1)
        self.fc1 = nn.Linear(16 * scaled(128, width), scaled(1024, width))
        self.fc2 = nn.Linear(scaled(1024, width), num_classes)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Any) -> Any:
        return self.fc2(self.dropout(torch.relu(self.fc1(self.conv(self.pool(x)).flatten(1)))))


class GoogLeNet(nn.Module):
    COLUMNS = (
        ("3a", 64, 96, 128, 16, 32, 32),
        ("3b", 128, 128, 192, 32, 96, 64),
        ("4a", 192, 96, 208, 16, 48, 64),
        ("4b", 160, 112, 224, 24, 64, 64),
        ("4c", 128, 128, 256, 24, 64, 64),
        ("4d", 112, 144, 288, 32, 64, 64),
        ("4e", 256, 160, 320, 32, 128, 128),
        ("5a", 256, 160, 320, 32, 128, 128),
        ("5b", 384, 192, 384, 48, 128, 128),
    )

    def __init__(self, num_classes: int, width: float) -> None:
        super().__init__()
        i, o = scaled(64, width), scaled(192, width)
        self.conv1 = BasicConv(3, i, 7, stride=2, padding=3)
        self.conv2 = BasicConv(i, i, 1)
        self.conv3 = BasicConv(i, o, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.pool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        channels = {}
        for name, *columns in self.COLUMNS:
            widths = [scaled(column, width) for column in columns]
            setattr(self, f"inception{name}", Inception(o, *widths))
            channels[name] = o = widths[0] + widths[2] + widths[4] + widths[5]
        self.aux1 = InceptionAux(channels["4a"], num_classes, width)
        self.aux2 = InceptionAux(channels["4d"], num_classes, width)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(o, num_classes)

    def forward(self, x: Any) -> Any:
        x = self.pool(self.conv3(self.conv2(self.pool(self.conv1(x)))))
        at_4a = self.inception4a(self.pool(self.inception3b(self.inception3a(x))))
        at_4d = self.inception4d(self.inception4c(self.inception4b(at_4a)))
        x = self.inception5b(self.inception5a(self.pool4(self.inception4e(at_4d))))
        logits = self.fc(self.dropout(x.mean((2, 3))))
        return (logits, self.aux2(at_4d), self.aux1(at_4a)) if self.training else logits


class Residual(nn.Module):
    """Both of ResNet's blocks: `shape` has (in, out, kernel size, stride) of every convolution."""

    def __init__(self, shape: list[tuple[int, int, int, int]], stride: int) -> None:
        super().__init__()
        self.count = len(shape)
        for number, (i, o, k, s) in enumerate(shape, start=1):
            setattr(self, f"conv{number}", nn.Conv2d(i, o, k, s, k // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(o))
        i, o = shape[0][0], shape[-1][1]
        self.downsample = None
        if stride > 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            if number < self.count:
                y = self.relu(y)
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self, bottleneck: bool, blocks: tuple[int, ...], num_classes: int, width: float) -> None:
        super().__init__()
        i = scaled(64, width)
        self.conv1 = nn.Conv2d(3, i, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(i)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for number, count in enumerate(blocks):
            c, stage = scaled(64 * 2**number, width), []
            for index in range(count):
                s = 2 if index == 0 and number > 0 else 1
                shape = (
                    [(i, c, 1, 1), (c, c, 3, s), (c, 4 * c, 1, 1)]
                    if bottleneck
                    else [(i, c, 3, s), (c, c, 3, 1)]
                )
                stage.append(Residual(shape, s))
                i = shape[-1][1]
            setattr(self, f"layer{number + 1}", nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(i, num_classes)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class DenseLayer(nn.Module):
    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(i)
        self.conv1 = nn.Conv2d(i, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Any) -> Any:
        inside = self.conv1(nn.functional.relu(self.norm1(x), inplace=True))
        return self.conv2(nn.functional.relu(self.norm2(inside), inplace=True))


class DenseBlock(nn.ModuleDict):
    def forward(self, x: Any) -> Any:
        features = [x]
        for layer in self.values():
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)


class DenseNet(nn.Module):
    def __init__(
        self, growth: int, blocks: tuple[int, ...], first: int, num_classes: int, width: float
    ) -> None:
        super().__init__()
        growth, i = scaled(growth, width), scaled(first, width)
        features: dict[str, Any] = {
            "conv0": nn.Conv2d(3, i, 7, 2, 3, bias=False),
            "norm0": nn.BatchNorm2d(i),
            "relu0": nn.ReLU(inplace=True),
            "pool0": nn.MaxPool2d(3, 2, 1),
        }
        for number, count in enumerate(blocks, start=1):
            layers = {f"denselayer{j + 1}": DenseLayer(i + j * growth, growth) for j in range(count)}
            features[f"denseblock{number}"] = DenseBlock(layers)
            i += count * growth
            if number < len(blocks):
                features[f"transition{number}"] = nn.Sequential()
                parts = {"norm": nn.BatchNorm2d(i), "relu": nn.ReLU(inplace=True)}
                parts |= {"conv": nn.Conv2d(i, i // 2, 1, bias=False), "pool": nn.AvgPool2d(2)}
                for name, part in parts.items():
                    features[f"transition{number}"].add_module(name, part)
                i //= 2
        self.features = nn.Sequential()
        for name, part in {**features, "norm5": nn.BatchNorm2d(i)}.items():
            self.features.add_module(name, part)
        self.classifier = nn.Linear(i, num_classes)

    def forward(self, x: Any) -> Any:
        return self.classifier(torch.relu(self.features(x)).mean((2, 3)))


COLUMNS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2,) * 5, "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
RESNETS = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
    "resnet152": (True, (3, 8, 36, 3)),
}
DENSENETS = {
    "densenet121": (32, (6, 12, 24, 16), 64),
    "densenet161": (48, (6, 12, 36, 24), 96),
    "densenet169": (32, (6, 12, 32, 32), 64),
    "densenet201": (32, (6, 12, 48, 32), 64),
}
NAMES = [
    *("alexnet", "googlenet"),
    *(name + suffix for name in COLUMNS for suffix in ("", "_bn")),
    *RESNETS,
    *DENSENETS,
]


def build(name: str, num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """The network of that name."""
    if name == "alexnet":
        return AlexNet(num_classes, width)
    if name == "googlenet":
        return GoogLeNet(num_classes, width)
    if name in RESNETS:
        return ResNet(*RESNETS[name], num_classes, width)
    if name in DENSENETS:
        return DenseNet(*DENSENETS[name], num_classes, width)
    return VGG(COLUMNS[name.removesuffix("_bn")], name.endswith("_bn"), num_classes, width)

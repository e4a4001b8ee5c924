"""Write docs/architectures.md and its figures from the models themselves:  python scripts/make_architecture_docs.py"""

from __future__ import annotations

from pathlib import Path

from minicnn import models, plots
from minicnn.models.measure import size, weightless
from minicnn.models.outline import Step, outline, table

DOCS = Path(__file__).parents[1] / "docs"

# family -> (members, where it is from, what is special about it)
FAMILIES = {
    "LeNet-5": (("lenet5",), "lenet.py", "LeCun et al. 1998. Convolution, pooling, convolution, pooling, and a small classifier."),
    "AlexNet": (("alexnet",), "alexnet.py", "Krizhevsky 2014. Large windows first; 94% of the parameters lie in the fully connected layers."),
    "VGG": (
        ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
        "vgg.py",
        "Simonyan & Zisserman 2015. Only 3x3 windows: two of them see as far as one 5x5, with fewer weights and a "
        "ReLU more.",
    ),
    "GoogLeNet": (
        ("googlenet",),
        "googlenet.py",
        "Szegedy et al. 2015. Four branches side by side, 1x1 convolutions in front of the expensive ones. Two "
        "auxiliary classifiers, which only training uses, hang on inception4a and inception4d; they are not drawn.",
    ),
    "ResNet": (
        ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        "resnet.py",
        "He et al. 2015. Every block adds to what arrives: y = relu(body(x) + x), so a gradient reaches the first "
        "layers without passing through all others.",
    ),
    "ResNet for 32x32 images, and its plain twins": (
        ("resnet20", "resnet56", "plain20", "plain56"),
        "resnet_cifar.py",
        "He et al. 2015, section 4.2. The twins differ in nothing but the addition: "
        "[`python -m benchmarks.architectures depth`](../benchmarks/depth.py) trains all four the same way: without "
        "the addition 56 layers do far worse than 20 even on the training images, with it they do not.\n\n"
        "![Training error of plain and of residual networks of 20 and 56 layers](../benchmarks/results/depth.png)\n\n",
    ),
    "DenseNet": (
        ("densenet121", "densenet161", "densenet169", "densenet201"),
        "densenet.py",
        "Huang et al. 2017. Every layer reads the features of all before it in its block, and adds a few: "
        "see [layers/dense.py](../minicnn/layers/dense.py) for how that is done without copying.",
    ),
}  # fmt: skip


def main() -> None:
    (DOCS / "architectures.md").write_text(page(), encoding="utf-8")
    for file, drawn in _pictures().items():
        plots.architectures(drawn).savefig(DOCS / file, dpi=90)


def page() -> str:
    """The text of docs/architectures.md."""
    parts = [
        "# The architectures\n",
        "Written by `python scripts/make_architecture_docs.py` from the models themselves; do not edit. `minicnn models "
        "NAME --draw FILE.png` draws a single one.\n",
        "In the figures a box is a step: as high as its feature map, as wide as it has channels (both logarithmic). Above "
        "it stand its channels, below it the height of the map where that changes; ×3 means three such blocks. In the "
        "tables `256 @ 56×56` is 256 channels of 56x56, and a norm's parameters count with the convolution before it. "
        "Names are those of the state dict, which are torchvision's.\n",
        "What all take: `num_classes`, `in_channels`, `width` (a factor on all channels), `checkpoint_blocks` "
        "(recompute blocks in backward, for memory), `rng`; ResNet, DenseNet and VGG also `small_images` for 32x32. "
        "`help(minicnn.models.resnet.resnet)` says more.\n",
    ]
    for title, (names, file, text) in FAMILIES.items():
        parts += _family(title, names, file, text)
    return "\n".join(parts)


def _outlines(names: tuple[str, ...]) -> dict[str, list[Step]]:
    return {name: outline(weightless(name), models.architecture(name).input_shape) for name in names}


def _drawn(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if not name.endswith("_bn"))


def _picture(file: str) -> str:
    return f"images/{file.removesuffix('.py')}.png"


def _pictures() -> dict[str, dict[str, list[Step]]]:
    return {_picture(file): _outlines(_drawn(names)) for names, file, _ in FAMILIES.values()}


def _family(title: str, names: tuple[str, ...], file: str, text: str) -> list[str]:
    outlines = _outlines(names)
    parts = [
        f"## {title}\n",
        f"{text} [`models/{file}`](../minicnn/models/{file})\n",
        f"![{', '.join(_drawn(names))}]({_picture(file)})\n",
    ]
    for name in names:
        shape, parameters, multiply_adds = size(name)
        parts += [
            f"<details><summary><b>{name}</b>: {'x'.join(map(str, shape))}, {parameters:,} parameters, "
            f"{multiply_adds:,} multiply-adds</summary>\n",
            "| name | block | output | parameters | multiply-adds |",
            "|---|---|---|---:|---:|",
            *("| " + " | ".join(row) + " |" for row in table(outlines[name])),
            "\n</details>\n",
        ]
    return parts


if __name__ == "__main__":
    main()

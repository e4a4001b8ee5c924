"""Training steps on a CPU, minicnn beside PyTorch:  python -m benchmarks.cpu_training

Both do the same work with the same weights: forward, cross entropy, backward, SGD with momentum.
Steps alternate, PyTorch runs in the better of its two layouts, and both use the same number of
threads. Writes benchmarks/results/cpu_training.json, .md and .png; --only measures some lines of them again.

Where the clock of the machine moves, a line needs as many seconds as several of its moves: a minimum of three steps may
have met a fast moment on one side alone.

On a machine that others use, threads wait for each other and wall time says little:
--clock cpu --threads 1 counts the processor time of one thread instead.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.networks import NETWORKS, Network
from benchmarks.steps import compare, minicnn_steps, torch_steps

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring, for each line")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--only", default="", help="networks whose name holds this")
    parser.add_argument("--part", choices=("training", "all"), default="all")
    parser.add_argument("--memory-of", nargs=3, metavar=("LINE", "WHO", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(_peak_growth(NETWORKS[int(options.memory_of[0])], options.memory_of[1]))
        return
    _set_threads(options.threads)
    chosen = [network for network in NETWORKS if options.only.lower() in network.name.lower()]
    results: dict[str, Any] = {"machine": describe_machine(options), "training": []}
    for network in chosen:
        line = compare(network, network.batch, options.seconds, options.clock)
        results["training"].append(line)
        print(_row(line), flush=True)
    if options.part == "all":
        results["prediction"] = [
            compare(network, network.batch, options.seconds / 3, options.clock, predicting=True)
            for network in chosen
        ]
        results["peak_memory_mb"] = [_memory(NETWORKS.index(network)) for network in chosen]
        results["batches"] = [
            compare(network, batch, options.seconds / 3, options.clock)
            for network in chosen[:1]
            for batch in (16, 32, 64, 128, 256)
        ]
        results["threads"] = [
            {"threads": count, **_with_threads(count, network, options)}
            for network in chosen[:1]
            for count in range(1, options.threads + 1)
        ]
    _write(_updated(results) if options.only else results)


def _updated(results: dict[str, Any]) -> dict[str, Any]:
    """The results on file with these lines in place of theirs, and the command that measured each noted."""
    path = RESULTS / "cpu_training.json"
    if not path.exists():
        return results
    before = json.loads(path.read_text())
    for key in ("training", "prediction", "peak_memory_mb"):
        new = {(line["network"], line["batch"]): line for line in results.get(key, ())}
        before[key] = [new.pop((line["network"], line["batch"]), line) for line in before.get(key, ())]
        before[key] += new.values()
    command = results["machine"]["command"]
    before.setdefault("again", {}).update({line["network"]: command for line in results["training"]})
    return before


def _with_threads(count: int, network: Network, options: argparse.Namespace) -> dict[str, Any]:
    _set_threads(count)
    try:
        return compare(network, network.batch, options.seconds / 3, options.clock)
    finally:
        _set_threads(options.threads)


def _set_threads(count: int) -> None:
    import torch

    import minicnn

    torch.set_num_threads(count)
    minicnn.set_num_threads(count)


def describe_machine(options: argparse.Namespace) -> dict[str, Any]:
    import numba
    import numpy
    import torch

    from minicnn.kernels.cpu.lanes import LANES

    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "floats_a_vector": LANES,
        "threads": options.threads,
        "clock": options.clock,
        "load_average": round(os.getloadavg()[0], 1),
        "versions": {
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "numba": numba.__version__,
            "torch": torch.__version__,
        },
        "command": " ".join(["python -m benchmarks.cpu_training", *sys.argv[1:]]),
    }


# ---- memory: each in a process of its own


def _memory(line: int) -> dict[str, Any]:
    growth = {}
    for who in ("minicnn", "torch NCHW", "torch NHWC"):
        command = [sys.executable, "-m", "benchmarks.cpu_training", "--memory-of", str(line), who, "0"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        growth[who] = float(done.stdout.split()[-1])
    return {"network": NETWORKS[line].name, "batch": NETWORKS[line].batch, **growth}


def _peak_growth(network: Network, who: str) -> float:
    """MB by which the process's peak grows over three training steps, libraries and kernels loaded before."""
    make = (
        minicnn_steps if who == "minicnn" else lambda *a: torch_steps(*a, channels_last=who.endswith("NHWC"))
    )
    warm = make(*_small(network))[0]
    warm()
    del warm
    before = _reset_peak()
    step = make(network, network.batch)[0]
    for _ in range(3):
        step()
    return round((_memory_line("VmHWM") - before) / 1024, 1)


def _small(network: Network) -> tuple[Network, int]:
    """The same kernels on less: a smaller image where the network takes any size, otherwise a smaller batch."""
    if network.shape[1] == 224:
        return network._replace(shape=(network.shape[0], 64, 64)), network.batch
    if network.shape[0] <= 3:
        return network, 16
    return network._replace(shape=(network.shape[0], 14, 14)), network.batch


def _reset_peak() -> int:
    """Set the process's peak to what it holds now, and return that in kB. (ru_maxrss would be the parent's.)"""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory_line("VmRSS")


def _memory_line(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])


# ---- what is written


def _row(line: dict[str, Any]) -> str:
    ms = "  ".join(f"{name} {values[0]:.2f} ({values[1]:.2f})" for name, values in line["ms"].items())
    wanted = f", required {line['required']}" if line["required"] else ""
    return f"{line['network']}, batch {line['batch']}: {line['ratio_min']:.2f} ({line['ratio_median']:.2f}){wanted}   {ms} ms"


def _write(results: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cpu_training.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "cpu_training.md").write_text(_markdown(results))
    _plot(results)


def _markdown(results: dict[str, Any]) -> str:
    machine = results["machine"]
    text = [
        "# Training on a CPU, beside PyTorch\n",
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['threads']} threads, {machine['floats_a_vector']} floats "
        f"a vector; {machine['clock']} time; load average {machine['load_average']} at the start (1 a CPU is full). "
        f"`{machine['command']}`; "
        + ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
        + ".\n",
        "Ratio: PyTorch's time over ours, minimum (median); above 1 ours is faster. "
        "PyTorch is the better of its two layouts. ms: minimum (median) of a step.\n",
    ]
    if "again" in results:
        again = [f"{network} by `{command}`" for network, command in results["again"].items()]
        text.append(f"Measured again: {', '.join(again)}.\n")
    for title, key in (
        ("Training step", "training"),
        ("Prediction", "prediction"),
        ("By batch size", "batches"),
    ):
        if key not in results:
            continue
        text.append(
            f"## {title}\n\n| network | batch | ratio | required | minicnn ms | PyTorch NCHW | PyTorch NHWC |"
        )
        text.append("|---|---|---|---|---|---|---|")
        for line in results[key]:
            ms = " | ".join(f"{low:.2f} ({middle:.2f})" for low, middle in line["ms"].values())
            ratio = f"{line['ratio_min']:.2f} ({line['ratio_median']:.2f})"
            text.append(
                f"| {line['network']} | {line['batch']} | {ratio} | {line['required'] or '-'} | {ms} |"
            )
        text.append("")
    if "threads" in results:
        text.append("## By threads\n\n| network | batch | threads | ratio | minicnn ms |")
        text.append("|---|---|---|---|---|")
        for line in results["threads"]:
            ours = "{:.2f} ({:.2f})".format(*line["ms"]["minicnn"])
            ratio = f"{line['ratio_min']:.2f} ({line['ratio_median']:.2f})"
            text.append(f"| {line['network']} | {line['batch']} | {line['threads']} | {ratio} | {ours} |")
        text.append("")
    if "peak_memory_mb" in results:
        text.append(
            "## Peak memory of training, MB above the loaded libraries\n\n| network | batch | minicnn | PyTorch NCHW | PyTorch NHWC |"
        )
        text.append("|---|---|---|---|---|")
        text += [f"| {' | '.join(map(str, line.values()))} |" for line in results["peak_memory_mb"]]
        text.append("")
    return "\n".join(text) + "\n"


def _plot(results: dict[str, Any]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = results["training"]
    figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(lines) + 1.2), layout="constrained")
    names = [f"{line['network']}, batch {line['batch']}" for line in lines]
    axes.barh(names, [line["ratio_min"] for line in lines], color="tab:blue")
    axes.plot([line["required"] for line in lines], names, "k|", markersize=14, label="required")
    axes.axvline(1, color="gray", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("PyTorch's time / minicnn's, a training step")
    axes.legend()
    figure.savefig(RESULTS / "cpu_training.png", dpi=120)


if __name__ == "__main__":
    main()

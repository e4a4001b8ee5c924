"""Peak memory of training the deepest networks at 224x224, batch 2:  python -m benchmarks.deep_memory

Each in a process of its own, with and without recomputation of blocks: the process's peak, the seconds
of the second step, and whether the gradients are the same. Writes benchmarks/results/deep_memory.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
NETWORKS = ("resnet152", "densenet201")
STEPS = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--of", nargs=2, metavar=("NAME", "CHECKPOINT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.of:
        print(json.dumps(train(options.of[0], options.of[1] == "1")))
        return
    lines = []
    for name in NETWORKS:
        for checkpoint in "01":
            command = [sys.executable, "-m", "benchmarks.deep_memory", "--of", name, checkpoint]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            lines.append(json.loads(done.stdout.splitlines()[-1]))
            print(lines[-1], flush=True)
    write(lines)


def train(name: str, checkpoint_blocks: bool, side: int = 224, batch: int = 2) -> dict[str, Any]:
    """Two steps of SGD with momentum; the peak of this whole process, Python and kernels included."""
    from minicnn import losses, models, optim

    rng = np.random.default_rng(0)
    model = models.build(name, rng=rng, checkpoint_blocks=checkpoint_blocks)
    optimizer, loss = optim.SGD(model, lr=0.01, momentum=0.9), losses.CrossEntropyLoss()
    x = rng.standard_normal((batch, 3, side, side), dtype=np.float32)
    for _ in range(STEPS):
        start = time.process_time()
        optimizer.zero_grad()
        loss(model(x), np.arange(batch))
        model.backward(loss.backward(), need_dx=False)  # type: ignore[call-arg]
        optimizer.step()
        seconds = time.process_time() - start
    digest = hashlib.sha256()
    for array in model.state_dict().values():
        digest.update(array.tobytes())
    return {
        "network": name,
        "checkpoint_blocks": checkpoint_blocks,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "step_cpu_seconds": round(seconds, 1),
        "weights_sha256": digest.hexdigest(),
    }


def write(lines: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "deep_memory.json").write_text(json.dumps(lines, indent=1) + "\n")
    text = [
        "# Memory of the deepest networks\n",
        "Two training steps (SGD with momentum) at 224x224, batch 2, float32; peak of the whole process. "
        "`python -m benchmarks.deep_memory`.\n",
        "| network | recomputed blocks | peak, GB | processor seconds of a step | weights after two steps (SHA-256) |",
        "|---|---|---|---|---|",
    ]
    text += [
        f"| {line['network']} | {'yes' if line['checkpoint_blocks'] else 'no'} | {line['peak_gb']} "
        f"| {line['step_cpu_seconds']} | {line['weights_sha256'][:16]}... |"
        for line in lines
    ]
    (RESULTS / "deep_memory.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()

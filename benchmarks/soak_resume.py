"""Kill a training at random moments, resume it each time, and compare its last bits with an unbroken one's.

    python -m benchmarks.soak_resume                100 kills (about ten minutes), results/soak_resume.json
    python -m benchmarks.soak_resume --kills 10

The training is LeNet-5 on the embedded images, with shuffling, Adam's moments and a one-cycle schedule, and
writes a checkpoint after every batch, so that many kills (SIGKILL, which no process can catch) come while one
is being written. When a training is over before all kills are spent, another one begins with the next seed.
After every kill the run folder must be readable; at the end of every training each file of weights, and
the whole last checkpoint but for its clock times, must equal those of the training that was never killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results") / "soak_resume.json"


def child(folder: Path, seed: int, epochs: int) -> None:
    """What is killed: it begins the run, or goes on with it."""
    from minicnn.train.recipe import Recipe, resume, run
    from minicnn.train.run_folder import RunFolder

    every = {"every_steps": 1, "keep": 2}  # no figures: they would take most of the time
    if RunFolder(folder).config_file.exists():
        resume(folder, quiet=True, figures=False, checkpoints=every)
    else:
        run(
            Recipe(epochs=epochs, batch_size=150, seed=seed),
            out=folder,
            quiet=True,
            figures=False,
            checkpoints=every,
        )


def start(folder: Path, seed: int, epochs: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.soak_resume", "--child", str(folder)]
    # One thread: waiting for a second one on a busy machine would take longer than the work.
    environment = os.environ | {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command += ["--seed", str(seed), "--epochs", str(epochs)]
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def last_bits(folder: Path) -> dict[str, Any]:
    """Everything of a finished run that must not depend on how often it was stopped."""
    from minicnn.train.checkpoint_files import checkpoints_in, read_checkpoint
    from minicnn.train.state import from_json

    newest = checkpoints_in(folder / "checkpoints")[0]
    files = read_checkpoint(newest)
    state = from_json(files["state.json"])
    del state["trainer"]["seconds"]
    for record in state["history"]:
        del record["seconds"], record["images_per_second"]
    return {
        "name": newest.name,
        "best": (folder / "best.safetensors").read_bytes(),
        "model": files["model.safetensors"],
        "training": files["training.safetensors"],
        "state": state,
    }


def check_readable(folder: Path) -> bool:
    """The folder of a killed run: settings and the newest checkpoint are whole. Whether it was writing one."""
    from minicnn.train.checkpoint_files import checkpoints_in, read_checkpoint
    from minicnn.train.run_folder import RunFolder
    from minicnn.weights import read

    run = RunFolder(folder)
    if run.config_file.exists():
        run.read_config()
    for path in checkpoints_in(run.checkpoints)[:1]:
        read_checkpoint(path)
    if run.weights_file.exists():
        read(run.weights_file)
    return any(run.checkpoints.glob(".step-*")) if run.checkpoints.is_dir() else False


def kill_until_done(
    folder: Path, seed: int, epochs: int, kills: int, draw: random.Random
) -> list[dict[str, Any]]:
    """Begin or resume, kill at a random moment, again and again; then let it end. One record a kill."""
    records: list[dict[str, Any]] = []
    while len(records) < kills:
        before = _newest_step(folder)
        process = start(folder, seed, epochs)
        if _wait_for_moment(process, folder, before, draw):
            process.kill()
            process.wait()
            writing = folder.exists() and check_readable(folder)
            records.append(
                {"training": seed, "from_step": before, "step": _newest_step(folder), "writing": writing}
            )
        else:
            assert process.returncode == 0, f"a resumed training ended with status {process.returncode}"
            return records
    assert start(folder, seed, epochs).wait() == 0
    return records


def _wait_for_moment(
    process: subprocess.Popen[bytes], folder: Path, before: int, draw: random.Random
) -> bool:
    """Wait until it should be killed; False when it ended by itself before.

    One kill in five comes at any time after the start of the process, while it loads and resumes; the others
    at any time in the half second after its first own checkpoint: from the first batch to the last.
    """
    if draw.random() < 0.2:
        return _still_runs_after(process, draw.uniform(0, 4))
    while _newest_step(folder) == before:
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    return _still_runs_after(process, draw.uniform(0, 0.5))


def _still_runs_after(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _newest_step(folder: Path) -> int:
    from minicnn.train.checkpoint_files import checkpoints_in

    found = checkpoints_in(folder / "checkpoints")
    return int(found[0].name.split("-")[1]) if found else 0


def soak(work: Path, kills: int, epochs: int, seed: int = 0) -> dict[str, Any]:
    """So many kills, over as many trainings as it takes. Raises AssertionError at the first difference."""
    draw = random.Random(seed)
    records: list[dict[str, Any]] = []
    trainings = 0
    while len(records) < kills:
        unbroken, killed = work / f"unbroken-{trainings}", work / f"killed-{trainings}"
        assert start(unbroken, trainings, epochs).wait() == 0
        records += kill_until_done(killed, trainings, epochs, kills - len(records), draw)
        ours, theirs = last_bits(killed), last_bits(unbroken)
        for what, value in theirs.items():
            assert ours[what] == value, f"training {trainings}: {what} differs after the kills"
        trainings += 1
        print(f"{len(records)} kills, {trainings} trainings: the same bits", file=sys.stderr, flush=True)
    return {
        "kills": len(records),
        "trainings": trainings,
        "killed_while_writing_a_checkpoint": sum(record["writing"] for record in records),
        "killed_before_the_first_checkpoint": sum(record["step"] == 0 for record in records),
        "killed_before_going_on": sum(record["step"] == record["from_step"] for record in records),
        "steps_of_a_training": _newest_step(work / "killed-0"),
        "identical_final_weights": True,
        "numpy": np.__version__,
        "moments": records,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child, options.seed, options.epochs)
        return
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        result = soak(Path(work), options.kills, options.epochs, options.seed)
    result["seconds"] = round(time.perf_counter() - begun, 1)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print({key: value for key, value in result.items() if key != "moments"})


if __name__ == "__main__":
    main()

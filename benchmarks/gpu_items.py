"""How make gpu-check runs many things of which each may crash: one after the other, each result written down at once.

In the process that does the work, walk() goes over the items and keeps a journal, a line of JSON when an item
begins and one when it ends. run() starts such a process and watches the journal. An illegal access to memory
leaves a GPU unusable for the process that made it, a wrong barrier lets it hang: then the process is ended, the
item counts as failed, and another process goes on with the next one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

JOURNAL = "MINICNN_GPU_JOURNAL"  # the environment variable that names the journal
LOST = 86  # exit status of a process whose GPU can no longer be used

Item = tuple[str, Callable[[], Any]]


# ---- in the process that does the work


def entries() -> list[dict[str, Any]]:
    """What the journal says so far."""
    path = Path(os.environ[JOURNAL])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(entry: dict[str, Any]) -> None:
    with open(os.environ[JOURNAL], "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def walk(items: Iterable[Item]) -> None:
    """Compute all items but those that an earlier process has begun."""
    known = {entry.get("begin") for entry in entries()}
    for name, compute in items:
        if name in known:
            continue
        write({"begin": name})
        start = time.perf_counter()
        try:
            found, passed = compute(), True
        except Exception as error:
            found, passed = f"{type(error).__name__}: {error}", False
        seconds = round(time.perf_counter() - start, 2)
        write({"item": name, "passed": passed, "found": found, "seconds": seconds})
        print(f"{'passed' if passed else 'FAILED'}: {name}: {found}", flush=True)
        if not passed:
            leave_if_lost()


def leave_if_lost() -> None:
    """End this process if its GPU no longer computes: every later item would fail too."""
    try:
        import cupy
    except ImportError:
        return
    try:
        lost = float(cupy.ones(3).sum()) != 3
    except Exception:
        lost = True
    if lost:
        os._exit(LOST)


# ---- around it


def run(
    command: Sequence[str],
    environment: dict[str, str],
    seconds: float,
    item_seconds: float,
    finished: Sequence[int] = (0,),
    cwd: Path | None = None,
) -> dict[str, Any]:
    """The results of a command that walks over items, whatever becomes of it.

    seconds: for all, item_seconds: for one (the first one's time includes the imports). finished: the exit
    statuses of a process that came to the end of its items.
    """
    results: list[dict[str, Any]] = []
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        journal, log = Path(folder) / "journal", Path(folder) / "log"
        given = {**environment, JOURNAL: str(journal)}
        while True:
            begun = _begun(_read(journal))
            why = _run_once(command, given, cwd, journal, log, end, item_seconds, finished)
            written = _read(journal)
            results = [entry for entry in written if "item" in entry]
            done = {entry["item"] for entry in results}
            unfinished = [name for name in _begun(written) if name not in done]
            if why and not unfinished and _begun(written) != begun and written[-1]["passed"]:
                # It fell after its last item: so compute-sanitizer reports what it has found.
                unfinished = [f"after {written[-1]['item']}"]
            for name in unfinished:
                results.append({"item": name, "passed": False, "found": why, "seconds": None})
                with journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(results[-1]) + "\n")
            if not why or _begun(written) == begun or time.monotonic() > end:
                break
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    passed = sum(result["passed"] for result in results)
    note = f"{passed} of {len(results)} passed" + (f"; {why}" if why else "")
    answer = {"passed": not why and passed == len(results) > 0, "note": note, "items": results}
    return answer if answer["passed"] else {**answer, "output": "\n".join(text.splitlines()[-60:])}


def _begun(written: list[dict[str, Any]]) -> list[str]:
    return [entry["begin"] for entry in written if "begin" in entry]


def _read(journal: Path) -> list[dict[str, Any]]:
    if not journal.exists():
        return []
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be half written


def _run_once(
    command: Sequence[str], environment: dict[str, str], cwd: Path | None, journal: Path, log: Path,
    end: float, item_seconds: float, finished: Sequence[int],
) -> str:  # fmt: skip
    """Run one process. "" when it came to the end of its items, otherwise what became of it."""
    with log.open("a") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    lines, since, stopped = -1, time.monotonic(), ""
    while process.poll() is None:
        time.sleep(0.1)
        now = time.monotonic()
        if (count := len(_read(journal))) != lines:
            lines, since = count, now
        if now > end:
            stopped = "no time was left"
        elif now - since > item_seconds:
            stopped = f"stopped after {item_seconds:g} s"
        if stopped:
            os.killpg(process.pid, signal.SIGKILL)  # its own children too
            process.wait()
            return stopped
    if process.returncode in finished:
        return ""
    if process.returncode == LOST:
        return "the GPU could not be used any more"
    return f"the process ended with exit status {process.returncode}"

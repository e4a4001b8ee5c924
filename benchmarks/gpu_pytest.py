"""A pytest plugin: tests as items of gpu_items.py, so that one that crashes does not take the others along."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu_items import entries, leave_if_lost, write


def pytest_configure() -> None:
    """Fewer examples of each property: the same tests have drawn many in the emulator."""
    from hypothesis import settings

    settings.register_profile("gpu", max_examples=8, deadline=None, derandomize=True)
    settings.load_profile("gpu")


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Leave out what an earlier process has begun."""
    known = {entry.get("begin") for entry in entries()}
    items[:] = [item for item in items if item.nodeid not in known]


class _Test:
    seconds = 0.0
    passed = True
    found = ""


_test = _Test()


def pytest_runtest_logstart(nodeid: str) -> None:
    global _test
    _test = _Test()
    write({"begin": nodeid})


def pytest_runtest_logreport(report: Any) -> None:
    _test.seconds += report.duration
    if report.failed:
        _test.passed = False
        wrong = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
        _test.found = "\n".join(wrong[:6]) or report.longreprtext[-600:]
    elif report.skipped:
        _test.found = "skipped"


def pytest_runtest_logfinish(nodeid: str) -> None:
    seconds = round(_test.seconds, 2)
    write({"item": nodeid, "passed": _test.passed, "found": _test.found, "seconds": seconds})
    if not _test.passed:
        leave_if_lost()

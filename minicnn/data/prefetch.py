"""Work done ahead by threads, its results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, prefetch: int
) -> Iterator[Result]:
    """work(item) of every item, in order, with at most max(workers, prefetch) of them begun and not yet taken.

    An error appears where its result would have. When the iterator is left early, what was not begun is dropped.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="minicnn-loader")
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)
    try:
        waiting.extend(pool.submit(work, item) for item in islice(rest, max(workers, prefetch)))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

"""Ctrl-C and SIGTERM end training between two batches, with everything saved."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


class StopOnSignal(Callback):
    """While fit runs, the first SIGINT or SIGTERM sets trainer.interrupt; a second SIGINT ends it at once.

    `received` is the signal that came, or None. Python delivers signals to the main thread alone: in another
    one this callback does nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def before_fit(self, trainer: Trainer) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self.received = None

        def stop(number: int, frame: FrameType | None) -> None:
            if self.received is not None and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.received = signal.Signals(number)
            trainer.interrupt = True
            if not self.quiet:
                print("\nstopping after this batch (Ctrl-C again: at once)", file=sys.stderr)

        self._before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}

    def after_fit(self, trainer: Trainer) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

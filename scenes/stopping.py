"""A clean stop after Ctrl-C that a second Ctrl-C does not break off."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any


class CleanStop:
    """From `begin` on Ctrl-C is ignored, until the block that it guards is left: what is stopping already stops once.

    Before `begin` nothing is changed, as the first Ctrl-C may fall into a callback of compiled code and be lost there.
    """

    def __init__(self) -> None:
        self._before: Any = None

    def begin(self) -> None:
        """Ignore Ctrl-C from here on; without effect in other threads, where Python has no signals."""
        if self._before is None and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __enter__(self) -> CleanStop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None


def told(stop: BaseException) -> str:
    """Return what an interrupt says; one that came on top of another says what that one did.

    >>> told(KeyboardInterrupt("The same command goes on."))
    'The same command goes on.'
    """
    seen: BaseException | None = stop
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt) and str(seen):
            return str(seen)
        seen = seen.__context__
    return ""

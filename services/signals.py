"""Turns the signals that end a process into exceptions, so that `finally` blocks run. Used by the supervisor."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_Handler = Callable[[int, FrameType | None], NoReturn] | signal.Handlers


@contextmanager
def ending_signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit(128 + number), the shell's own convention; Ctrl-C raises as it always does."""
    with _handlers({signal.SIGTERM: _raise_exit, signal.SIGHUP: _raise_exit}):
        yield


@contextmanager
def ending_signals_wait() -> Iterator[None]:
    """Inside the block nothing short of SIGKILL interrupts: for a clean-up that is bounded anyway."""
    with _handlers({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN, signal.SIGHUP: signal.SIG_IGN}):
        yield


def _raise_exit(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextmanager
def _handlers(wanted: dict[signal.Signals, _Handler]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python lets only the main thread handle signals
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

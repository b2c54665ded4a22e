"""Chosen system calls of a process wait for a word from outside: go on, fail with this error, or die here.

The kernel's own mechanism (seccomp user notification, Linux 5.5 and later; no privilege, no package). The process under
test knows nothing of it, and no function of the product has to be found or named: a commit is a sync of the log's file,
an answer is a write to a socket, whichever library makes them. See seccomp_unotify(2).

    with Syscalls("fdatasync", "fsync") as calls:
        lab.start(calls.command(SCORING), pass_fds=calls.pass_fds)
        calls.rule = fail(errno.EIO, SYNCS, of="predictions.db")    # from now on
        calls.rule = go_on
"""

import ctypes
import errno
import os
import platform
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

# Numbers from the kernel's tables of the two architectures that we run on.
_NUMBERS = {
    "x86_64": {"seccomp": 317, "write": 1, "pwrite64": 18, "writev": 20, "fsync": 74, "fdatasync": 75, "ftruncate": 77},
    "aarch64": {"seccomp": 277, "write": 64, "pwrite64": 68, "writev": 66, "fsync": 82, "fdatasync": 83, "ftruncate": 46},
}
SYNCS = ("fsync", "fdatasync")
LOG_WRITES = ("pwrite64", "ftruncate")
SENDS = ("write", "writev")

# <linux/seccomp.h>, <linux/filter.h>, <linux/prctl.h>
_SET_MODE_FILTER, _NEW_LISTENER, _NO_NEW_PRIVS = 1, 8, 38
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NOTIFY, _CONTINUE = 0x7FFF0000, 0x7FC00000, 1
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFICATION, _REQUEST, _RESPONSE = 80, struct.Struct("QIIiIQQQ"), struct.Struct("QqiI")


class Call(NamedTuple):
    """One system call at its entry: nothing of it has happened yet."""

    name: str
    thread: int
    file: str  # path of its first argument, or such as socket:[12345]


class Death(Exception):
    """A rule raises it for: kill the process here."""


Rule = Callable[[Call], int]  # the error number to fail with; 0 lets the call happen


def go_on(_: Call) -> int:
    """No harm."""
    return 0


def fail(error: int, names: Sequence[str], *, of: str) -> Rule:
    """Every such call on a file whose path holds `of` fails."""
    return lambda call: error if call.name in names and of in call.file else 0


def die_at(nth: int, names: Sequence[str], *, of: str) -> Rule:
    """kill -9 at the entry of the `nth` such call on a file whose path holds `of`."""
    left = nth

    def rule(call: Call) -> int:
        nonlocal left
        if call.name in names and of in call.file:
            left -= 1
            if left == 0:
                raise Death
        return 0

    return rule


def die_after(nth: int, names: Sequence[str], *, of: str) -> Rule:
    """kill -9 once the `nth` such call has happened: at the entry of its thread's next call."""
    left = nth
    caller = 0

    def rule(call: Call) -> int:
        nonlocal left, caller
        if call.thread == caller:
            raise Death
        if call.name in names and of in call.file:
            left -= 1
            caller = call.thread if left == 0 else 0
        return 0

    return rule


class Syscalls:
    """Answers the kernel's questions, on a thread of its own, by the rule of the moment."""

    def __init__(self, *names: str) -> None:
        self.rule: Rule = go_on
        self.asked = 0
        self.failed = 0
        self.killed = 0
        numbers = _NUMBERS[platform.machine()]
        self._names = {numbers[name]: name for name in names}
        self._here, self._there = socket.socketpair()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End after the process has ended: until then its calls need their answers."""
        self._there.close()
        self._here.close()

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """To be inherited by the command."""
        return (self._there.fileno(),)

    def command(self, command: Sequence[str]) -> tuple[str, ...]:
        """`command`, under this object's eyes. It may be started again after it ended; call this for each start."""
        thread = threading.Thread(target=self._watch, name="syscalls", daemon=True)
        thread.start()
        self._threads.append(thread)
        numbers = ",".join(map(str, self._names))
        return (sys.executable, "-m", "tests.chaos.syscalls", str(self._there.fileno()), numbers, *command)

    def _watch(self) -> None:
        try:
            _, (listener, *_), _, _ = socket.recv_fds(self._here, 1, 1)
        except (OSError, ValueError):  # closed before a start
            return
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        with os.fdopen(listener):
            while poll.poll()[0][1] & select.POLLIN:  # hung up once the last process under the filter has ended
                with suppress(ProcessLookupError, FileNotFoundError):  # it ended while it was asking
                    self._answer(listener)

    def _answer(self, listener: int) -> None:
        notification = ctypes.create_string_buffer(_NOTIFICATION)
        _control(listener, _RECEIVE, notification)
        key, thread, _, number, _, _, first, _ = _REQUEST.unpack_from(notification.raw)
        self.asked += 1
        try:
            error = self.rule(Call(self._names[number], thread, str(Path(f"/proc/{thread}/fd/{first & 0xFFFFFFFF}").readlink())))
        except Death:
            self.rule = go_on
            self.killed += 1
            os.kill(thread, signal.SIGKILL)
            return
        self.failed += error != 0
        _control(listener, _SEND, ctypes.create_string_buffer(_RESPONSE.pack(key, 0, -error, 0 if error else _CONTINUE)))


def _control(listener: int, request: int, value: ctypes.Array[ctypes.c_char]) -> None:
    if _libc().ioctl(listener, ctypes.c_ulong(request), value) != 0:
        number = ctypes.get_errno()
        if number == errno.ENOENT:  # the asking thread was killed
            raise ProcessLookupError
        raise OSError(number, os.strerror(number))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _put_under_filter(numbers: Sequence[int]) -> int:
    """From here on these calls of this process and its children ask; returns the descriptor on which they do."""
    last = len(numbers)
    code = struct.pack("HBBI", _LOAD_NUMBER, 0, 0, 0)
    code += b"".join(struct.pack("HBBI", _JUMP_IF_EQUAL, last - place, 0, number) for place, number in enumerate(numbers))
    code += struct.pack("HBBI", _RETURN, 0, 0, _ALLOW) + struct.pack("HBBI", _RETURN, 0, 0, _NOTIFY)
    text = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", last + 3, ctypes.addressof(text)))
    libc = _libc()
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener: int = libc.syscall(_NUMBERS[platform.machine()]["seccomp"], _SET_MODE_FILTER, _NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses the filter")
    return listener


def _main(channel: int, numbers: Sequence[int], command: Sequence[str]) -> None:
    with socket.socket(fileno=channel) as out:
        listener = _put_under_filter(numbers)
        socket.send_fds(out, [b"x"], [listener])
        os.close(listener)
    os.execvp(command[0], list(command))


if __name__ == "__main__":
    _main(int(sys.argv[1]), [int(number) for number in sys.argv[2].split(",")], sys.argv[3:])

"""Signals that end a command: state is saved first, no traceback is shown, and no process is left behind."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    # loaded where a process is started, which most commands do not do: 8 ms
    import subprocess

__all__ = [
    "INTERRUPTED",
    "dying_with_parent",
    "end_on_signals",
    "ignore_signals",
    "kill_group",
    "signals_held",
    "stop_on_interrupt",
    "terminate_group",
    "was_interrupted",
]

INTERRUPTED = 130
"""Exit code of a command that a signal ended."""

STOPPING = "stopping: the step that runs now ends, and its state is saved; a second Ctrl-C ends at once"

PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl: the signal that a process gets when its parent dies."""

Handler = Callable[[int, Any], Any]


def _signals() -> list[int]:
    """Return SIGINT, and SIGTERM and SIGHUP where the system has them.

    SIGHUP stays ignored if it is ignored already, as under ``nohup``.
    """
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [int(getattr(signal, name)) for name in names]
    return [n for n in numbers if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C, SIGTERM and SIGHUP set; a second Ctrl-C interrupts at once.

    A closed terminal may send SIGHUP twice, and a job scheduler SIGTERM to every process, so these only set the event.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        if number == signal.SIGINT and stop.is_set():
            # the command's own handler counts signals; without the call a third Ctrl-C would not end a stuck save
            outer = before[number]
            if outer is not signal.default_int_handler and callable(outer):
                outer(number, frame)
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            _say(STOPPING)
        stop.set()

    # handlers are read and set for the same list: SIGHUP may be ignored later, and must then stay so
    handler = _of_this_process(handle)
    before.update({number: signal.getsignal(number) for number in _signals()})
    try:
        for number in before:
            signal.signal(number, handler)
        yield stop
    finally:
        for number, old in before.items():
            # None: the previous handler was set from C and cannot be restored from Python
            signal.signal(number, signal.SIG_DFL if old is None else old)


def end_on_signals() -> Callable[[], None]:
    """End a command with ``KeyboardInterrupt`` on the same signals, and at once on the third one.

    Returns:
        A function to call when the command is done; from then on a signal ends the process silently.
    """
    count, done, again = [0], [False], threading.Event()
    _received.clear()

    def handle(number: int, frame: Any) -> None:
        if again.is_set():
            # the interrupt of a signal that is counted already
            again.clear()
            raise KeyboardInterrupt
        count[0] += 1
        _received.append(number)
        if done[0] or count[0] > 2:
            _show_cursor()
            # os._exit: a normal exit waits for threads and atexit handlers, which may be what hangs
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    before = sys.unraisablehook
    if threading.current_thread() is threading.main_thread():
        for number in _signals():
            signal.signal(number, _of_this_process(handle))
        sys.unraisablehook = _repeating_lost_interrupts(again, before)

    def end() -> None:
        done[0] = True
        sys.unraisablehook = before

    return end


def _repeating_lost_interrupts(again: threading.Event, before: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a hook that sends a signal once more, after ``again`` is set, if the interrupt that it caused was ignored.

    Python prints and ignores what is raised in callbacks that it calls itself: of weak references (each import ends
    with one), ``__del__``, the garbage collector.
    """

    def hook(ignored: Any) -> None:
        if not (_received and issubclass(ignored.exc_type, KeyboardInterrupt)):
            before(ignored)
            return
        again.set()
        # from another thread and later: now, it would interrupt the same callback
        threading.Timer(0.01, _signal_main_thread, [_received[-1]]).start()

    return hook


def _signal_main_thread(number: int) -> None:
    if hasattr(signal, "pthread_kill"):
        # also ends a wait of the system, which interrupt_main does not
        signal.pthread_kill(cast(int, threading.main_thread().ident), number)
    else:
        _thread.interrupt_main(signal.Signals(number))


_received: list[int] = []


def was_interrupted() -> bool:
    """Return whether a signal has interrupted this command.

    An interrupt inside a library's import may come out as another error: Python itself makes a RuntimeError of one
    that is raised while a class is created.
    """
    return bool(_received)


@contextmanager
def signals_held() -> Iterator[None]:
    """Block signals inside the block; a process started there inherits that until ``ignore_signals``."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # a worker inherits the mask through exec: a Ctrl-C before it has set its handlers would kill it in its imports
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """Ignore the signals in a worker: the parent receives them too and asks it to stop."""
    for number in _signals():
        # a handler that does nothing, not SIG_IGN: SIG_IGN survives exec, so processes of components could not be
        # interrupted
        signal.signal(number, _of_this_process(lambda number, frame: None))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())


def _of_this_process(handle: Handler) -> Handler:
    """Return the handler, restricted to this process.

    A fork inherits handlers: a process that a component forks must end when it is terminated, and must not end when
    its whole group is interrupted, since its parent still needs it to save.
    """
    owner = os.getpid()

    def handler(number: int, frame: Any) -> None:
        if os.getpid() == owner:
            handle(number, frame)
        elif number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    return handler


def _say(line: str) -> None:
    with suppress(OSError, ValueError, AttributeError):
        # os.write: stream.write could deadlock on a lock that the interrupted code holds
        os.write(sys.stderr.fileno(), f"\n{line}\n".encode())


def _show_cursor() -> None:
    """Show the cursor, which a live table hides."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            if stream.isatty():
                # os.write: stream.write could deadlock on a lock that the interrupted code holds
                os.write(stream.fileno(), b"\x1b[?25h")


def dying_with_parent(words: Sequence[str]) -> dict[str, Any]:
    """Return arguments for ``Popen`` that start a command which is killed when its parent is; Linux only.

    The signal comes when the thread that started the command ends, so that thread must wait for it.
    """
    if not sys.platform.startswith("linux"):
        return {"args": list(words)}
    if (program := _setpriv()) is not None:
        # a preexec_fn would fork this process, whose size makes that 10 ms with torch imported
        return {"args": [program, "--pdeathsig", "KILL", *words]}
    # loaded here: between fork and exec nothing may be imported
    import ctypes

    control, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        control(PR_SET_PDEATHSIG, signal.SIGKILL)
        # the parent may have been killed before the request
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return {"args": list(words), "preexec_fn": ask}


@cache
def _setpriv() -> str | None:
    """Return the path of util-linux's setpriv if it knows ``--pdeathsig``, as it does since 2.33 (2018)."""
    import shutil
    import subprocess

    program = shutil.which("setpriv")
    if program is None:
        return None
    tried = subprocess.run([program, "--pdeathsig", "KILL", program, "--version"], capture_output=True, check=False)
    return program if tried.returncode == 0 else None


def terminate_group(process: subprocess.Popen[bytes]) -> None:
    """Ask a process that was started in a session of its own, and its children, to end."""
    _signal_group(process, "SIGTERM")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and its children, at once."""
    _signal_group(process, "SIGKILL")


def _signal_group(process: subprocess.Popen[bytes], name: str) -> None:
    # looked up first: a child is found by its parent, which the signal ends
    apart = _outside_group(process) if process.returncode is None else []
    if hasattr(os, "killpg"):
        # also reaches children whose parent has ended already
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, getattr(signal, name))
    for each in apart:
        # it may have ended meanwhile, which psutil tells by an error of its own
        with suppress(Exception):
            (each.kill if name == "SIGKILL" else each.terminate)()


def _outside_group(process: subprocess.Popen[bytes]) -> list[Any]:
    """Return a process and its children that no signal to its group reaches, as objects of psutil.

    Windows has no groups, and elsewhere a child may have left the group for a session of its own. Those inside are left
    out: a second SIGTERM may mean "at once".
    """
    import psutil

    with suppress(psutil.Error, OSError):
        top = psutil.Process(process.pid)
        found = [*top.children(recursive=True), top]
        return found if not hasattr(os, "killpg") else [p for p in found if os.getpgid(p.pid) != process.pid]
    return []

"""Where fuzzed commands run, and what may never happen there: a traceback, a hang, a file written outside."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import hypothesis

from lab.errors import LabError

__all__ = ["LONGEST_S", "Hang", "Sandbox", "fuzz", "no_longer_than", "only_lab_errors"]

LONGEST_S = 20.0
CODES = (0, 1, 2, 130)


class Hang(BaseException):
    """Something took longer than ``LONGEST_S``."""


@contextlib.contextmanager
def no_longer_than(seconds: float = LONGEST_S) -> Iterator[None]:
    """Raise ``Hang`` in the main thread after some seconds; again every second, if something swallowed it.

    On a machine that has more to do than it has cores, later in proportion.
    """
    seconds *= max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

    def ring(number: int, frame: Any) -> None:
        raise Hang(f"no answer within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def only_lab_errors() -> Iterator[None]:
    """Errors that tell the user what to do are answers; any other is a fault."""
    with no_longer_than():
        try:
            yield
        except LabError as error:
            if not str(error).strip():
                raise AssertionError("an error without a word") from error


@attrs.define
class Sandbox:
    """A folder to run ``lab`` in, with files around it that nothing may touch.

    Attributes:
        root: holds ``work``, where commands run, and ``outside``.
    """

    root: Path

    @property
    def work(self) -> Path:
        """The working folder."""
        return self.root / "work"

    def reset(self, template: Path | None = None) -> None:
        """Begin anew: the working folder as in ``template``, and the files outside as they were."""
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "outside").mkdir(parents=True)
        (self.root / "outside" / "precious.txt").write_text("precious")
        if template is None:
            self.work.mkdir()
        else:
            shutil.copytree(template, self.work, symlinks=True)

    def check(self) -> None:
        """Fail if anything outside of the working folder changed."""
        found = sorted(path.relative_to(self.root).as_posix() for path in self.root.glob("*"))
        assert found == ["outside", "work"], found
        assert [path.name for path in (self.root / "outside").iterdir()] == ["precious.txt"]
        assert (self.root / "outside" / "precious.txt").read_text() == "precious"

    def lab(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command in this process, in the working folder: exit code, stdout, stderr."""
        from lab.cli.main import main

        out, err = _Stream(), _Stream()
        before = os.getcwd(), sys.argv, dict(os.environ)
        os.chdir(self.work)
        sys.argv = ["lab", *arguments]
        code: Any = None
        try:
            with no_longer_than(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            os.chdir(before[0])
            sys.argv = before[1]
            os.environ.clear()
            os.environ.update(before[2])
        told = out.getvalue(), err.getvalue()
        assert code in CODES, f"exit code {code}: {told}"
        assert "Traceback (most recent call last)" not in told[1], told[1]
        self.check()
        return code, *told


class _Stream(io.TextIOWrapper):
    """A stream in memory that has what a real one has."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)

    def getvalue(self) -> str:
        """Return the text so far."""
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


COUNTS: dict[str, list[float]] = {}
"""Name of a test → examples, and the longest of them in seconds."""


def fuzz(
    test: Callable[[Any], None], strategy: Any, minutes: float, *, examples: int, cases: tuple[Any, ...] = ()
) -> None:
    """Try a test on values of a strategy: a fixed few, or new ones for some minutes.

    Args:
        test: is given one value.
        strategy: where values come from.
        minutes: for how long; 0 tries the same ``examples`` every time.
        examples: how many at a time.
        cases: values on which it once failed, tried first.
    """
    counts = COUNTS.setdefault(test.__name__, [0, 0.0])

    def counted(value: Any) -> None:
        started = time.monotonic()
        try:
            test(value)
        finally:
            counts[0] += 1
            counts[1] = max(counts[1], time.monotonic() - started)

    for case in cases:
        counted(case)
    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=not minutes,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )
    until, seed = time.monotonic() + 60 * minutes, 0
    while seed == 0 or time.monotonic() < until:
        given = hypothesis.given(strategy)(counted)
        settings(hypothesis.seed(seed)(given) if minutes else given)()
        seed += 1

"""Process that trains one run: reads it as a line of JSON, and reports in lines of JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from lab.collection import own_process
from lab.study.interrupt import ignore_signals

__all__ = ["main"]


class Reporter:
    """Listener that writes lines of JSON."""

    def __init__(self, output: TextIO) -> None:
        self.output = output

    def send(self, **content: Any) -> None:
        """Write one line."""
        print(json.dumps(content), file=self.output, flush=True)

    def run_started(self, run: Any) -> None:
        """Report that training begins."""
        self.send(started=True)

    def run_advanced(self, run: Any, progress: Any) -> None:
        """Report progress; ``lab`` calls this at most ten times a second."""
        import attrs

        self.send(progress=attrs.asdict(progress))

    def run_finished(self, run: Any, record: Any) -> None:
        """Leave this to the parent, which reads the record."""


def main() -> int:
    """Train the run that the first line describes."""
    # Ctrl-C goes to all processes of a terminal; this one waits for its parent's word, and then saves
    ignore_signals()
    own_process()
    # what components print may not be mistaken for a message
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    reporter, stop = Reporter(output), threading.Event()
    given = json.loads(sys.stdin.readline())
    threading.Thread(target=_wait_for_word, args=(stop,), daemon=True).start()
    # torch is imported here, while a parent that has died is noticed already
    from lab.errors import describe_error
    from lab.registry.plugins import load_catalog
    from lab.study.rebuild import rebuild_exactly
    from lab.study.store import Store

    catalog = load_catalog(without=given["without"], warn=lambda message: None)
    try:
        run = rebuild_exactly(given["run"], Store(Path(given["root"])), catalog)
        run.execute(reporter, stop, fresh=given["fresh"])
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        reporter.send(error=describe_error(error))
        return 1
    return 0


def _wait_for_word(stop: threading.Event) -> None:
    """Stop at the next line, or at the end of the input: the parent has died."""
    sys.stdin.readline()
    stop.set()


if __name__ == "__main__":
    sys.exit(main())

"""Notebooks: whether there is one, and an output of a cell that is updated in place. Needs no ipywidgets."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

__all__ = ["REFRESH_S", "Output", "bar", "in_notebook"]

REFRESH_S = 0.25
"""Seconds between two updates of an output: front ends draw each of them."""


def in_notebook() -> bool:
    """Return whether cells of a notebook show rich output here: Jupyter, VS Code, Colab, Kaggle; not in a terminal."""
    # never imported: a process without IPython is no notebook
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    # the shell of a terminal has no kernel; Colab's has one, whatever it is called
    return shell is not None and (getattr(shell, "kernel", None) is not None or "google.colab" in sys.modules)


class Output:
    """One output of the running cell, shown with the first text and replaced by every later one."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        """True if the last update is old enough for another."""
        return time.monotonic() >= self._next

    def show(self, rich: str, plain: str) -> None:
        """Show HTML, or plain text where the front end takes no HTML."""
        from IPython.display import display

        self._next = time.monotonic() + REFRESH_S
        data = {"text/html": rich, "text/plain": plain}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(data, raw=True)


def bar(share: float, label: str) -> str:
    """Return a progress bar in HTML, with a label behind it.

    >>> bar(0.25, "1 of 4")
    '<progress value="0.2500" max="1" style="width:20em;vertical-align:middle"></progress> 1 of 4'
    """
    return (
        f'<progress value="{share:.4f}" max="1" style="width:20em;vertical-align:middle"></progress> '
        f"{html.escape(label)}"
    )

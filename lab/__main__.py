"""``python -m lab`` is ``lab``."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Python puts the working folder first for -m: a queue.py there would take the place of the library's module.
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and sys.path and os.path.abspath(sys.path[0]) != here:
        del sys.path[0]
    from lab.cli.main import command

    command()

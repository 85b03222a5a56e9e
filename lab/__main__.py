"""``python -m lab`` is ``lab``."""

from __future__ import annotations

from lab.cli.main import main

if __name__ == "__main__":
    main()

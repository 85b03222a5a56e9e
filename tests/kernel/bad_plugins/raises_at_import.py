"""Does work at import, and fails in it."""

raise ValueError("no licence\nfor this machine")

"""Returns a list where a dictionary is wanted, while the command line starts."""

from lab import hookimpl


@hookimpl
def lab_commands():
    return ["pi"]

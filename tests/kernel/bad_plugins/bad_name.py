"""Registers a name that no command line could say."""

from lab import hookimpl


@hookimpl
def lab_losses():
    return {"my loss": dict}

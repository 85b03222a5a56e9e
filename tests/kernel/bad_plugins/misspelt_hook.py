"""Has a typing error in the name of a hook."""

from lab import hookimpl


@hookimpl
def lab_architecture():
    return {"never": dict}

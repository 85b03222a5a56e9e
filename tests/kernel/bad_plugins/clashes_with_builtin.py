"""Takes a name that a built-in plugin has; its other component goes with it."""

from lab import hookimpl


@hookimpl
def lab_optimizers():
    return {"adam": dict, "other": dict}

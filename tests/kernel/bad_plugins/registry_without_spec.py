"""Names a registry instead of describing it."""

from lab import hookimpl


@hookimpl
def lab_registries():
    return ["flavours"]

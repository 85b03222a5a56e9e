"""Commands that are none."""

from lab import hookimpl


@hookimpl
def lab_commands():
    return {"run": "math:pi", "pi": "math:pi", "gone": "no_such_module:command"}

"""Prints when it is imported and in its hooks, by Python and past it."""

import os

from lab import hookimpl

print("loud import", flush=True)
os.write(1, b"loud C code\n")


@hookimpl
def lab_losses():
    print("loud hook", flush=True)
    return {"loud": "loud_component:loss"}

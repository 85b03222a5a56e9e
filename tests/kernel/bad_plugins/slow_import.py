"""Takes its time."""

import time

from lab import hookimpl

time.sleep(0.6)


@hookimpl
def lab_losses():
    return {"slow_loss": dict}

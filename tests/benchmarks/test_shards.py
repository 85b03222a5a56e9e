"""How much memory a process needs that keeps a part of the weights, against one that has a whole copy."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import pytest
from torch import distributed

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="torch was built without torch.distributed")


def peak(kind: str, width: int, layers: int) -> float:
    """Megabytes of the first of two processes."""
    program = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    command = [sys.executable, *program, "tests.benchmarks.sharded_memory", kind, str(width), str(layers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


def test_a_process_that_keeps_half_of_the_weights_needs_less_memory(figure: Any, short: bool) -> None:
    width, layers = (512, 16) if short else (1024, 64)
    sharded, whole = peak("sharded", width, layers), peak("whole", width, layers)
    if math.isnan(whole):
        pytest.skip("the system does not tell a process's peak memory")
    figure.ratio(
        f"{layers * width * (width + 1) / 1e6:.0f} M weights with Adam, two processes, peak memory of each",
        lab=sharded,
        peer=whole,
        unit="MB",
        beside="a whole copy in each (DDP)",
        at_most=0.7,
    )

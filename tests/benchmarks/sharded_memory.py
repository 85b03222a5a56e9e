"""One of the processes that train a model together; the first prints the peak of its memory beyond what it began with.

torchrun --standalone --nproc-per-node 2 -m tests.benchmarks.sharded_memory whole|sharded WIDTH LAYERS
"""

from __future__ import annotations

import sys

import torch
from torch import distributed, nn
from torch.utils.data import TensorDataset

from lab.training import Data, Learner
from lab.training.distributed.setup import sharded
from tests.benchmarks.memory import forget_peak, memory


def main() -> None:
    """Three steps with Adam; megabytes."""
    kind, width, layers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    data = Data(TensorDataset(torch.randn(24, width), torch.randn(24, width)), None)
    before = memory("VmRSS")
    forget_peak()
    with sharded(kind == "sharded"):
        model = nn.Sequential(*[nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(layers)])
        learner = Learner(model, data, nn.functional.mse_loss, batch_size=8, progress=False)
    learner.fit(1)
    if distributed.get_rank() == 0:
        print(memory("VmHWM") - before)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()

"""What does a call that does not wait for its result save, and two devices that work side by side?

*Dive into Deep Learning*, sections 12.2 and 12.3 of the second Chinese edition: ten products of matrices of 1,000 rows.
The book prints 1.47 s for NumPy, 0.0022 s for calls on a GPU that return at once, 0.0058 s with the wait for the
results; on two GPUs, 0.466 s and 0.451 s alone and 0.466 s together. `--set device=cuda` measures that where there is
one. A CPU computes before it returns; its second "device" is another thread, which gains as far as a core is free:

    lab run experiments/asynchronous.py --threads 1
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch

import lab
from lab import Study, use

Way = Literal["numpy", "torch", "issued", "one after the other", "side by side"]


def products(device: torch.device, size: int, count: int, generator: torch.Generator) -> None:
    """Compute products of random matrices on a device; on a GPU, this returns before they are there."""
    matrix = torch.randn(size, size, generator=generator).to(device)
    for _ in range(count):
        torch.mm(matrix, matrix)


def wait(device: torch.device) -> None:
    """Wait until a device has computed everything that was issued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def once(way: Way, devices: list[torch.device], size: int, count: int, generator: torch.Generator) -> float:
    """Return the seconds of one round."""
    for device in devices:
        wait(device)
    seeds = [torch.Generator().manual_seed(number) for number, _ in enumerate(devices)]
    started = time.perf_counter()
    if way == "numpy":
        matrix = torch.randn(size, size, generator=generator).numpy()
        for _ in range(count):
            np.dot(matrix, matrix)
    elif way in ("torch", "issued"):
        products(devices[0], size, count, generator)
        if way == "torch":
            wait(devices[0])
    elif way == "one after the other":
        for device, seed in zip(devices, seeds, strict=True):
            products(device, size, count, seed)
            wait(device)
    else:
        with ThreadPoolExecutor(len(devices)) as pool:
            list(pool.map(lambda pair: products(pair[0], size, count, pair[1]), zip(devices, seeds, strict=True)))
        for device in devices:
            wait(device)
    return time.perf_counter() - started


def measure(
    *, way: Way = "torch", device: str = "cpu", size: int = 1000, count: int = 10, rounds: int = 7, run: lab.TaskRun
) -> dict[str, float]:
    """Return the seconds of the best round, after one that is not counted."""
    several = torch.cuda.device_count() > 1 and device == "cuda"
    devices = [torch.device(f"cuda:{n}") for n in (0, 1)] if several else [torch.device(device)] * 2
    generator = run.streams.generator("matrices")
    found = []
    for number in range(rounds + 1):
        seconds = once(way, devices, size, count, generator)
        if number:
            found.append(seconds)
            run.log(epoch=number - 1, seconds_of_round=seconds)
    return {"seconds_of_round": min(found)}


study = Study(use(measure, way="torch"), seeds=3, compare="seconds_of_round", higher_is_better=False).swap(
    "way", ["numpy", "issued", "one after the other", "side by side"]
)

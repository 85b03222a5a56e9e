"""What does a call that does not wait for its result save, and two devices that work side by side?

*Dive into Deep Learning*, sections 12.2 and 12.3 of the second Chinese edition. In 12.2, ten rounds draw a normal
matrix of 1,000 rows and multiply it by itself, in float64 with NumPy, in float32 with PyTorch. The book prints 1.47 s
for NumPy, 0.0022 s for calls on a GPU that return at once, 0.0058 s with the wait for the results. In 12.3, each of two
GPUs multiplies a matrix of 4,000 rows by itself 50 times: 0.466 s and 0.451 s alone, 0.466 s together. The last two
arms have 10 products of 1,000 rows here, about a three-hundredth of that work. `--set device=cuda` measures where there
are GPUs, with the book's sizes:

    lab run experiments/asynchronous.py --set device=cuda
    lab run experiments/asynchronous.py --set device=cuda --set size=4000 --set count=50

A CPU computes before it returns; its second "device" is another thread, which gains as far as a core is free:

    lab run experiments/asynchronous.py --threads 1
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

import lab
from lab import Study, use

Way = Literal["numpy", "torch", "issued", "one after the other", "side by side"]


def products(matrix: Tensor, count: int) -> None:
    """Multiply a matrix by itself; on a GPU, this returns before the products are there."""
    for _ in range(count):
        torch.mm(matrix, matrix)


def rounds_of_torch(device: torch.device, size: int, count: int, generator: torch.Generator) -> None:
    """Draw a matrix and multiply it by itself, on a device; on a GPU, this returns before the products are there."""
    for _ in range(count):
        products(torch.randn(size, size, generator=generator, device=device), 1)


def rounds_of_numpy(size: int, count: int, generator: np.random.Generator) -> None:
    """Draw a matrix in float64 and multiply it by itself."""
    for _ in range(count):
        matrix = generator.normal(size=(size, size))
        np.dot(matrix, matrix)


def wait(device: torch.device) -> None:
    """Wait until a device has computed everything that was issued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def once(way: Way, devices: list[torch.device], size: int, count: int, seed: int) -> float:
    """Return the seconds of one round; section 12.2 times the draws too, 12.3 has its matrices before."""
    generators = [torch.Generator(device).manual_seed(seed) for device in devices]
    numpy_generator = np.random.default_rng(seed)
    matrices = []
    if way in ("one after the other", "side by side"):
        for device, generator in zip(devices, generators, strict=True):
            matrices.append(torch.rand(size, size, generator=generator, device=device))
    for device in devices:
        wait(device)
    started = time.perf_counter()
    if way == "numpy":
        rounds_of_numpy(size, count, numpy_generator)
    elif way in ("torch", "issued"):
        rounds_of_torch(devices[0], size, count, generators[0])
        if way == "torch":
            wait(devices[0])
    elif way == "one after the other":
        for matrix in matrices:
            products(matrix, count)
            wait(matrix.device)
    else:
        with ThreadPoolExecutor(len(devices)) as pool:
            list(pool.map(lambda matrix: products(matrix, count), matrices))
        for device in devices:
            wait(device)
    return time.perf_counter() - started


def measure(
    *,
    way: Way = "torch",
    device: str = "cpu",
    size: PositiveInt = 1000,
    count: PositiveInt = 10,
    rounds: PositiveInt = 7,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Return the seconds of the best round, after one that is not counted."""
    several = torch.cuda.device_count() > 1 and device == "cuda"
    devices = [torch.device(f"cuda:{n}") for n in (0, 1)] if several else [torch.device(device)] * 2
    seed = int(torch.randint(2**31, (), generator=run.streams.generator("matrices")))
    found = []
    for number in range(rounds + 1):
        seconds = once(way, devices, size, count, seed + number)
        if number:
            found.append(seconds)
            run.log(epoch=number - 1, seconds_of_round=seconds)
    return {"seconds_of_round": min(found)}


study = Study(use(measure, way="torch"), seeds=3, compare="seconds_of_round", higher_is_better=False).swap(
    "way", ["numpy", "issued", "one after the other", "side by side"]
)

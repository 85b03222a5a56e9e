"""How should workers add up their gradients: at one of them, at a server, each a part, or around a ring?

*Dive into Deep Learning*, section 12.7 of the second Chinese edition. The workers' vectors are really added, transfer
by transfer, and each transfer costs latency and bytes over bandwidth (Patarasuk & Yuan 2009, "Bandwidth optimal
all-reduce algorithms"). Transfers of one step run side by side, and share the port of a machine that has several.
The book's numbers: 160 MB among four GPUs over 16 GB/s take 60 ms at one GPU, 80 ms at the CPU, and two times 7.5 ms if
each GPU adds a quarter; among eight around rings of 54 GB/s, 6 ms, without the last (n - 1) / n:

    lab run experiments/ring_or_server.py --set workers=8 --set gigabytes_per_second=54
"""

from collections import defaultdict
from typing import Literal, NamedTuple, get_args

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

import lab
from lab import Study, use

Method = Literal["one_worker", "server", "parts", "ring"]


class Transfer(NamedTuple):
    """A message: the step in which it is sent, the machines, and its share of the whole vector."""

    step: int
    source: str
    target: str
    share: float


def all_reduce(vectors: list[Tensor], method: Method) -> tuple[list[Tensor], list[Transfer]]:
    """Add vectors, one of each worker, so that every worker has the sum; return the sums, and what was sent.

    Shapes:
        vectors: n of (D,), D a multiple of n -> n of (D,)
    """
    workers = len(vectors)
    own = [vector.clone() for vector in vectors]
    if method == "ring":
        return _around_a_ring(own)
    names = [f"worker {number}" for number in range(workers)]
    # who adds which slice
    if method == "parts":
        width = len(own[0]) // workers
        adding = [(names[number], slice(number * width, (number + 1) * width)) for number in range(workers)]
    else:
        adding = [(names[0] if method == "one_worker" else "server", slice(None))]
    transfers = []
    for place, part in adding:
        share = len(own[0][part]) / len(own[0])
        total = sum((vector[part] for vector in vectors), torch.zeros_like(own[0][part]))
        for name, mine in zip(names, own, strict=True):
            mine[part] = total
            if name != place:
                transfers += [Transfer(0, name, place, share), Transfer(1, place, name, share)]
    return own, transfers


def _around_a_ring(own: list[Tensor]) -> tuple[list[Tensor], list[Transfer]]:
    """Add in n - 1 steps, in which every worker passes a part on, and spread the sums in n - 1 more."""
    workers = len(own)
    parts = [list(vector.chunk(workers)) for vector in own]
    transfers = []
    for step in range(2 * (workers - 1)):
        adds = step < workers - 1
        # all read before any writes, since all send at once
        sent = []
        for worker in range(workers):
            part = (worker - step) % workers if adds else (worker + 1 - (step - (workers - 1))) % workers
            sent.append((worker, part, parts[worker][part].clone()))
        for worker, part, value in sent:
            target = (worker + 1) % workers
            parts[target][part] = parts[target][part] + value if adds else value
            transfers.append(Transfer(step, f"worker {worker}", f"worker {target}", 1 / workers))
    return [torch.cat(each) for each in parts], transfers


def milliseconds(
    transfers: list[Transfer], megabytes: float, gigabytes_per_second: float, latency_us: float = 0.0
) -> float:
    """Return the time of transfers: per step, a latency and the fullest port in either direction."""
    load: dict[int, dict[tuple[str, str], float]] = defaultdict(lambda: defaultdict(float))
    for each in transfers:
        load[each.step]["out", each.source] += each.share
        load[each.step]["in", each.target] += each.share
    # megabytes over gigabytes per second are milliseconds
    return sum(latency_us / 1000 + max(ports.values()) * megabytes / gigabytes_per_second for ports in load.values())


def simulate(
    *,
    method: Method = "one_worker",
    workers: PositiveInt = 4,
    megabytes: PositiveFloat = 160.0,
    gigabytes_per_second: PositiveFloat = 16.0,
    latency_us: NonNegativeFloat = 0.0,
    most_workers: PositiveInt = 32,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Add vectors, compare them with their sum, and return the modeled time, drawn for other numbers of workers."""
    curves: dict[Method, dict[int, float]] = defaultdict(dict)
    for count in sorted({2, 4, 8, 16, most_workers, workers}):
        vectors = list(torch.randn(count, 16 * count, generator=run.streams.generator(f"vectors of {count}")))
        for each in get_args(Method):
            sums, transfers = all_reduce(vectors, each)
            error = max(float((total - torch.stack(vectors).sum(0)).abs().max()) for total in sums)
            if error > 1e-4:
                raise RuntimeError(f"{each} among {count} workers adds wrongly, by {error}")
            curves[each][count] = milliseconds(transfers, megabytes, gigabytes_per_second, latency_us)
            if (count, each) == (workers, method):
                sent = sum(transfer.share for transfer in transfers) * megabytes
    draw(run, curves, method)
    return {"milliseconds": curves[method][workers], "megabytes_sent": sent}


def draw(run: lab.TaskRun, curves: dict[Method, dict[int, float]], method: str) -> None:
    """Save the time by the number of workers, of all methods, this one in bold."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        width, alpha = (2.5, 1.0) if name == method else (1.0, 0.6)
        axes.plot(list(curve), list(curve.values()), marker="o", linewidth=width, alpha=alpha, label=name)
    axes.set(xlabel="workers", ylabel="milliseconds", title=method, yscale="log")
    axes.legend()
    figure.savefig(folder / "workers.png", dpi=110)


study = Study(use(simulate, method="one_worker"), seeds=1, compare="milliseconds", higher_is_better=False).swap(
    "method", ["server", "parts", "ring"]
)

"""Two or more sides timed in turns, so that a machine that is now fast and now slow is so for all of them."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence

Action = Callable[[], object]


def seconds(action: Action) -> float:
    """How long ``action`` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_turns(sides: Sequence[Action], rounds: int) -> list[list[float]]:
    """Seconds of each side in each round, after one round to warm up; the order turns round every time."""
    for side in sides:
        side()
    table: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        order = list(enumerate(sides))
        for index, side in order if number % 2 else reversed(order):
            table[index].append(seconds(side))
    return table


def in_turns_anew(make_sides: Callable[[], Sequence[Action]], rounds: int, times: int = 3) -> list[list[float]]:
    """The same with sides made anew ``times`` times: where weights happen to lie in memory is worth some percent."""
    tables = [in_turns(make_sides(), rounds) for _ in range(times)]
    return [[*itertools.chain.from_iterable(taken)] for taken in zip(*tables, strict=True)]


def typical_ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Median over the rounds of ``one / other``: moments in which the machine was slow fall out."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def typical_speeds(count: int, lab: Sequence[float], peer: Sequence[float]) -> dict[str, float]:
    """Things per second of both sides where a round has ``count``: the peer's typical one, and lab's by the ratio."""
    speed = count / statistics.median(peer)
    return {"lab": speed * typical_ratio(peer, lab), "peer": speed}

"""What all benchmarks share: each figure is printed with both sides, kept, and held to twice its bound.

pytest tests/benchmarks --benchmark-only                       everything, in this process alone
pytest tests/benchmarks --benchmark-only --short               the short form that CI runs
pytest tests/benchmarks --benchmark-only --long FOLDER         also what takes hours, and goes on where it was
pytest tests/benchmarks --benchmark-only --figures FILE        also keep the figures, for docs/performance.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FIGURES = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("figures")
    group.addoption("--short", action="store_true", help="benchmarks on small inputs, seconds each")
    group.addoption("--long", type=Path, metavar="FOLDER", help="also benchmarks of hours, with what they trained here")
    group.addoption("--figures", type=Path, metavar="FILE", help="add the figures to this file of JSON")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Benchmarks that are asked for run alone: one process, one after the other."""
    if config.option.benchmark_only or config.option.benchmark_enable:
        config.option.benchmark_disable = False
        config.option.numprocesses = 0
        config.stash[_FIGURES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked_for = config.option.benchmark_only or config.option.benchmark_enable
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        item.add_marker(pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"))
        if not asked_for:
            item.add_marker(pytest.mark.skip(reason="a benchmark: give --benchmark-only"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    path, figures = session.config.option.figures, session.config.stash.get(_FIGURES, [])
    if path is not None and figures:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        new = {(figure["benchmark"], figure["what"]) for figure in figures}
        kept = [figure for figure in known if (figure["benchmark"], figure["what"]) not in new]
        order = sorted([*kept, *figures], key=lambda figure: figure["file"])
        path.write_text(json.dumps(order, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@pytest.fixture
def short(request: pytest.FixtureRequest) -> bool:
    """Whether small inputs are enough: the form that CI runs."""
    return bool(request.config.option.short)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch has one thread, as the tables of docs/performance.md say."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def figure(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[Figure]:
    """Where a benchmark puts what it measured."""
    keep = Figure(request)
    yield keep
    request.config.stash[_FIGURES].extend(keep.figures)
    # a ratio has both sides in one run; milliseconds alone depend on the machine, and are told where they miss a bound
    worst = [figure["what"] for figure in keep.figures if figure["of"] == "×" and figure["times_worse"] > 2]
    assert not worst, f"worse than twice the bound: {', '.join(worst)}"


class Figure:
    """Figures of one benchmark, each printed as it is measured."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.name, self.file = request.node.name, request.node.path.name
        self.short = bool(request.config.option.short)
        self.figures: list[dict[str, Any]] = []
        self._capture = request.config.pluginmanager.getplugin("capturemanager")

    def ratio(
        self,
        what: str,
        *,
        lab: float,
        peer: float,
        unit: str,
        beside: str,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Keep ``lab / peer``.

        Args:
            what: what was measured, in a reader's words.
            lab, peer: both sides, in ``unit``; a speed-up is told in things per second.
            unit: such as "ms a step", "tokens/s", "MB".
            beside: who the peer is.
            at_most, at_least: the bound of the ratio, where there is one.
        """
        sides = {"lab": lab, "peer": peer, "unit": unit, "beside": beside}
        self._keep(what, lab / peer, "×", at_most, at_least, sides)

    def value(
        self, what: str, value: float, unit: str, *, at_most: float | None = None, at_least: float | None = None
    ) -> None:
        """Keep a figure that has no other side."""
        self._keep(what, value, unit, at_most, at_least, {})

    def _keep(
        self,
        what: str,
        value: float,
        of: str,
        at_most: float | None,
        at_least: float | None,
        sides: dict[str, Any],
    ) -> None:
        times_worse = value / at_most if at_most is not None else at_least / value if at_least is not None else 0.0
        bound = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}" if at_least else "no bound"
        entry = {
            "file": self.file,
            "benchmark": self.name,
            "what": what,
            "value": value,
            "of": of,
            "bound": bound,
        } | sides
        self.figures.append({**entry, "held": times_worse <= 1, "times_worse": times_worse, "short": self.short})
        both = f"{sides['beside']} {sides['peer']:,.4g}, lab {sides['lab']:,.4g} {sides['unit']}: " if sides else ""
        missed = "" if times_worse <= 1 else "  MISSED"
        with self._capture.global_and_fixture_disabled():
            print(f"\n  {what}: {both}{value:,.4g} {of} ({bound}){missed}", file=sys.__stderr__)

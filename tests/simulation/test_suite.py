"""The table of the suite: what no other test of it checks."""

from __future__ import annotations

from tests.simulation.figures import PAGE
from tests.simulation.suite import BEGIN, END, contradictions


def test_no_verdict_contradicts_its_interval() -> None:
    assert contradictions(400) == 0


def test_every_figure_on_the_page_keeps_its_bound() -> None:
    text = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    cells = {line.split(" | ")[0]: line.split(" | ")[1:3] for line in text.splitlines() if line.endswith("` |")}
    assert len(cells) == 12
    for what, (bound, found) in cells.items():
        number = float(found.split(" to ")[-1].split("%")[0].split()[0].rstrip(",;")) if "%" in found else None
        if number is not None and bound.startswith("at most"):
            assert number <= float(bound.removeprefix("at most ").split("%")[0]), what

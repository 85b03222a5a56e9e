"""Checks of searchers."""

from __future__ import annotations

from typing import Any

from lab.study.space import ObservedTrial, Options, Range, Searcher, Space
from lab.testing.conformance import Conformance
from lab.testing.finding import Finding
from lab.testing.probe import no_global_randomness

__all__ = ["SearcherConformance"]

SPACE: Space = {
    "rate": Range(1e-4, 1.0, is_log=True),
    "share": Range(0.0, 0.5),
    "width": Range(1, 64, is_log=True, is_whole=True),
    "layers": Range(1, 4, is_whole=True),
    "choice": Options({"one": 1, "two": 2, "three": 3}),
}
SETTINGS = (
    {"rate": 1e-3, "share": 0.1, "width": 8, "layers": 2, "choice": "one"},
    {"rate": 1e-2, "share": 0.4, "width": 64, "layers": 4, "choice": "two"},
    {"rate": 0.5, "share": 0.0, "width": 1, "layers": 1, "choice": "three"},
)


class SearcherConformance(Conformance):
    """The checks of searchers: ``factory(…)`` with ``propose(space, seen, count, seed)``."""

    kind = "searchers"

    def propose(self, seen: tuple[ObservedTrial, ...] = (), count: int = 4, seed: int = 0) -> list[dict[str, Any]]:
        """Proposals of a searcher that was made for this call."""
        searcher = self.resolved.build({})
        if not isinstance(searcher, Searcher):
            raise Finding(f"{self.label} must have a method propose(space, seen, count, seed)")
        return searcher.propose(SPACE, seen, count, seed)

    def exercise(self) -> None:
        self.propose(_trials())

    def test_proposes_as_many_trials_as_asked(self) -> None:
        """Before the first trial and after some."""
        for seen in ((), _trials()):
            for count in (1, 5):
                given = len(self.propose(seen, count))
                if given != count:
                    raise Finding(f"{self.label}: asked for {count} trials after {len(seen)}, it gives {given}")

    def test_proposals_lie_in_the_space(self) -> None:
        """Every path has a number between its bounds, whole where that is asked, or the name of an option."""
        for settings in (*self.propose(), *self.propose(_trials())):
            if set(settings) != set(SPACE):
                raise Finding(f"{self.label}: it gives {', '.join(settings)} for the space {', '.join(SPACE)}")
            for path, choice in SPACE.items():
                if not choice.holds(settings[path]):
                    raise Finding(f"{self.label}: {settings[path]!r} is not a valid {path}: {choice}")

    def test_same_trials_and_seed_give_the_same_proposals(self) -> None:
        """An interrupted search goes on as it would have."""
        with no_global_randomness(self.label):
            # A search is resumed by asking for the same proposals again.
            first, again = self.propose(_trials()), self.propose(_trials())
        if first != again:
            raise Finding(f"{self.label}: twice the same trials and seed, but {first} and {again}")

    def test_failed_trials_are_accepted(self) -> None:
        """A failed trial, which has no score, does not stop the search."""
        self.propose((*_trials(), ObservedTrial(SETTINGS[0], None)))
        self.propose((ObservedTrial(SETTINGS[0], None),))


def _trials() -> tuple[ObservedTrial, ...]:
    return tuple(ObservedTrial(settings, float(index)) for index, settings in enumerate(SETTINGS))

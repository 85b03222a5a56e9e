"""Artefact with items ranked by bias and a map of item factors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab import Callback
from lab.errors import ParameterError
from lab_collab.interpret import has_biases, item_map, items_by_bias, items_by_component

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["ITEMS", "ItemMap"]

ITEMS = "items.json"


class ItemMap(Callback):
    """Write the items with the highest and lowest bias and a map of the items when training ends.

    The artefacts are ``items.json`` and ``items.png``.

    Lesson 5 of fast.ai 2018 ranks the 3,000 most rated films only, reads both ends of three components aloud, and draws
    50 films: ``item_map(among=3_000, components=3, count=50)``.

    Args:
        count: number of items on the map, those with the most ratings.
        ranked: number of items with the highest, and with the lowest, bias; and at each end of a component.
        among: rank only so many items, those with the most ratings; None ranks all.
        components: number of principal components of the factors whose ends are listed.
    """

    observer = True

    def __init__(self, *, count: int = 40, ranked: int = 10, among: int | None = None, components: int = 0) -> None:
        for label, value, least in (("among", among, 1), ("components", components, 0)):
            if value is not None and value < least:
                raise ParameterError(f"{label} must be at least {least}, got {value}", where="callback 'item_map'")
        self.count, self.ranked, self.among, self.components = count, ranked, among, components

    def check(self, learner: Learner) -> None:
        item_map(learner, 2)
        if self.components:
            items_by_component(learner, self.components - 1, 1, among=self._most(learner))

    def _most(self, learner: Learner) -> int:
        return learner.data.facts()["item_count"] if self.among is None else self.among

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished:
            return
        places = item_map(learner, self.count)
        titles = [learner.data.title(place.item) for place in places]
        content: dict[str, Any] = {
            "map": [{"title": title, "x": place.x, "y": place.y} for title, place in zip(titles, places, strict=True)],
            "highest": self._ranked(learner, lowest=False),
            "lowest": self._ranked(learner, lowest=True),
        }
        if self.components:
            content["components"] = [
                [
                    items_by_component(learner, number, self.ranked, lowest=lowest, among=self._most(learner))
                    for lowest in (False, True)
                ]
                for number in range(self.components)
            ]
        learner.artefact(ITEMS).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        from lab_collab.plots import plot_map

        plot_map(content["map"]).savefig(learner.artefact("items.png"), dpi=110)

    def _ranked(self, learner: Learner, *, lowest: bool) -> list[tuple[str, float]]:
        if not has_biases(learner.model):
            return []
        return items_by_bias(learner, self.ranked, lowest=lowest, among=self.among)

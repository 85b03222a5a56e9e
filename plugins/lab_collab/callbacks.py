"""Artefact with items ranked by bias and a map of item factors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lab import Callback
from lab_collab.interpret import has_biases, item_map, items_by_bias

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["ITEMS", "ItemMap"]

ITEMS = "items.json"


class ItemMap(Callback):
    """Write the items with the highest and lowest bias and a map of the items when training ends.

    The artefacts are ``items.json`` and ``items.png``.

    Args:
        count: number of items on the map, those with the most ratings.
        ranked: number of items with the highest, and with the lowest, bias.
    """

    observer = True

    def __init__(self, *, count: int = 40, ranked: int = 10) -> None:
        self.count, self.ranked = count, ranked

    def check(self, learner: Learner) -> None:
        item_map(learner, 2)

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished:
            return
        places = item_map(learner, self.count)
        titles = [learner.data.title(place.item) for place in places]
        content = {
            "map": [{"title": title, "x": place.x, "y": place.y} for title, place in zip(titles, places, strict=True)],
            "highest": self._ranked(learner, lowest=False),
            "lowest": self._ranked(learner, lowest=True),
        }
        learner.artefact(ITEMS).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        from lab_collab.plots import plot_map

        plot_map(content["map"]).savefig(learner.artefact("items.png"), dpi=110)

    def _ranked(self, learner: Learner, *, lowest: bool) -> list[tuple[str, float]]:
        if not has_biases(learner.model):
            return []
        return items_by_bias(learner, self.ranked, lowest=lowest)

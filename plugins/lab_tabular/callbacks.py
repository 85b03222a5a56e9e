"""Artefacts of a run on a table: maps of category embeddings, and other models trained on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab import Callback
from lab_tabular.embeddings import category_distances, category_map, compare_encodings, entity_embeddings

if TYPE_CHECKING:
    from lab import Learner
    from lab_tabular.data import TableData

__all__ = ["ENTITIES", "EntityMaps"]

ENTITIES = "entities.json"
MAX_SHOWN = 80


class EntityMaps(Callback):
    """Map the embeddings of categories when training ends, next to their true positions if known.

    The artefacts are ``entities.json`` and ``entities.png``; runs without embeddings have none. With ``distances``,
    ``distances.png`` has those of pairs of a column's categories; see ``category_distances``.

    Args:
        columns: the columns to map; empty takes those with known positions, or the first with at least three
            categories.
        compare: fit other models on one-hot categories and on the embeddings; see ``compare_encodings``.
        sample: maximum number of training rows for these.
        distances: a column of which the distances of vectors and of predictions are compared.
    """

    observer = True

    def __init__(
        self,
        *,
        columns: tuple[str, ...] = (),
        compare: bool = False,
        sample: int = 10_000,
        distances: str | None = None,
    ) -> None:
        self.columns, self.compare, self.sample, self.distances = tuple(columns), compare, sample, distances

    def check(self, learner: Learner) -> None:
        # In a study of networks and trees, the arms with trees have no embeddings and are not an error.
        if self._has_vectors(learner):
            for column in self._columns(learner):
                category_map(learner, column)
            if self.distances is not None:
                category_distances(learner, self.distances, pairs=3, rows=1)

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished or not self._has_vectors(learner):
            return
        maps = [category_map(learner, column) for column in self._columns(learner)]
        content: dict[str, Any] = {
            "maps": [
                {
                    "column": each.column,
                    "names": each.names[:MAX_SHOWN],
                    "places": each.places[:MAX_SHOWN].tolist(),
                    "truth": None if each.truth is None else each.truth[:MAX_SHOWN].tolist(),
                    "correlation": each.correlation,
                }
                for each in maps
            ],
            "encodings": compare_encodings(learner, sample=self.sample) if self.compare else [],
        }
        learner.artefact(ENTITIES).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        if maps:
            from lab_tabular.plots import plot_maps

            plot_maps(content["maps"]).savefig(learner.artefact("entities.png"), dpi=110)
        if self.distances is not None:
            from lab_tabular.plots import plot_distances

            found = category_distances(learner, self.distances)
            content["distances"] = {"column": found.column, "correlation": found.correlation}
            learner.artefact(ENTITIES).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
            plot_distances(found._asdict()).savefig(learner.artefact("distances.png"), dpi=110)

    @staticmethod
    def _has_vectors(learner: Learner) -> bool:
        from lab_tabular.models import Embeddings

        return isinstance(getattr(learner.model, "categories", None), Embeddings)

    def _columns(self, learner: Learner) -> list[str]:
        data: TableData = learner.data  # type: ignore[assignment]
        if self.columns:
            return list(self.columns)
        if data.category_places:
            return list(data.category_places)
        wide = [name for name, vectors in entity_embeddings(learner).items() if len(vectors) >= 3]
        return wide[:1]

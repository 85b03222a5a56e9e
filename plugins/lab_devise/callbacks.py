"""Callbacks that save an index and a search page."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from lab_text.indexes import Index, make_index

from lab import Callback
from lab.files import atomic_folder
from lab_devise.search import INDEX, _data, picture_vectors, pictures_of, search

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["SEARCH", "SearchPage"]

SEARCH = "search.json"


class SearchPage(Callback):
    """Save an image index, a search page and sheets of results when training ends.

    Artifacts: ``index/``, which ``learner.search`` and ``lab search`` read; ``search.html``; ``search.json`` with the
    index's recall and sample results; ``sheets.png``.

    Args:
        index: kind of index; None for exact below 50,000 images, otherwise nmslib.
        count: images per word.
    """

    # Reads the trained model only, so it is not part of a run's key.
    observer = True

    def __init__(self, *, index: Index | None = None, count: int = 6) -> None:
        self.index, self.count = index, count

    def check(self, learner: Learner) -> None:
        _data(learner)

    def after_fit(self, learner: Learner) -> None:
        # An interrupted fit calls ``after_fit``, too.
        if learner.folder is None or not learner.is_finished:
            return
        # Pillow and matplotlib are imported only when a page is written.
        from lab_devise.page import search_page, sheet

        data: Any = learner.data
        vectors = picture_vectors(learner)
        index = make_index(vectors.numpy(), self.index)
        folder = learner.artefact(INDEX)
        # A resumed run replaces its index as a whole.
        shutil.rmtree(folder, ignore_errors=True)
        with atomic_folder(folder) as temporary:
            index.save(temporary)
        learner.artefact("search.html").write_text(search_page(learner, vectors), encoding="utf-8")
        asked = self._asked(data)
        found = {" + ".join(words): search(learner, words, count=self.count) for words in asked}
        pictures = [each.picture for rows in found.values() for each in rows if each.picture is not None]
        titles = [f"{words}\n{each.name} {each.similarity:.2f}" for words, rows in found.items() for each in rows]
        learner.artefact("sheets.png").write_bytes(sheet(data, pictures, titles))
        # One image per class, to keep the report short.
        seen = {picture: search(learner, image=picture, count=3) for picture in self._shown(data)}
        content = {
            "index": {
                "kind": type(index).__name__,
                "vectors": len(vectors),
                **(index.built._asdict() if index.built else {}),
            },
            "left_out": data.left_out,
            "held_out": data.class_names[data.trained_count :],
            "texts": {words: [(each.name, each.similarity) for each in rows] for words, rows in found.items()},
            "pictures": [
                [data.class_names[int(pictures_of(data)[1][picture])], [(each.name, each.similarity) for each in rows]]
                for picture, rows in seen.items()
            ],
        }
        learner.artefact(SEARCH).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")

    @staticmethod
    def _asked(data: Any) -> list[list[str]]:
        """Return words for the sheet: a trained class, a held-out one if there is any, and a pair."""
        names = data.class_names
        single = [names[0], names[data.trained_count] if data.trained_count < len(names) else names[1]]
        return [[single[0]], [single[1]], [names[0], names[1]]]

    @staticmethod
    def _shown(data: Any) -> list[int]:
        _, classes = pictures_of(data)
        return [int((classes == number).nonzero()[0]) for number in classes.unique().tolist()][:10]

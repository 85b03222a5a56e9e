"""Contract of the registry ``predictors``: prediction of a file with a finished run, for ``lab predict``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, StoreError, describe

if TYPE_CHECKING:
    import pandas as pd

    from lab import Learner
    from lab.registry.plugins import Catalog
    from lab.study.store import RunRecord

__all__ = ["Predictor", "keep_artefact", "kept_artefact", "load_predictor"]


class Predictor(ABC):
    """Base class of predictors, one per kind of data.

    Attributes:
        artefact: name of a JSON artefact that runs on this kind of data leave: the preprocessing, as in training.
        makes_submissions: whether ``reading["submission"]``, ``class`` or ``probabilities``, is understood.
    """

    artefact: str
    makes_submissions = False

    @abstractmethod
    def load(
        self, content: Mapping[str, Any], record: RunRecord, catalog: Catalog, load: Callable[..., Learner]
    ) -> Learner:
        """Return the learner of a run.

        Args:
            content: of the artefact; not trusted.
            record: the run.
            catalog: the plugins.
            load: ``lab.load`` of this run; ``data=`` replaces the training data, which then are not read.

        Raises:
            KeyError, TypeError, ValueError, AttributeError, IndexError: the content is damaged.
        """

    @abstractmethod
    def predict(self, learner: Learner, path: Path, *, only: bool, reading: Mapping[str, Any]) -> pd.DataFrame:
        """Return the rows of a file with their predictions.

        Args:
            learner: of ``load``.
            path: the file.
            only: without the columns of the file.
            reading: ``separator``, ``encoding`` and ``submission``, those that were given.
        """


def keep_artefact(content: Mapping[str, Any], folder: Path, name: str) -> None:
    """Write a JSON artefact of a run, sealed, next to its weights."""
    from lab.study.files import to_standard, write_sealed

    path = folder / "artefacts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sealed(path, to_standard(content))


def kept_artefact(record: RunRecord, name: str) -> dict[str, Any]:
    """Return what ``keep_artefact`` wrote.

    Raises:
        FileNotFoundError: the run has none.
        LabError: it is damaged.
    """
    from lab.study import files

    return files.from_plain(files.read_json(record.path(f"artefacts/{name}"), files.ANY_OBJECT))  # type: ignore[no-any-return]


def load_predictor(key: str, runs: Path, *, catalog: Catalog, **options: Any) -> tuple[Predictor, Learner]:
    """Return the predictor of a finished run and its learner.

    Args:
        key: the run's key, or its first digits.
        runs: the folder of runs.
        catalog: the plugins.
        options: ``file``, ``stored_source``, ``anyway`` and ``warn`` of ``lab.load``.

    Raises:
        LabError: there is no predictor for the run, or its preprocessing cannot be read.
    """
    from lab.study.rebuild import finished_run, load
    from lab.study.store import Store

    record = finished_run(Store(runs), key)

    def loaded(**more: Any) -> Learner:
        return load(key, runs, catalog=catalog, **options, **more)

    for predictor in _predictors(catalog):
        try:
            content = kept_artefact(record, predictor.artefact)
        except FileNotFoundError:
            continue
        try:
            return predictor, predictor.load(content, record, catalog, loaded)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            where = f"{record.path(f'artefacts/{predictor.artefact}')}: {describe(error)}"
            raise StoreError("the preprocessing of this run cannot be read", where=where) from error
    raise LabError(
        f"run {key} has no stored preprocessing",
        hint="`lab predict` needs a run on a table (lab_tabular), texts (lab_sentences) or pictures (lab_vision)",
    )


def _predictors(catalog: Catalog) -> list[Predictor]:
    from lab.registry.resolve import Resolver

    resolver = Resolver(catalog)
    found = [resolver.resolve("predictors", entry.qualified_name) for entry in catalog.registry("predictors").entries()]
    return [component.build({}) for component in found if component is not None]

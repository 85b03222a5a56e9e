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

__all__ = [
    "PREDICTION",
    "Predictor",
    "answer_columns",
    "keep_artefact",
    "kept_artefact",
    "load_predictor",
    "mean_of_answers",
]

PREDICTION = "prediction"
"""Column of predictions; probabilities of classes follow it as ``p(CLASS)``."""


class Predictor(ABC):
    """Base class of predictors, one per kind of data.

    Attributes:
        artefact: name of a JSON artefact that runs on this kind of data leave: the preprocessing, as in training.
        makes_submissions: whether ``submission`` is implemented.
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
            reading: ``separator`` and ``encoding``, those that were given.
        """

    def submission(self, answer: pd.DataFrame, kind: str) -> pd.DataFrame:
        """Return an answer of ``predict``, or the mean of several, as a file for a competition.

        Args:
            answer: with the columns of the file.
            kind: ``class`` or ``probabilities``.
        """
        raise NotImplementedError

    def most_probable(self, learner: Learner, probabilities: Mapping[str, Any]) -> list[str]:
        """Return the prediction of every row, from class → its probabilities: the most probable class.

        Args:
            learner: of ``load``.
            probabilities: means over several runs.
        """
        import numpy as np

        names, shares = list(probabilities), np.stack(list(probabilities.values()))
        return [names[number] for number in shares.argmax(0)]


def answer_columns(answer: pd.DataFrame) -> list[str]:
    """Return the columns of an answer that are not of its file: the prediction, and probabilities of classes."""
    columns = list(answer.columns)
    # they were joined to those of the file, from which columns of the same names are dropped
    return columns[columns.index(PREDICTION) :]


def mean_of_answers(predictor: Predictor, learner: Learner, answers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the first answer with the mean over all of them: of numbers, or of the probabilities of classes.

    Args:
        predictor, learner: of one of the runs.
        answers: key of a run → its answer; those after the first need no columns of the file.

    Raises:
        LabError: the runs predict different things.
    """
    import numpy as np

    (first, answer), *others = answers.items()
    own = answer_columns(answer)
    for key, other in others:
        # another type of predictions is another target, too
        kinds = {str(each[PREDICTION].dtype) if len(own) == 1 else "" for each in (answer, other)}
        if answer_columns(other) != own or len(kinds) > 1:
            raise LabError(
                f"runs {first} and {key} predict different things, which have no mean",
                where=f"{first}: {', '.join(own)}\n{key}: {', '.join(answer_columns(other))}",
                hint="give runs with the same target",
            )
    if not others:
        return answer
    averaged = own[1:] or own
    means = {name: np.mean([each[name].to_numpy(float) for each in answers.values()], axis=0) for name in averaged}
    if len(own) > 1:
        chosen = predictor.most_probable(learner, {name[2:-1]: values for name, values in means.items()})
        means[PREDICTION] = np.array(chosen, object)
    return answer.assign(**means)


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

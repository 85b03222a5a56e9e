"""Prediction of folders of pictures with a finished run, without the training pictures, for ``lab predict``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lab_basics.prediction import Predictor, keep_artefact

from lab.errors import DataError
from lab_vision.data import ImageData, Images, kept_data
from lab_vision.pictures import Picture, decode, pictures_in

if TYPE_CHECKING:
    import pandas as pd

    from lab import Learner
    from lab.registry.plugins import Catalog
    from lab.study.store import RunRecord

__all__ = ["PREPARATION", "PicturePredictor", "keep_preparation"]

PREPARATION = "picture_preparation.json"
CHUNK = 256
MAX_TOLD = 12


def keep_preparation(run: Any, folder: Path) -> None:
    """Write what pictures must be like for a run, next to its weights."""
    data = run.data
    if isinstance(data, ImageData):
        content = {
            "class_names": list(data.class_names),
            "channels": data.channels,
            "image_size": list(data.image_size),
            "mean": list(data.channel_mean),
            "std": list(data.channel_std),
            "fit": data.picture_fit,
            "fingerprint": data.fingerprint,
            "several": data.several,
        }
        keep_artefact(content, folder, PREPARATION)


class PicturePredictor(Predictor):
    """Prediction of a folder, a zip or a file of pictures with a run on pictures.

    ``id`` is a picture's name without suffix, ``prediction`` its most likely class (of pictures with several classes,
    all that are more likely than not, separated by blanks), and each class has a column of probabilities, ``p(CLASS)``.
    Rows are in the order of numbers where names are numbers.
    """

    artefact = PREPARATION
    makes_submissions = True

    def load(
        self, content: Mapping[str, Any], record: RunRecord, catalog: Catalog, load: Callable[..., Learner]
    ) -> Learner:
        """Return the learner without its training pictures."""
        height, width = content["image_size"]
        data = kept_data(
            tuple(map(str, content["class_names"])),
            channels=int(content["channels"]),
            image_size=(int(height), int(width)),
            mean=tuple(map(float, content["mean"])),
            std=tuple(map(float, content["std"])),
            fit=content["fit"],
            fingerprint=content["fingerprint"],
            several=bool(content.get("several", False)),
        )
        return load(data=data)

    def predict(self, learner: Learner, path: Path, *, only: bool, reading: Mapping[str, Any]) -> pd.DataFrame:
        """Return a row for each picture; with ``only``, without its id."""
        import pandas as pd

        pictures = [_one_file(path)] if path.is_file() and path.suffix.lower() != ".zip" else pictures_in(path)
        if not pictures:
            raise DataError("there are no pictures", where=str(path))
        pictures = sorted(pictures, key=lambda each: _order(each.name))
        probabilities = _probabilities(learner, pictures, str(path))
        names: tuple[str, ...] = learner.data.class_names  # type: ignore[attr-defined]
        ids = [PurePosixPath(picture.name).stem for picture in pictures]
        best = [_answer(names, row, several=learner.data.several) for row in probabilities]  # type: ignore[attr-defined]
        answer = pd.DataFrame({"prediction": best})
        answer = answer.join(pd.DataFrame(probabilities, columns=[f"p({name})" for name in names]))
        if not only:
            answer.insert(0, "id", ids)
        return answer

    def submission(self, answer: pd.DataFrame, kind: str) -> pd.DataFrame:
        """Return the columns id and label for ``class``, id and a column for each class for ``probabilities``."""
        if kind == "class":
            return answer[["id", "prediction"]].rename(columns={"prediction": "label"})
        shares = [column for column in answer.columns if column.startswith("p(")]
        return answer[["id", *shares]].rename(columns={column: column[2:-1] for column in shares})


def _answer(names: tuple[str, ...], probabilities: np.ndarray, *, several: bool) -> str:
    if not several:
        return names[int(probabilities.argmax())]
    return " ".join(name for name, each in zip(names, probabilities, strict=True) if each > 0.5)


def _probabilities(learner: Learner, pictures: list[Picture], where: str) -> np.ndarray:
    """Return the class probabilities (N, K) of pictures; all that cannot be read are listed in one error."""
    data: Any = learner.data
    height, width = data.image_size
    split: Images = data.train
    found, problems = [], []
    for start in range(0, len(pictures), CHUNK):
        pixels = []
        for picture in pictures[start : start + CHUNK]:
            try:
                size = height if height == width else None
                each = decode(picture.read(), size, gray=data.channels == 1, fit=data.picture_fit)
                if each.shape[1:] != (height, width):
                    raise DataError(f"{each.shape[2]} × {each.shape[1]} pixels, in training {width} × {height}")
                pixels.append(each)
            except (DataError, OSError) as error:
                problems.append(f"{picture.name}: {error.what if isinstance(error, DataError) else error.strerror}")
        if pixels and not problems:
            output = learner.predict(split.scaled(torch.from_numpy(np.stack(pixels))))
            found.append(data.probabilities(output.float().cpu()).numpy())
    if problems:
        shown = problems[:MAX_TOLD] + ([f"and {len(problems) - MAX_TOLD} more"] if len(problems) > MAX_TOLD else [])
        what = "1 picture" if len(problems) == 1 else f"{len(problems)} pictures"
        raise DataError(f"{what} cannot be read", where=where, hint="\n".join(shown))
    return np.concatenate(found)


def _one_file(path: Path) -> Picture:
    return Picture(path.name, path.read_bytes)


def _order(name: str) -> tuple[str, int, str]:
    path = PurePosixPath(name)
    return (str(path.parent), int(path.stem) if path.stem.isdecimal() else -1, path.stem)

"""Search of images by words, of words by images, and of images by images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from lab_text.indexes import ExactIndex, Index, NmslibIndex, make_index
from torch import Tensor

from lab.errors import LabError, ParameterError, StoreError
from lab_devise.data import DeviseData

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["INDEX", "Found", "picture_vectors", "pictures_of", "search"]

INDEX = "index"
Among = Literal["images", "classes", "words"]


class Found(NamedTuple):
    """Search results.

    Attributes:
        name: a word, or the class of an image.
        similarity: cosine with the query.
        picture: number of the image; None for a word.
    """

    name: str
    similarity: float
    picture: int | None


def search(
    learner: Learner,
    text: str | Sequence[str] = (),
    *,
    image: int | str | Path | Tensor | None = None,
    among: Among | None = None,
    count: int = 9,
) -> list[Found]:
    """Return the nearest images to words, to the mean of words, or to an image.

    The images are those of the validation split, followed by those of held-out classes.

    Args:
        learner: trained on ``devise`` data.
        text: a word, or several to average: ``["sail", "boat"]``.
        image: in place of ``text``, the number of an image, a file, or a scaled image (C, H, W).
        among: ``images``, trained and held-out ``classes``, or all ``words``; None searches images by text, and words
            by an image.
        count: number of results.

    Raises:
        DataError: a word has no vector.
        LabError: neither text nor image is given, or both; or the learner was not trained on ``devise`` data.
    """
    data = _data(learner)
    words = [text] if isinstance(text, str) else list(text)
    if bool(words) == (image is not None):
        raise LabError("give either words or an image", hint="text=['sail', 'boat'], or image='boat.jpg'")
    if count < 1:
        raise ParameterError(f"count must be at least 1, got {count}", where="search")
    query = data.vector_of(words) if words else _picture_vector(learner, data, image)
    among = among or ("images" if words else "words")
    if among == "images":
        index = _picture_index(learner)
        places, near = index.search(query.numpy()[None], min(count, len(index.vectors)))
        named = [data.class_names[number] for number in pictures_of(data)[1][places[0]].tolist()]
        return [Found(*each) for each in zip(named, near[0].tolist(), places[0].tolist(), strict=True)]
    names = data.class_names if among == "classes" else (*data.class_names, *data.words)
    vectors = data.class_vectors if among == "classes" else torch.cat([data.class_vectors, data.word_vectors])
    # Word and class vectors have length 1.
    near = vectors @ query / query.norm()
    order = near.argsort(descending=True, stable=True)[:count].tolist()
    return [Found(names[each], float(near[each]), None) for each in order]


def pictures_of(data: DeviseData) -> tuple[list[tuple[str, int]], Tensor]:
    """Return the images to search, as (split, index), and their classes."""
    splits = _splits(data)
    places = [(name, place) for name, split in splits.items() for place in range(len(split))]
    return places, torch.cat([split.target for split in splits.values()])


def _splits(data: DeviseData) -> dict[str, Any]:
    """Return the examples to search: those never trained on."""
    return {name: split for name in ("valid", "test") if (split := getattr(data, name)) is not None}


def picture_vectors(learner: Learner) -> Tensor:
    """Return the learner's outputs for the images to search (N, D)."""
    data = _data(learner)
    found = []
    with learner.evaluating():
        for split in _splits(data).values():
            for rows in torch.arange(len(split)).split(learner.valid_batch_size):
                found.append(learner.model(split.__getitems__(rows)[0].to(learner.device)).float().cpu())
    return torch.cat(found)


def _picture_index(learner: Learner) -> Index:
    """Return the index saved with the run, or build one."""
    folder = None if learner.folder is None else learner.folder / "artefacts" / INDEX
    if folder is not None and (folder / "vectors.npy").is_file():
        index: Index = NmslibIndex() if (folder / "graph.bin").is_file() else ExactIndex()
        index.load(folder)
        data = _data(learner)
        expected = (len(pictures_of(data)[0]), data.output_size)
        # The images of a dataset can change after the run; the numbers of the index would name wrong images.
        if index.vectors.shape != expected:
            count, width = index.vectors.shape
            raise StoreError(
                f"the index has {count:,} vectors of width {width:,}, but the data has {expected[0]:,} images and "
                f"width {expected[1]:,}",
                where=str(folder),
                hint="it was built from other images or word vectors; remove it to build it again",
            )
        return index
    return make_index(picture_vectors(learner).numpy())


def _picture_vector(learner: Learner, data: DeviseData, image: Any) -> Tensor:
    if isinstance(image, int):
        places, _ = pictures_of(data)
        if not 0 <= image < len(places):
            raise ParameterError(f"there is no image {image}", where="search", hint=f"0 to {len(places) - 1:,}")
        split, place = places[image]
        batch = data.split(split).__getitems__([place])[0]
    elif isinstance(image, Tensor):
        batch = image[None]
    else:
        prepare = getattr(data.images, "prepared", None)
        if prepare is None:
            raise LabError(
                "a dataset of features cannot be searched by image files", hint="give the number of an image"
            )
        if not Path(image).is_file():
            raise LabError("image file not found", where=str(image))
        batch = prepare([image])
    output: Tensor = learner.predict(batch)[0].float().cpu()
    # A diverged network returns NaN or zeros.
    norm = output.norm()
    if not torch.isfinite(norm) or not bool(norm):
        raise LabError("the model's output for this image is zero or not finite", where="search")
    return torch.from_numpy(np.asarray(output / norm))


def _data(learner: Learner) -> DeviseData:
    if not isinstance(learner.data, DeviseData):
        raise LabError("this learner was not trained on devise data", where=type(learner.data).__name__)
    return learner.data

"""Images with word vectors as targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import attrs
import numpy as np
import torch
from lab_basics.notes import log_notes
from lab_text.indexes import unit
from lab_text.vectors import FastTextTrained, WordVectors
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError, did_you_mean
from lab_devise.words import embedded_sentences, lookup, wordnet

__all__ = ["DeviseData", "devise"]

WITHOUT = Literal["leave_out", "definition", "error"]
SEARCHED = Literal["embedded", "wordnet", "classes"]
CENTER = Literal["words", "classes"]


@attrs.define(eq=False, kw_only=True)
class DeviseData(Data):
    """Images and word vectors.

    Batches are (images, class ids); models output a vector per image. ``test`` has the validation images of held-out
    classes.

    Attributes:
        output_size: width of the word vectors.
        class_vectors: (K, output_size) unit vectors of the classes, trained classes first.
        class_names: names of all classes.
        trained_count: number of trained classes.
        class_distances: (K, K) steps between classes in WordNet; None unless ``searched="wordnet"``.
        words: words to search, in addition to the classes.
        word_vectors: (W, output_size) their unit vectors.
        center: (output_size,) mean subtracted from every vector, or None.
        left_out: classes without a vector; their images are not used.
        channels, image_size, input_size, feature_size: of the images, or of their features.
        images: the wrapped image dataset.
        vectors: source of the vectors of other words.
        notes: notes and warnings: how many classes have a vector, and what looks odd.
    """

    output_size: int
    class_vectors: Tensor
    class_names: tuple[str, ...]
    trained_count: int
    class_distances: Tensor | None
    words: tuple[str, ...]
    word_vectors: Tensor
    center: Tensor | None
    left_out: tuple[str, ...]
    channels: int
    image_size: tuple[int, int]
    input_size: int
    feature_size: int
    images: Data
    vectors: WordVectors
    notes: tuple[str, ...] = ()

    def split_facts(self, split: Any) -> dict[str, Any]:
        """Return ``targets``, the class number of each picture."""
        return {"targets": split.target}

    def vector_of(self, words: Sequence[str]) -> Tensor:
        """Return the unit vector of the mean of words.

        Raises:
            DataError: a word has no vector.
        """
        # Class vectors win over words of the same name: they may come from a definition.
        known = dict(zip((*self.words, *self.class_names), (*self.word_vectors, *self.class_vectors), strict=True))
        found = {word: known[word.lower()].numpy() for word in words if word.lower() in known}
        # Words beyond the vocabulary are looked up in the file, and centered like the rest.
        further = lookup(self.vectors, [word for word in words if word not in found])
        found |= further if self.center is None else {w: _around(self.center.numpy(), v, w) for w, v in further.items()}
        missing = [word for word in words if word not in found]
        if missing:
            hint = did_you_mean(missing[0].lower(), list(known)) or f"{len(known):,} words are known"
            raise DataError(f"'{missing[0]}' has no vector", where=self.vectors.origin, hint=hint)
        return torch.from_numpy(unit(np.mean([found[word] for word in words], 0)))

    def pixels(self, index: int, split: str = "valid") -> Tensor:
        """Return the image of an example (C, H, W), in [0, 1]."""
        return self.split(split).pixels(index)


class _Split:
    """Subset of the examples of a split, with other class ids."""

    def __init__(self, inner: Any, pictures: Any, rows: np.ndarray, target: np.ndarray) -> None:
        self.inner, self.pictures = inner, pictures
        self.rows, self.target = torch.from_numpy(rows), torch.from_numpy(target)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices)
        return self.inner.__getitems__(self.rows[chosen])[0], self.target[chosen]

    def pixels(self, index: int) -> Tensor:
        pixels: Tensor = self.pictures.pixels[self.rows[index]]
        return pixels.float() / 255


def devise(
    images: Data,
    vectors: WordVectors | None = None,
    *,
    held_out: Sequence[str] | int = (),
    without_vector: WITHOUT = "leave_out",
    searched: SEARCHED = "embedded",
    center: CENTER | None = "words",
) -> DeviseData:
    """Images with word vectors as targets: Frome et al. 2013, "DeViSE".

    Args:
        images: an image dataset with class names, or a dataset of ``features`` of images.
        vectors: word vectors; None trains fastText on the embedded English text.
        held_out: classes left out of training, by name; their validation images are the test split. A number N holds
            out the last N classes that have a vector, as long as two are left.
        without_vector: treatment of classes whose name has no vector: ``leave_out`` skips their images, ``definition``
            uses the mean vector of their WordNet definition, ``error`` raises. The first two are reported.
        searched: words to search in addition to the classes: those of the ``embedded`` text, the nouns of ``wordnet``
            in the data directory, or only the ``classes``.
        center: mean subtracted from every vector before it is normalized again: of all ``words``, or of the trained
            ``classes``, which moves these farther apart; held-out classes do not enter it. What all vectors share does
            not tell them apart (Mu & Viswanath 2018, "All-but-the-top", arXiv:1702.01417; this is their first step,
            without the principal directions). None subtracts nothing, as Frome et al.

    Raises:
        DataError: fewer than two classes are left to train.
        ParameterError: the images have no class names; a held-out class does not exist, or their number is negative.
        DataError: class ids do not match the class names, or a split has no images left.
    """
    vectors = FastTextTrained(width=50) if vectors is None else vectors
    names = _names_of(images)
    # A single name is not a sequence of letters.
    held_out = [held_out] if isinstance(held_out, str) else held_out
    _check_held_out(held_out, names)
    _check_targets(images, names)
    held_out = held_out if isinstance(held_out, int) else list(dict.fromkeys(held_out))
    found = lookup(vectors, names)
    remarks = [*_on_twins(found)]
    found, told = _completed(found, names, vectors, without_vector)
    remarks += told
    if isinstance(held_out, int):
        # At least two classes are left to train; the last ones are held out.
        held_out = [name for name in names if name in found][2:][::-1][:held_out]
    left_out = tuple(name for name in names if name not in found)
    trained = [name for name in names if name in found and name not in held_out]
    if len(trained) < 2:
        raise DataError(
            f"{len(trained)} classes have a vector and are trained, at least 2 needed",
            where=f"{_WHERE}, without a vector: {len(left_out)} of {len(names)}: {_shown(left_out) or 'none'}",
            hint="other vectors, or without_vector='definition'",
        )
    # Trained classes first: losses and metrics slice by ``trained_count``.
    order = [*trained, *(name for name in held_out if name in found)]
    words = _searched(searched, vectors, order)
    mean = _center(center, words, [found[name] for name in trained])
    # Centered before the vectors are stacked, so that classes and words move alike.
    if mean is not None:
        found, words = ({name: _around(mean, vector, name) for name, vector in each.items()} for each in (found, words))
    class_vectors = torch.from_numpy(np.stack([found[name] for name in order]))
    # The test split of the images stays untouched; zero-shot is tested on validation images of held-out classes.
    splits = {name: _splits(images, name, names, order, len(trained)) for name in ("train", "valid")}
    for name, (one, _) in splits.items():
        # An empty split would fail much later, in the loader.
        if not len(one):
            raise DataError(
                f"the split '{name}' has no images of trained classes",
                where=f"{_WHERE}, trained: {_shown(trained)}",
                hint="hold out other classes, or split the images differently",
            )
    notes = [
        f"{len(order)} of {len(names)} classes have a vector; trained: {len(trained)}, held out: "
        f"{len(order) - len(trained)}; {len(words):,} other words are searched",
        f"train: {len(splits['train'][0]):,} images, valid: {len(splits['valid'][0]):,}, "
        f"of held-out classes: {len(splits['valid'][1]):,}",
    ]
    log_notes(_WHERE, notes, remarks)
    return DeviseData(
        train=splits["train"][0],
        valid=splits["valid"][0],
        test=splits["valid"][1] if len(splits["valid"][1]) else None,
        collate=_as_it_is,
        fingerprint=_fingerprint(images, order, len(trained), class_vectors, words),
        output_size=class_vectors.shape[1],
        class_vectors=class_vectors,
        class_names=tuple(order),
        trained_count=len(trained),
        class_distances=_distances(order) if searched == "wordnet" else None,
        words=tuple(words),
        word_vectors=torch.from_numpy(np.stack(list(words.values())))
        if words
        else torch.zeros(0, class_vectors.shape[1]),
        center=None if mean is None else torch.from_numpy(mean),
        left_out=left_out,
        channels=images.facts().get("channels", 0),
        image_size=images.facts().get("image_size", (0, 0)),
        input_size=images.facts().get("input_size", 0),
        feature_size=images.facts().get("feature_size", 0),
        images=images,
        vectors=vectors,
        notes=(*notes, *remarks),
    )


_WHERE = "dataset 'devise'"
MAX_SHOWN = 20


def _shown(names: Sequence[str]) -> str:
    """Return names for a message, at most the first few."""
    rest = f" and {len(names) - MAX_SHOWN:,} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + rest


def _check_targets(images: Data, names: Sequence[str]) -> None:
    """Raise unless the class numbers of both splits are those of the names."""
    twice = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if twice:
        raise DataError(f"two classes are called '{twice[0]}'", where=_WHERE, hint="give each a unique name")
    for split in ("train", "valid"):
        target = getattr(images.split(split), "target", None)
        if not isinstance(target, Tensor) or target.dtype != torch.long or target.ndim != 1:
            kind = f"{target.dtype}, {tuple(target.shape)}" if isinstance(target, Tensor) else type(target).__name__
            raise DataError(
                f"the split '{split}' of the images has no class numbers (N,) as its target", where=f"{_WHERE}: {kind}"
            )
        wrong = target[(target < 0) | (target >= len(names))]
        if len(wrong):
            raise DataError(
                f"class number {int(wrong[0])} of the split '{split}' has no name: there are {len(names)} names",
                where=_WHERE,
                hint="give the images a name for each class",
            )


def _on_twins(found: dict[str, np.ndarray]) -> Iterator[str]:
    """Yield groups of classes with the same vector."""
    alike: dict[bytes, list[str]] = {}
    for name, vector in found.items():
        alike.setdefault(vector.tobytes(), []).append(name)
    groups = [names for names in alike.values() if len(names) > 1]
    if groups:
        yield f"{sum(map(len, groups))} classes share a vector with others: {' = '.join(groups[0][:5])}"


def _names_of(images: Data) -> list[str]:
    facts = images.facts()
    if "class_names" not in facts:
        raise ParameterError(
            "the images have no class names, so there are no words for them",
            where=_WHERE,
            hint="use an image dataset, such as digits or cifar10",
        )
    return list(facts["class_names"])


def _check_held_out(held_out: Sequence[str] | int, names: Sequence[str]) -> None:
    if isinstance(held_out, int):
        if held_out < 0:
            raise ParameterError(f"{held_out} classes cannot be held out", where=_WHERE)
        return
    unknown = [name for name in held_out if name not in names]
    if not unknown:
        return
    raise ParameterError.among("class", unknown[0], names, where=_WHERE, hint=f"classes: {_shown(names)}")


def _completed(
    found: dict[str, np.ndarray], names: Sequence[str], vectors: WordVectors, without: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the vectors of the classes, and warnings about those without."""
    missing = [name for name in names if name not in found]
    if not missing:
        return found, []
    told = f"{len(missing)} of {len(names)} classes have no word vector: {_shown(missing)}"
    if without == "error":
        raise DataError(told, where=vectors.origin, hint="without_vector='leave_out' or 'definition'")
    if without == "leave_out":
        return found, [f"{told}; their images are left out"]
    defined = {name: vector for name in missing if (vector := _by_definition(name, vectors)) is not None}
    return found | defined, [f"{told}; {len(defined)} use their WordNet definition"]


def _by_definition(name: str, vectors: WordVectors) -> np.ndarray | None:
    """Return the mean vector of the WordNet definitions of a noun and its hypernyms, each level at half weight."""
    # Words such as "of" would pull every definition towards the same vector.
    from spacy.lang.en.stop_words import STOP_WORDS

    net = wordnet()
    sense, weight, total = net.sense(name), 1.0, np.zeros(1, np.float32)
    # Hypernyms explain rare nouns, but less and less: weights 1, 1/2, 1/4, 1/8.
    while sense is not None and weight > 0.1:
        words = [each for each in _words(net.definitions[sense]) if each not in STOP_WORDS]
        for vector in lookup(vectors, words).values():
            total = total + weight * vector
        sense, weight = next(iter(net.hypernyms[sense]), None), weight / 2
    return unit(total) if np.any(total) and len(total) > 1 else None


def _words(text: str) -> list[str]:
    import re

    return re.findall(r"[a-z]+", text.lower())


def _searched(searched: str, vectors: WordVectors, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the words to search, without the classes."""
    if searched == "classes":
        return {}
    if searched == "wordnet":
        names = [name for name in wordnet().senses if name not in classes]
    else:
        # Sorted, so that the order does not depend on the hash seed.
        seen = {word for sentence in embedded_sentences() for word in sentence if word.isalpha()}
        names = sorted(seen - set(classes))
    return lookup(vectors, names)


def _center(center: str | None, words: dict[str, np.ndarray], trained: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the mean (D,) to subtract from every vector; held-out classes do not enter it."""
    if center is None:
        return None
    mean: np.ndarray = np.mean([*(words.values() if center == "words" else ()), *trained], 0)
    return mean


def _around(mean: np.ndarray, vector: np.ndarray, name: str) -> np.ndarray:
    """Return the unit vector from the mean to a vector."""
    moved = vector - mean
    # A zero vector has no direction to normalize.
    if np.linalg.norm(moved) < 1e-6:
        raise DataError(f"'{name}' equals the mean, so it has no direction", where=_WHERE, hint="center=None")
    return unit(moved)


def _distances(names: Sequence[str]) -> Tensor:
    net = wordnet()
    senses = [net.sense(name) for name in names]
    missing = [name for name, sense in zip(names, senses, strict=True) if sense is None]
    if missing:
        raise DataError(f"WordNet has no noun '{missing[0]}'", where=_WHERE, hint="searched='embedded'")
    return torch.from_numpy(net.distances([sense for sense in senses if sense is not None]))


def _splits(images: Data, name: str, names: Sequence[str], order: Sequence[str], trained: int) -> tuple[_Split, _Split]:
    """Return the examples of trained and of held-out classes."""
    inner: Any = images.split(name)
    # A dataset of features keeps the images for display.
    pictures: Any = getattr(images.facts().get("images"), name, inner)
    numbers = np.array([order.index(each) if each in order else -1 for each in names])
    target = numbers[inner.target.numpy()]
    chosen = [np.flatnonzero((target >= 0) & (target < trained)), np.flatnonzero(target >= trained)]
    one, other = (_Split(inner, pictures, rows, target[rows]) for rows in chosen)
    return one, other


def _fingerprint(images: Data, order: Sequence[str], trained: int, class_vectors: Tensor, words: Sequence[str]) -> str:
    # A run's key depends on this hash: whatever changes a batch or the search must change it.
    digest = hashlib.sha256(repr((images.fingerprint, tuple(order), trained, tuple(words))).encode())
    digest.update(class_vectors.numpy().tobytes())
    return digest.hexdigest()


def _as_it_is(batch: Any) -> Any:
    return batch

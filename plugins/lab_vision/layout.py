"""Splits and classes of a folder of pictures, from the names of folders; ambiguous layouts are errors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import attrs

from lab.errors import DataError, ParameterError

__all__ = ["ClassesFrom", "Layout", "Splits", "lay_out", "split_named"]

ClassesFrom = Literal["folder", "outermost", "innermost", "name"]
Splits = Literal["random"] | Mapping[str, str] | None
Parts = tuple[str, ...]

NAMES = {
    "train": ("train", "training", "trn"),
    "valid": ("val", "valid", "validation", "validate", "dev", "devel", "development"),
    "test": ("test", "testing", "tst"),
}
_SPLIT_OF = {name: split for split, names in NAMES.items() for name in names}
_FILLERS = frozenset({"set", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "split", "the"})
_LIKE_SPLITS = frozenset({*_SPLIT_OF, "eval", "evaluation", "holdout", "heldout", "unlabeled", "unlabelled"})
_SPLITS_HINT = "name the folders: splits={'train': '…', 'valid': '…'}\nor, if all folders are classes: splits='random'"


@attrs.frozen
class Layout:
    """The split and the class of each picture.

    Attributes:
        splits: per picture ``train``, ``valid`` or ``test``; "" if it is to be drawn, None if the picture is not used.
        classes: per picture.
        folders: split → its folder.
        warnings: sentences on choices that may not be what was meant.
    """

    splits: list[str | None]
    classes: list[str]
    folders: dict[str, str]
    warnings: list[str]


def split_named(folder: str) -> str | None:
    """Return the split that a folder is named after, in any case and usual spelling, or None.

    >>> [split_named(name) for name in ("TRAIN", "validation", "test_set", "Training Images", "cat", "train2017")]
    ['train', 'valid', 'test', 'train', None, None]
    """
    # "Training Images" and "test_set" are splits, "train_station" is not: fillers may surround the name, nothing else.
    words = [word for word in re.split(r"[\W_]+", folder.lower()) if word and word not in _FILLERS]
    if len(words) != 1:
        return None
    word = words[0]
    for filler in ("set", "data", "images"):
        if word not in _SPLIT_OF:
            word = word.removesuffix(filler)
    return _SPLIT_OF.get(word)


def lay_out(names: Sequence[str], classes_from: ClassesFrom, splits: Splits, where: str) -> Layout:
    """Find the split and the class of each picture.

    Folders that contain everything are ignored. If all folders at some depth are named after splits, with one for
    training and another, they are the splits. The first folder below is the class; folders inside belong to it.

    Args:
        names: paths of pictures relative to the root.
        classes_from: ``folder``; ``outermost``, the same even if several classes contain folders of one name;
            ``innermost``; or the first part of the picture's ``name``.
        splits: ``random`` treats no folder as a split; a mapping names the folder of each split.
        where: the name of the root in messages.

    Raises:
        DataError: a folder is named after a split but cannot be one, the layout is ambiguous, or a picture has no
            class.
        ParameterError: ``splits`` names folders without pictures, or splits that do not exist.
    """
    paths = [tuple(part for part in name.split("/") if part not in ("", ".")) for name in names]
    # One picture per folder is enough for messages; folders are far fewer than pictures.
    examples = {path[:-1]: name for path, name in zip(reversed(paths), reversed(names), strict=True)}
    reader = _Reader(examples, classes_from, where)
    if isinstance(splits, Mapping):
        placed = reader.by_mapping(splits)
    elif splits == "random":
        placed = reader.without_splits()
    else:
        placed = reader.by_names()
    if classes_from != "name":
        placed = reader.with_classes(placed)
    classes = [path[-1].split(".")[0] if classes_from == "name" else "/".join(placed[path[:-1]][1]) for path in paths]
    taken = [placed[path[:-1]][0] for path in paths]
    if classes_from == "name":
        _refuse_names_without_class(classes, taken, where)
    left_out = taken.count(None)
    if left_out:
        reader.warnings.append(f"pictures outside the folders that splits names, not used: {left_out:,}")
    return Layout(taken, classes, reader.split_folders, reader.warnings)


def _refuse_names_without_class(classes: Sequence[str], taken: Sequence[str | None], where: str) -> None:
    used = [each for each, split in zip(classes, taken, strict=True) if split is not None]
    if len(used) > 2 and len(set(used)) == len(used):
        raise DataError(
            f"each of {len(used):,} pictures would be a class of its own, such as '{used[0]}'",
            where=where,
            hint="classes_from='name' takes the part before the first dot: cat.12.jpg; or: classes_from='folder'",
        )


Placed = dict[Parts, tuple[str | None, Parts]]


class _Reader:
    """Inference of splits and classes from the folders with pictures; ``examples`` has one picture of each."""

    def __init__(self, examples: Mapping[Parts, str], classes_from: ClassesFrom, where: str) -> None:
        self.examples, self.classes_from, self.where = examples, classes_from, where
        self.folders = list(examples)
        # Folders that a class takes.
        self.below = 0 if classes_from == "name" else 1
        self.split_folders: dict[str, str] = {}
        self.warnings: list[str] = []
        shortest = min(len(folder) for folder in self.folders)
        # The last common folder may itself be a class.
        self.root: Parts = _common(self.folders)[: max(0, shortest - self.below)]

    def _inner(self) -> Iterator[tuple[Parts, Parts]]:
        for folder in self.folders:
            yield folder, folder[len(self.root) :]

    def without_splits(self) -> Placed:
        return {folder: ("", inner) for folder, inner in self._inner()}

    def by_mapping(self, splits: Mapping[str, str]) -> Placed:
        unknown = [name for name in splits if name not in NAMES]
        if unknown or "train" not in splits:
            raise ParameterError(
                f"unknown split '{unknown[0]}'" if unknown else "splits names no folder for training",
                where=self.where,
                hint="train, and valid, test or both",
            )
        placed: Placed = dict.fromkeys(self.folders, (None, ()))
        for split, name in splits.items():
            start = tuple(part for part in str(name).split("/") if part not in ("", "."))
            inside = [folder for folder in self.folders if folder[: len(start)] == start]
            if not inside:
                raise ParameterError(
                    f"there are no pictures in '{name}', the folder for '{split}'",
                    where=self.where,
                    hint=f"folders: {_shown(sorted({folder[0] for folder in self.folders if folder}))}",
                )
            for folder in inside:
                if placed[folder][0] is not None:
                    raise ParameterError(f"two splits contain the folder '{'/'.join(folder)}'", where=self.where)
                placed[folder] = (split, folder[len(start) :])
            self.split_folders[split] = "/".join(start)
        if len(splits) == 1:
            return {folder: ("" if split else None, rest) for folder, (split, rest) in placed.items()}
        return self._without_roots(placed)

    def by_names(self) -> Placed:
        shortest = min(len(inner) for _, inner in self._inner())
        for depth in range(shortest):
            named = {inner[depth]: split_named(inner[depth]) for _, inner in self._inner()}
            found = set(named.values())
            if None in found or not ("train" in found and len(found) > 1):
                continue
            for split in sorted(found, key=str):
                twins = [name for name, each in named.items() if each == split]
                if len(twins) > 1:
                    raise DataError(
                        f"both '{twins[0]}' and '{twins[1]}' name the split '{split}'",
                        where=self.where,
                        hint="rename or merge them, or " + _SPLITS_HINT,
                    )
                self.split_folders[str(split)] = twins[0]
            placed: Placed = {
                folder: (named[inner[depth]], inner[:depth] + inner[depth + 1 :]) for folder, inner in self._inner()
            }
            return self._without_roots(placed)
        self._refuse_unused_splits()
        return self.without_splits()

    def _refuse_unused_splits(self) -> None:
        """Raise if a folder looks like a split but cannot be one: a guess would mix training and validation."""
        for name in self.root:
            if split_named(name) in ("valid", "test") and not any(split_named(each) == "train" for each in self.root):
                raise DataError(
                    f"all pictures are in '{name}', which looks like a split, and there are none for training",
                    where=self.where,
                    hint="add the training folder, or use splits='random' to hold out some of these pictures",
                )
        children: dict[Parts, set[str]] = {}
        for _, inner in self._inner():
            for depth in range(len(inner)):
                children.setdefault(inner[:depth], set()).add(inner[depth])
        for parent, beside in children.items():
            like = sorted(name for name in beside if _looks_like_split(name))
            if not like:
                continue
            has_folders = any((*parent, name) in children for name in like)
            exact = [name for name in like if split_named(name)]
            # "train_station" next to "airport" is a class: it contains pictures and no folders of classes.
            if not exact and not has_folders and len(like) < len(beside) and self.classes_from != "name":
                continue
            others = sorted(beside - set(like))
            inside = "/".join([*self.root, *parent])
            raise DataError(
                f"{_shown(like)} {'looks like a split' if len(like) == 1 else 'look like splits'}"
                + (f" in '{inside}'" if inside else "")
                + (f", {_shown(others)} beside {'it' if len(like) == 1 else 'them'} not" if others else "")
                + ": training and validation pictures cannot be told apart",
                where=self.where,
                hint=_SPLITS_HINT,
            )

    def _without_roots(self, placed: Placed) -> Placed:
        """Skip folders that contain a whole split, as in ``train/images/cat``."""
        while True:
            used = [(str(split), rest) for split, rest in placed.values() if split is not None]
            if any(len(rest) <= self.below for _, rest in used):
                return placed
            first: dict[str, set[str]] = {}
            for split, rest in used:
                first.setdefault(split, set()).add(rest[0])
            if any(len(names) > 1 for names in first.values()):
                return placed
            names = {next(iter(names)) for names in first.values()}
            if len(names) > 1 and not all(_looks_like_split(name) for name in names):
                return placed
            placed = {folder: (split, rest if split is None else rest[1:]) for folder, (split, rest) in placed.items()}

    def with_classes(self, placed: Placed) -> Placed:
        """Take the first or the last of the remaining folders as the class."""
        used = {folder: rest for folder, (split, rest) in placed.items() if split is not None}
        for folder, rest in used.items():
            if not rest:
                raise DataError(
                    f"picture '{self.examples[folder]}' is in no folder that could be its class",
                    where=self.where,
                    hint="put each class into a folder, or use classes_from='name'"
                    + (f"\n{_SPLITS_HINT}" if self.split_folders else ""),
                )
        nested = {rest for rest in used.values() if len(rest) > 1}
        if self.classes_from == "innermost":
            return {folder: (split, rest[-1:]) for folder, (split, rest) in placed.items()}
        if nested and self.classes_from == "folder":
            self._tell_nested(nested, set(used.values()))
        return {folder: (split, rest[:1]) for folder, (split, rest) in placed.items()}

    def _tell_nested(self, nested: Iterable[Parts], all_of_them: set[Parts]) -> None:
        inside: dict[str, set[str]] = {}
        for rest in nested:
            inside.setdefault(rest[0], set()).add(rest[-1])
        above: dict[str, set[str]] = {}
        for outer, inner in inside.items():
            for name in inner:
                above.setdefault(name, set()).add(outer)
        tops = {rest[0] for rest in all_of_them}
        shared = sorted(name for name, outers in above.items() if len(outers) > 1)
        split_like = sorted({part for rest in nested for part in rest if split_named(part)})
        if split_like:
            raise DataError(
                f"the folder '{split_like[0]}' looks like a split inside another one",
                where=self.where,
                hint="name the folders: splits={'train': '…', 'valid': '…'}\nor, if it is a class: "
                "classes_from='outermost'",
            )
        names = sorted({name for inner in inside.values() for name in inner})
        # A single name could not tell classes apart.
        if shared and len(names) > 1:
            raise DataError(
                f"several of {_shown(sorted(tops))} contain folders {_shown(shared)}: either could be the classes",
                where=self.where,
                hint=f"classes_from='innermost': {_shown(names)}\nclasses_from='outermost': {_shown(sorted(tops))}",
            )
        outer = min(inside)
        self.warnings.append(
            f"folders inside a class belong to it: {_shown(sorted(inside[outer]))} to '{outer}'"
            + (f", and in {len(inside) - 1} more classes" if len(inside) > 1 else "")
            + "; if they are classes themselves: classes_from='innermost'"
        )


def _common(folders: Sequence[Parts]) -> Parts:
    """Return the folders that all paths start with."""
    # The first and the last in order differ the most, so what they share is shared by all.
    low, high = min(folders), max(folders)
    count = next((n for n, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
    return low[:count]


def _looks_like_split(name: str) -> bool:
    """Return True if a word of the name is that of a split, as in ``seg_train``, ``test1``, ``val2017``."""
    words = re.split(r"[\W_\d]+", name.lower())
    return split_named(name) is not None or any(word in _LIKE_SPLITS for word in words)


def _shown(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")

"""Identity of data: a fingerprint of its examples if it has none, and a check that no run has changed shared data.

Runs of one process share the data that was built for them. A collate that pads in place, or a callback that writes into
``learner.data``, would change the next run's numbers; such data is built anew.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import numpy as np
import torch

from lab.cache import tree_digest
from lab.errors import DataError
from lab.registry.definition import state_digest
from lab.registry.places import STUDY
from lab.training.data import Data

__all__ = ["fingerprint_of_examples", "hash_of_some", "hash_of_values", "is_pristine", "pristine", "protect"]

SPLITS = ("train", "valid", "test")
SOME_EXAMPLES = 8
MAX_OBJECTS = 5_000_000
SMALL_FILE = 2**20
"""Files of up to this many bytes count by their content, larger ones by size and time of change."""

WATCHED_BYTES = 2**25
WATCHED_OBJECTS = 10_000
SAMPLED_BYTES = 2**20
"""Bytes of a tensor that are compared, evenly spread; all that is written in the usual way shows in its version."""


def fingerprint_of_examples(data: Data, label: str) -> str:
    """Return a hash of everything that the splits of some data hold, and of the files and folders that they name.

    Args:
        data: of which every split is walked: tensors, arrays, lists, attributes.
        label: the dataset's, for messages.

    Raises:
        DataError: a split holds an object whose content cannot be read, such as an open file or a generator.
    """
    walk = _Hash(label)
    for name in SPLITS:
        walk.add(name)
        walk.add(getattr(data, name))
    # collate and length decide batches but are attributes of no split
    walk.add([state_digest(data.collate), state_digest(data.length)])
    return f"examples {walk.hash.hexdigest()[:32]}"


def hash_of_some(data: Data, label: str) -> str:
    """Return a hash of some examples of each split, as they are fetched and collated.

    A dataset may read files or compute in ``__getitem__``; no attribute shows that.
    """
    walk = _Hash(label)
    for name in SPLITS:
        split = getattr(data, name)
        try:
            size = len(split) if split is not None else 0
            # evenly spread: a file that is read for later examples only would be missed by the first eight
            indices = sorted(
                {round(step * (size - 1) / (SOME_EXAMPLES - 1)) for step in range(SOME_EXAMPLES)} if size else ()
            )
            fetch = getattr(split, "__getitems__", None)
            some = fetch(indices) if fetch else [split[index] for index in indices]
            walk.add(some)
            walk.add(data.collate(some) if some else None)
        except Exception:
            # the rehearsal reports the error in an arm that trains; a finished study must not fail here
            walk.add("cannot be fetched")
    return walk.hash.hexdigest()[:16]


def hash_of_values(value: Any) -> str:
    """Return a hash of all that some values hold; empty if a part of them does not show what it holds."""
    walk = _Hash("")
    try:
        walk.add(value)
    except DataError:
        return ""
    return walk.hash.hexdigest()


class _Hash:
    """A hash that is fed with values, each once."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.hash = hashlib.sha256()
        self._met: dict[int, int] = {}
        self._alive: list[Any] = []

    def add(self, value: Any) -> None:
        """Feed a value and all that it holds."""
        if value is None or isinstance(value, (bool, int, float, complex, bytes)):
            self._feed(type(value).__name__, repr(value))
        elif isinstance(value, (str, Path)):
            self._text(value)
        elif isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and not value.dtype.hasobject):
            self._array(value)
        # shared and cyclic objects are written as a reference to their number in the walk
        elif id(value) in self._met:
            self._feed("as", str(self._met[id(value)]))
        else:
            self._met[id(value)] = len(self._met)
            # ids are compared, so the objects must live: a freed one's id may be given to another
            self._alive.append(value)
            if len(self._met) > MAX_OBJECTS:
                raise self._refused("it holds millions of objects")
            self._whole(value)

    def _whole(self, value: Any) -> None:
        kind = type(value)
        # a study's module name contains a hash of its file, and an edit elsewhere must not change the data's key
        module = "study" if kind.__module__.startswith((STUDY, "__main__")) else kind.__module__
        self._feed("of", f"{module}:{kind.__qualname__}")
        if isinstance(value, Mapping):
            # by key: the order of insertion is not content
            items = sorted(value.items(), key=lambda item: str(item[0]))
            self._each(itertools.chain.from_iterable(items), len(items))
        elif isinstance(value, (set, frozenset)):
            self._each(iter(sorted(value, key=repr)), len(value))
        elif isinstance(value, (list, tuple, np.ndarray)):
            self._each(iter(value), len(value))
        elif isinstance(value, (range, slice, torch.dtype, torch.device, np.generic)):
            self._feed("is", repr(value))
        elif isinstance(value, (type, types.FunctionType, types.MethodType, types.BuiltinFunctionType)):
            self._feed("definition", getattr(value, "__qualname__", "") + _state(value))
        elif isinstance(value, torch.Generator):
            self._array(value.get_state())
        elif isinstance(value, np.random.Generator):
            self.add(value.bit_generator.state)
        elif hasattr(value, "to_numpy") and hasattr(value, "columns"):
            # a pandas DataFrame, by duck typing: pandas need not be installed
            self.add(list(map(str, value.columns)))
            self._each((value[name].to_numpy() for name in value.columns), len(value.columns))
        elif hasattr(value, "to_numpy") and hasattr(value, "index"):
            # a pandas Series or Index
            self.add(value.to_numpy())
        else:
            self._object(value)

    def _object(self, value: Any) -> None:
        # reading an open file or a generator would consume it
        if hasattr(value, "read") or hasattr(value, "__next__"):
            raise self._refused(f"{type(value).__name__} objects do not show what they hold")
        slots = [str(name) for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        held = {name: getattr(value, name) for name in slots if name != "__weakref__" and hasattr(value, name)}
        held |= getattr(value, "__dict__", {})
        if held:
            self.add(held)
        elif hasattr(value, "__len__") and hasattr(value, "__getitem__"):
            self._each((value[index] for index in range(len(value))), len(value))
        elif type(value).__init__ is object.__init__:
            self._feed("is", type(value).__qualname__)
        else:
            # an extension type with an __init__ keeps its arguments where Python cannot read them
            raise self._refused(f"{type(value).__name__} objects do not show what they hold")

    def _each(self, items: Iterator[Any], count: int) -> None:
        self._feed("count", str(count))
        for item in items:
            self.add(item)

    def _array(self, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            if value.layout != torch.strided:
                self._feed("layout", str(value.layout))
                # equal sparse tensors may hold their entries in another order
                value = value.to_dense()
            value = value.contiguous()
            self._feed(str(value.dtype), repr(tuple(value.shape)))
            self.hash.update(value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b"")
            return
        self._feed(str(value.dtype), repr(value.shape))
        self.hash.update(np.ascontiguousarray(value).tobytes())

    def _text(self, value: str | Path) -> None:
        text = str(value)
        self._feed("text", text)
        # 4096 is Linux's PATH_MAX; most texts of a corpus are excluded here, before a system call each
        is_path = len(text) < 4096 and (os.sep in text or "." in text) and "\0" not in text and "\n" not in text
        if not is_path:
            return
        try:
            state = os.stat(text)
        except OSError:
            return
        # a text such as "." in a corpus must not hash the working folder
        if os.path.isdir(text) and (isinstance(value, Path) or text.strip("./") != ""):
            self._feed("folder", tree_digest(Path(text)))
        elif os.path.isfile(text) and state.st_size <= SMALL_FILE:
            self.hash.update(Path(text).read_bytes())
        elif os.path.isfile(text):
            # hashing gigabytes of images at each start would cost minutes; size and time change with every usual edit
            self._feed("file", f"{state.st_size} {state.st_mtime_ns}")

    def _feed(self, kind: str, text: str) -> None:
        # with its length, so that no two sequences of values give the same bytes; texts may hold lone surrogates
        self.hash.update(f"{kind}\0{len(text)}\0{text}\0".encode("utf-8", "surrogatepass"))

    def _refused(self, why: str) -> DataError:
        return DataError(
            f"{self.label} has no fingerprint, and its examples cannot be hashed: {why}",
            where="without one, a run of other data would be found under the same key",
            hint="give one: Data(..., fingerprint=...), a hash of the content",
        )


def _state(value: Any) -> str:
    try:
        return state_digest(value)
    except TypeError:
        return ""


# --- data that runs share ---------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class _Shared:
    """Data that runs share, as it stood when it was built, and how to build it again."""

    data: Data
    state: dict[str, Any] | None
    build: Callable[[], Data]


_shared: WeakKeyDictionary[Data, _Shared] = WeakKeyDictionary()


def protect(data: Data, build: Callable[[], Data]) -> Data:
    """Register data that runs share, so that ``pristine`` can rebuild it once a run has changed it."""
    _shared[data] = _Shared(data, None, build)
    return data


def pristine(data: Data) -> Data:
    """Return the data as it was built: the same object, or a rebuilt one if a run has written into it."""
    shared = _shared.get(data)
    if shared is None:
        return data
    standing = _standing(shared.data)
    if shared.state is not None and not _same(standing, shared.state):
        shared.data = shared.build()
        standing = _standing(shared.data)
    shared.state = standing
    return shared.data


def is_pristine(data: Data) -> bool:
    """Return whether nothing has written into shared data since a run began with it."""
    shared = next((each for each in _shared.values() if each.data is data), None)
    return shared is None or shared.state is None or _same(_standing(data), shared.state)


def _standing(data: Data) -> dict[str, Any]:
    """Return cheap marks of everything that data holds: versions of tensors, hashes of arrays, identities of the rest.

    Arrays of more than ``WATCHED_BYTES`` are sampled; only the first ``WATCHED_OBJECTS`` objects are visited.
    """
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [(name, getattr(data, name, None)) for name in _fields(data)]
    met: set[int] = set()
    while waiting and len(met) < WATCHED_OBJECTS:
        path, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            # autograd's version counter rises with every in-place write and costs nothing to read; inference tensors
            # have none
            found[path] = (id(value), 0 if value.is_inference() else value._version, _sample_of_tensor(value))
        elif isinstance(value, np.ndarray):
            found[path] = (id(value), _sample(value))
        elif isinstance(value, (str, bytes, int, float, bool, type(None), types.ModuleType, type)):
            found[path] = value
        elif id(value) not in met:
            met.add(id(value))
            waiting += [(f"{path}.{name}", inner) for name, inner in _inside(value)]
            if isinstance(value, list):
                found[path] = tuple(map(id, value))
    return found


def _fields(data: Data) -> list[str]:
    own = [field.name for field in attrs.fields(type(data))] if attrs.has(type(data)) else []
    return [*own, *(name for name in getattr(data, "__dict__", {}) if name not in own)]


def _inside(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(name), item) for name, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(str(index), item) for index, item in enumerate(value)]
    return [(name, item) for name, item in getattr(value, "__dict__", {}).items()]


def _same(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    """Return whether nothing that was there has changed; additions, such as to a cache, do not count."""
    return all(name in now and now[name] == mark for name, mark in then.items())


def _sample_of_tensor(tensor: torch.Tensor) -> str:
    # what is written through .data or NumPy leaves the version as it is
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or not tensor.numel():
        return ""
    flat = tensor.detach().reshape(-1) if tensor.is_contiguous() else tensor.detach()[:1].reshape(-1)
    step = max(1, flat.numel() * flat.element_size() // SAMPLED_BYTES)
    return hashlib.blake2b(flat[::step].contiguous().view(torch.uint8).numpy().tobytes(), digest_size=16).hexdigest()


def _sample(array: np.ndarray) -> str:
    if array.dtype == object:
        return str(len(array))
    flat = array.reshape(-1)
    # NumPy has no version counter; hashing at most WATCHED_BYTES keeps the check short for arrays of any size
    step = max(1, array.nbytes // WATCHED_BYTES)
    return hashlib.blake2b(np.ascontiguousarray(flat[::step]).tobytes(), digest_size=16).hexdigest()

"""Data: splits, collate, samplers and loaders.

``Data`` holds map-style datasets. What a model needs from them (vocabulary sizes, number of classes …) are typed
attributes of a subclass: the data's *facts*, which fill a component's parameters of the same name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from lab.errors import DataError, ParameterError
from lab.training.rng import Streams

__all__ = [
    "Data",
    "Sampler",
    "SamplerFactory",
    "SequentialSampler",
    "ShuffleSampler",
    "call_with",
    "fact_types",
    "to_device",
]

Batch = Any
BatchT = TypeVar("BatchT")


@runtime_checkable
class Sampler(Protocol):
    """Batches of indices for one epoch: iterable, with the number of batches as its length."""

    def __iter__(self) -> Iterator[Sequence[int]]: ...

    def __len__(self) -> int: ...


SamplerFactory = Callable[..., Sampler]


def _no_lengths(split: Any) -> None:
    return None


@attrs.define(eq=False)
class Data:
    """Splits of a dataset and how to batch them.

    Attributes:
        train, valid, test: map-style datasets (``len(split)``, ``split[i]``); ``test`` may be absent. A dataset with
            ``__getitems__(indices)`` loads a whole batch at once.
        collate: makes one batch of a list of examples. A batch is any nesting of tuples, named tuples, lists and
            dictionaries; by convention ``*inputs, target = batch``.
        length: the sort key of every example of a split (for example its number of tokens), or None where examples
            have no length.
        fingerprint: a hash of the content, part of the key of a run; without one, the examples are hashed.
        notes: remarks for readers of the plan and the report, a sentence each: inferred types, skipped examples. A note
            that the dataset also logs as a warning (logger ``lab``) stands below the results, too.
    """

    train: Any
    valid: Any
    test: Any = None
    collate: Callable[[Any], Batch] = default_collate
    length: Callable[[Any], Sequence[int] | None] = _no_lengths
    fingerprint: str = ""
    notes: Sequence[str] = attrs.field(default=(), kw_only=True)

    def split(self, name: str) -> Any:
        """Return the split called ``name``.

        Raises:
            DataError: there is none, it is not map-style, or it is empty.
        """
        split = getattr(self, name, None)
        if split is None:
            raise DataError(f"this data has no {name} split", where=type(self).__name__)
        is_indexed = hasattr(split, "__getitem__") or hasattr(split, "__getitems__")
        if not hasattr(split, "__len__") or not is_indexed or isinstance(split, IterableDataset):
            raise DataError(
                f"the {name} split is a {type(split).__name__}, which has no length or cannot be indexed",
                where=type(self).__name__,
                hint="a split is map-style: len(split) and split[i]; read a stream into a list or a tensor first",
            )
        if len(split) == 0:
            raise DataError(f"the {name} split is empty", where=type(self).__name__, hint="give it more examples")
        return split

    def facts(self) -> dict[str, Any]:
        """Return the facts by name: this object as ``data`` and every attribute of a subclass."""
        return {"data": self, **{name: getattr(self, name) for name in fact_types(type(self)) if hasattr(self, name)}}

    def sampler_facts(self, split: Any, batch_size: int, generator: torch.Generator) -> dict[str, Any]:
        """Return the facts for a sampler: those of the data, of its split, and ``size, batch_size, generator``.

        Of the split are ``lengths`` where examples have one, and what ``split_facts`` gives.
        """
        # copies: a sampler that writes into the targets would train on others
        facts = {**self.facts(), **{name: _copied(value) for name, value in self.split_facts(split).items()}}
        facts |= {"size": len(split), "batch_size": batch_size, "generator": generator}
        lengths = self.length(split)
        return facts if lengths is None else {**facts, "lengths": np.array(lengths)}

    def split_facts(self, split: Any) -> dict[str, Any]:
        """Return what a sampler may ask about the examples of a split, each with one entry per example.

        By default the attributes ``targets``, ``groups`` and ``weights`` of the split that it has, and as ``targets``
        the last tensor of a ``TensorDataset``. Override it for splits that keep them elsewhere.
        """
        found = {name: getattr(split, name) for name in ("targets", "groups", "weights") if hasattr(split, name)}
        if isinstance(split, TensorDataset):
            found.setdefault("targets", split.tensors[-1])
        return found

    def predict(self, apply: Callable[..., Any], *inputs: Any) -> Any:
        """Return the answer of ``learner.predict(*inputs)``; ``apply`` is the model, in evaluation mode.

        Override it to predict from something else than a batch, such as a table or a text.
        """
        return apply(*inputs)

    def loader(
        self,
        split: Any,
        sampler: Iterable[Sequence[int]],
        *,
        workers: int = 0,
        pin: bool = False,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Return the batches of ``split`` in the sampler's order.

        Args:
            split: the examples.
            sampler: batches of indices.
            workers: processes that collate; 0 means in this process.
            pin: put batches into pinned memory.
            generator: source of the seeds of worker processes, drawn anew for each pass.
        """
        is_plain = type(split) is TensorDataset and self.collate is default_collate
        if is_plain and not workers and not pin and all(map(_can_be_selected, split.tensors)):
            return TensorBatches(split, sampler)
        return DataLoader(
            split,
            batch_sampler=sampler,  # type: ignore[arg-type]
            collate_fn=self.collate,
            num_workers=workers,
            pin_memory=pin,
            generator=torch.Generator().manual_seed(0) if generator is None else generator,
        )


class TensorBatches:
    """Batches of a ``TensorDataset`` selected from its tensors: those of a ``DataLoader``, without stacking examples.

    Args:
        split: the dataset.
        sampler: batches of indices.
    """

    def __init__(self, split: TensorDataset, sampler: Iterable[Any]) -> None:
        self.split, self.sampler = split, sampler

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[Tensor]]:
        tensors = self.split.tensors
        for batch in self.sampler:
            # copies, never views: a training step may change its batch in place
            try:
                start, stop = batch[0], batch[-1] + 1
                if start >= 0 and stop <= len(self.split) and batch == list(range(start, stop)):
                    selected = [tensor[start:stop].clone() for tensor in tensors]
                else:
                    # np.array reads a list of integers in a fifth of the time of torch.tensor
                    index = batch if isinstance(batch, Tensor) else torch.from_numpy(np.array(batch))
                    selected = [tensor.index_select(0, index) for tensor in tensors]
            except (IndexError, RuntimeError, TypeError, ValueError):
                # negative, missing or other indices: what TensorDataset does with them, and its errors
                selected = default_collate([self.split[number] for number in batch])
            yield selected


def _can_be_selected(tensor: Tensor) -> bool:
    """Return whether ``index_select`` gives what stacking its elements would give, strides included."""
    return (
        type(tensor) is Tensor and tensor.device.type == "cpu" and tensor.is_contiguous() and not tensor.requires_grad
    )


def fact_types(kind: type) -> dict[str, Any]:
    """Return names and annotations of the facts that a subclass of Data declares, without an instance."""
    own = set(Data.__annotations__)
    found: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        if owner is not Data and issubclass(owner, Data):
            found |= getattr(owner, "__annotations__", {})
            found |= {name: None for name, value in vars(owner).items() if isinstance(value, property)}
    return {name: value for name, value in found.items() if name not in own and not name.startswith("_")}


class SequentialSampler:
    """Sampler of batches in the order of the split, as in validation.

    >>> [list(batch) for batch in SequentialSampler(5, 2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, size: int, batch_size: int) -> None:
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Sequence[int]]:
        for start in range(0, self.size, self.batch_size):
            # a list, since datasets with __getitems__ may index a tensor by it
            yield list(range(start, min(start + self.batch_size, self.size)))


class ShuffleSampler:
    """Sampler of batches in random order, drawn anew each epoch."""

    def __init__(self, size: int, batch_size: int, generator: torch.Generator) -> None:
        self.size, self.batch_size, self.generator = size, batch_size, generator

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Sequence[int]]:
        # lists of numbers: indexing by a tensor of one number is slow
        order = torch.randperm(self.size, generator=self.generator)
        return iter([batch.tolist() for batch in torch.split(order, self.batch_size)])


def _copied(values: Any) -> Any:
    """Return a copy of a tensor, an array or a list; other sequences as they are."""
    if isinstance(values, torch.Tensor):
        return values.clone()
    return values.copy() if isinstance(values, (np.ndarray, list)) else values


class EpochSampler:
    """Sampler of a training run: restarted from (seed, epoch), and able to skip the batches already done.

    Args:
        sampler: decides the order; it draws from the stream ``sampler``.
        streams: the run's random streams.
        rank, ranks: this rank and the world size. Each rank takes every ``ranks``-th example of a batch, so that
            together they see the whole batch; every rank sees all of a batch with fewer examples than ranks.
    """

    def __init__(self, sampler: Sampler, streams: Streams, *, rank: int = 0, ranks: int = 1) -> None:
        self.sampler, self.streams = sampler, streams
        self.rank, self.ranks = rank, ranks
        self.epoch = self.skip = 0
        # made now, so that checkpoints of runs with and without workers hold the same streams
        streams.generator("workers")

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Set the next epoch and its first batch."""
        self.epoch, self.skip = epoch, batch
        self.streams.restart("workers", epoch)  # before the loader draws the seeds of its workers

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Sequence[int]]:
        self.streams.restart("sampler", self.epoch)
        for index, batch in enumerate(self.sampler):
            # skipped batches are drawn all the same, so that the rest of the epoch is what it would have been
            if index >= self.skip:
                yield batch if self.ranks == 1 or len(batch) < self.ranks else batch[self.rank :: self.ranks]


def to_device(batch: BatchT, device: torch.device) -> BatchT:
    """Return the batch with every tensor on ``device``; other values stay as they are."""
    # loaders make batches on the CPU, and walking a nested batch costs microseconds
    if device.type == "cpu":
        return batch
    return _move(batch, device)  # type: ignore[no-any-return]


def _move(value: Any, device: torch.device) -> Any:
    # not tree_map, for which a subclass of dict or list is a leaf
    if isinstance(value, Tensor):
        # overlaps with the step before, from pinned memory
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: _move(item, device) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_move(item, device) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(_move(item, device) for item in value)
    return value


def call_with(factory: Callable[..., Any], facts: Mapping[str, Any], **given: Any) -> Any:
    """Call ``factory`` with ``given`` and, for its parameters without default, the facts of the same name."""
    names = [
        name
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    missing = [f"'{name}'" for name in names if name not in facts and name not in given]
    if missing:
        owner = getattr(factory, "__name__", type(factory).__name__)
        raise ParameterError(
            f"{owner} needs {' and '.join(missing)}, which the data does not offer",
            hint=f"offered: {', '.join(sorted(facts))}",
        )
    return factory(**{name: facts[name] for name in names if name not in given}, **given)

"""Weights and state on disk: safetensors and JSON, without pickle.

A tree of tensors and JSON values becomes two files: the tensors in ``NAME.safetensors``, everything else in
``NAME.json``, where ``{"$tensor": "path"}`` stands for a tensor. The metadata of the tensors holds a digest of both.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import _EXTRA_STATE_KEY_SUFFIX

from lab.errors import LabError, StoreError
from lab.files import atomic_path

__all__ = [
    "UnsavedBuffers",
    "extra_state",
    "full_tensor",
    "join_tensors",
    "load_extra_state",
    "load_weights",
    "read_tree",
    "save_weights",
    "shard_like",
    "split_tensors",
    "write_tree",
]

Tensors = dict[str, Tensor]


# --- sharded tensors --------------------------------------------------------------------------------------------------


def full_tensor(tensor: Tensor) -> Tensor:
    """Gather a tensor of which this rank may hold only a shard; all ranks must call it.

    Args:
        tensor: of any shape; a ``DTensor``, or a plain tensor, which is returned as it is.
    """
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this rank's shard of a full tensor, divided as ``like`` is and on its device.

    Args:
        tensor: full, the same on every rank.
        like: of the same shape; where it is a plain tensor, the full one is returned.
    """
    tensor = tensor.to(like.device)
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # src_data_rank=None: every rank cuts its own copy, without a broadcast
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


# --- trees of tensors and plain values --------------------------------------------------------------------------------


def write_tree(tree: Any, folder: Path, name: str) -> None:
    """Write a tree of tensors and JSON values as ``name.safetensors`` and ``name.json``."""
    plain, tensors = split_tensors(tree)
    text = json.dumps(plain, allow_nan=False)
    save_file(tensors, folder / f"{name}.safetensors", metadata=_metadata(tensors, text))
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def read_tree(folder: Path, name: str) -> Any:
    """Read what ``write_tree`` wrote.

    Raises:
        StoreError: a file is missing, truncated or not what it should be.
    """
    try:
        tensors, metadata = _read_tensors(folder / f"{name}.safetensors")
        path = folder / f"{name}.json"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        _verify(tensors, text, metadata)
        return join_tensors(json.loads(text), tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise StoreError(f"cannot read the checkpoint '{name}'", where=f"{folder}: {error}") from error


def split_tensors(tree: Any, tensors: Tensors | None = None, path: str = "") -> tuple[Any, Tensors]:
    """Split a tree into plain JSON values and its tensors, gathered on the CPU, by their path in the tree.

    Args:
        tree: tensors, numbers, strings, lists, tuples and dictionaries, nested.
        tensors: where to put them.
        path: of this tree in a larger one.

    Raises:
        LabError: the tree holds another type.
    """
    tensors = {} if tensors is None else tensors
    plain: Any = tree
    if isinstance(tree, Tensor):
        # a clone: safetensors refuses views of one storage
        tensors[path] = full_tensor(tree.detach()).cpu().contiguous().clone()
        plain = {"$tensor": path}
    elif isinstance(tree, dict):  # as pairs: keys of an optimizer's state are integers
        plain = {"$items": [[key, split_tensors(item, tensors, f"{path}/{key}")[0]] for key, item in tree.items()]}
    elif isinstance(tree, (list, tuple)):
        items = [split_tensors(item, tensors, f"{path}/{index}")[0] for index, item in enumerate(tree)]
        plain = {"$tuple": items} if isinstance(tree, tuple) else items
    elif isinstance(tree, float) and not math.isfinite(tree):
        plain = {"$float": str(tree)}  # JSON has no such numbers
    elif not (tree is None or isinstance(tree, (bool, int, float, str))):
        raise LabError(
            f"a {type(tree).__name__} cannot be saved in a checkpoint",
            where=path,
            hint="a state_dict holds tensors, numbers, strings, lists and dictionaries",
        )
    return plain, tensors


def join_tensors(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the tree that ``split_tensors`` split."""
    if isinstance(plain, list):
        return [join_tensors(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "$float" in plain:
        return float(plain["$float"])
    if "$tensor" in plain:
        return tensors[plain["$tensor"]]
    if "$tuple" in plain:
        return tuple(join_tensors(plain["$tuple"], tensors))
    return {key: join_tensors(item, tensors) for key, item in plain["$items"]}


# --- files of tensors -------------------------------------------------------------------------------------------------


def tensors_digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """Return a sha256 of tensors on the CPU, of their names, types and shapes, and of a text that belongs to them."""
    found = hashlib.sha256(text.encode())
    # sorted, since a file does not keep the order
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _metadata(tensors: Mapping[str, Tensor], text: str, **more: Any) -> dict[str, str]:
    # one entry, since safetensors writes several in any order, and the same weights must give the same file
    return {"lab": json.dumps({"digest": tensors_digest(tensors, text), **more})}


def _verify(tensors: Mapping[str, Tensor], text: str, metadata: Mapping[str, Any]) -> None:
    """Raise if tensors, or the text that belongs to them, changed since they were written; older files cannot tell.

    Raises:
        ValueError: they changed.
    """
    if "digest" in metadata and metadata["digest"] != tensors_digest(tensors, text):
        raise ValueError("changed since it was written (its digest differs)")


def _read_tensors(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Return the tensors of a file and what ``_metadata`` wrote beside them."""
    from safetensors import safe_open

    if not path.is_file():  # a pipe would block for ever
        raise FileNotFoundError(f"{path.name} is not there")
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        metadata = file.metadata() or {}
    said = json.loads(metadata.get("lab", "{}"))
    # older files name shared tensors in the metadata themselves
    return tensors, {**metadata, **(said if isinstance(said, dict) else {})}


def save_weights(model: nn.Module, path: Path, *, durable: bool = True) -> None:
    """Write a model's state as safetensors; a tensor that is shared under several names is written once.

    With sharded weights all ranks must call it.
    """
    tensors, aliases = gather_weights(model)
    shared = json.dumps(aliases)
    with atomic_path(path, durable=durable) as temporary:
        save_file(tensors, temporary, metadata=_metadata(tensors, shared, shared=shared))


def load_weights(model: nn.Module, path: Path) -> None:
    """Load what ``save_weights`` wrote; a buffer that is empty in a new model, such as trees, takes the saved size.

    Raises:
        StoreError: the file cannot be read, or belongs to another architecture (the names that differ are given).
    """
    tensors, aliases = read_weights(path)
    set_weights(model, tensors, aliases, path)


def read_weights(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read what ``save_weights`` wrote: tensors, and for every further name of one its first name.

    Raises:
        StoreError: the file cannot be read, or changed since it was written.
    """
    try:
        tensors, metadata = _read_tensors(path)
        shared = metadata.get("shared", "{}")
        _verify(tensors, shared, metadata)
        return tensors, json.loads(shared)
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError("cannot read the weights", where=f"{path}: {error}") from error


def gather_weights(model: nn.Module) -> tuple[Tensors, dict[str, str]]:
    """Return a model's full weights on the CPU, and for every further name of a shared one its first name."""
    unique, aliases = unique_weights(model)
    tensors = {name: full_tensor(tensor.detach()).cpu().contiguous() for name, tensor in unique.items()}
    # safetensors refuses tensors that lie in one storage, such as views of a common buffer
    users: dict[int, int] = {}
    for tensor in tensors.values():
        place = tensor.untyped_storage().data_ptr()
        users[place] = users.get(place, 0) + bool(tensor.numel())
    for name, tensor in tensors.items():
        if users[tensor.untyped_storage().data_ptr()] > 1:
            tensors[name] = tensor.clone()
    return tensors, aliases


def unique_weights(model: nn.Module) -> tuple[Tensors, dict[str, str]]:
    """Return every tensor under its first name, and the first name for each of its others."""
    first: dict[int, str] = {}
    # by identity: tied weights are one parameter under several names
    weights = _weights(model)
    aliases = {name: first[id(w)] for name, w in weights.items() if first.setdefault(id(w), name) != name}
    return {name: weight for name, weight in weights.items() if name not in aliases}, aliases


def _weights(model: nn.Module) -> Tensors:
    """Return parameters and buffers by name, without the extra states of modules.

    Raises:
        LabError: a state dict holds anything but tensors.
    """
    extra = _extra_state_names(model)
    weights = {name: value for name, value in model.state_dict(keep_vars=True).items() if name not in extra}
    others = [name for name, value in weights.items() if not isinstance(value, Tensor)]
    if others:
        kinds = ", ".join(f"{name} is a {type(weights[name]).__name__}" for name in others[:3])
        raise LabError(
            f"the state dict of the model holds what cannot be saved as weights: {kinds}",
            where=type(model).__name__,
            hint="keep it in get_extra_state and set_extra_state, or as a tensor",
        )
    return weights


def set_weights(model: nn.Module, tensors: Tensors, aliases: Mapping[str, str], path: Path) -> None:
    """Give a model the weights that were read from ``path``.

    Raises:
        StoreError: they belong to another architecture.
    """
    tensors = _with_current_names(model, tensors | {name: tensors[source] for name, source in aliases.items()})
    weights = _weights(model)
    _check_names({name: tuple(weight.shape) for name, weight in weights.items()}, tensors, path)
    for name, buffer in model.named_buffers():
        # an expanded buffer shares memory between its elements and cannot be written to
        is_expanded = any(step == 0 and size > 1 for step, size in zip(buffer.stride(), buffer.shape, strict=True))
        if name in tensors and (not buffer.numel() or is_expanded):
            buffer.data = torch.zeros_like(tensors[name], dtype=buffer.dtype, device=buffer.device)
    # names anew: a buffer may have got its size just now
    shards = {name: shard_like(tensors[name], weight) for name, weight in _weights(model).items()}
    found = model.load_state_dict(shards, strict=False)  # strict but for extra states, which are no weights
    left = {*found.missing_keys, *found.unexpected_keys} - _extra_state_names(model)
    if left:
        raise StoreError(
            "these weights belong to another architecture", where=str(path), hint=f"not loaded: {_shorten(left)}"
        )


def _with_current_names(model: nn.Module, tensors: Tensors) -> Tensors:
    """Rename tensors of an older file; modules list (former prefix, current prefix) in ``former_weights``."""
    for path, module in model.named_modules():
        for former, current in getattr(module, "former_weights", ()):
            start, end = (f"{path}.{prefix}".lstrip(".") for prefix in (former, current))
            tensors = {
                end + name.removeprefix(start) if name.startswith(start) else name: tensor
                for name, tensor in tensors.items()
            }
    return tensors


def _check_names(expected: Mapping[str, tuple[int, ...]], tensors: Tensors, path: Path) -> None:
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = [
        f"{kind}: {_shorten(names)}"
        for kind, names in (("missing", expected.keys() - found), ("unexpected", found.keys() - expected))
        if names
    ]
    problems += [
        f"{name}: {list(found[name])} in the file, {list(shape)} in the model"
        for name, shape in expected.items()
        if name in found and shape != found[name] and 0 not in shape
    ][:5]
    if problems:
        raise StoreError("these weights belong to another architecture", where=str(path), hint="\n".join(problems))


def _shorten(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")


def rehearse_saving(model: nn.Module, state: Any) -> Any:
    """Save weights and state to memory and load them; returns the state as it comes back.

    Raises:
        LabError: something in them cannot be saved.
        Exception: whatever the model raises while it loads.
    """
    weights, aliases = gather_weights(model)
    plain, tensors = split_tensors(state)
    # one element of each tells whether its type can be written; the content of a large model costs seconds
    samples = {
        f"{kind}/{name}": tensor.flatten()[:1].clone()
        for kind, named in (("weights", weights), ("state", tensors))
        for name, tensor in named.items()
    }
    load_bytes(save_bytes(samples))
    set_weights(model, weights, aliases, Path("checkpoint"))
    return join_tensors(json.loads(json.dumps(plain)), tensors)


# --- what belongs to a checkpoint and not to the weights --------------------------------------------------------------


def extra_state(model: nn.Module) -> dict[str, Any]:
    """Return the extra states of a model's modules by name (``torch.nn.Module.get_extra_state``).

    A network that keeps its hidden state from batch to batch overrides ``get_extra_state`` and ``set_extra_state``; the
    tensors and plain values that it returns belong to a checkpoint and not to the file of weights.
    """
    return {name: module.get_extra_state() for name, module in model.named_modules() if _has_extra_state(module)}


def load_extra_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Restore what ``extra_state`` returned."""
    modules = dict(model.named_modules())
    for name, value in state.items():
        modules[name].set_extra_state(value)


def _has_extra_state(module: nn.Module) -> bool:
    return type(module).get_extra_state is not nn.Module.get_extra_state


def _extra_state_names(model: nn.Module) -> set[str]:
    # by module, not by the end of the key: a parameter may end in the same letters
    modules = model.named_modules(remove_duplicate=False)
    return {f"{name}.{_EXTRA_STATE_KEY_SUFFIX}".lstrip(".") for name, module in modules if _has_extra_state(module)}


class UnsavedBuffers:
    """Buffers that a model's state dict leaves out (``persistent=False``) and that training changes.

    They belong to a checkpoint: a resumed run would go on with those of a new model.

    Args:
        model: as it was built.
    """

    def __init__(self, model: nn.Module) -> None:
        self._first = {name: (buffer, buffer._version) for name, buffer in _unsaved_buffers(model)}

    def changed(self, model: nn.Module) -> Tensors:
        """Return the buffers that were written to or replaced, by name."""
        return {
            name: buffer
            for name, buffer in _unsaved_buffers(model)
            if name not in self._first or self._first[name][0] is not buffer or self._first[name][1] != buffer._version
        }

    def restore(self, model: nn.Module, values: Mapping[str, Tensor]) -> None:
        """Restore what ``changed`` returned."""
        for name, value in values.items():
            owner, _, last = name.rpartition(".")
            module = model.get_submodule(owner)
            device = next(itertools.chain(model.parameters(), model.buffers())).device
            module.register_buffer(last, value.to(device), persistent=False)


def _unsaved_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for prefix, module in model.named_modules():
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers.get(name)
            if buffer is not None:
                yield f"{prefix}.{name}" if prefix else name, buffer

"""Checkpoints: safetensors and JSON, written whole or not at all.

A tree of tensors and JSON values becomes two files: the tensors in ``NAME.safetensors``, everything else in
``NAME.json``, where ``{"$tensor": "path"}`` stands for a tensor. No pickle is written or read.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import _EXTRA_STATE_KEY_SUFFIX

from lab.errors import LabError, StoreError
from lab.files import atomic_folder, atomic_path, sync_files
from lab.training.callback import Callback
from lab.training.replicas import part_like, whole

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = ["Checkpoint", "load_weights", "read_tree", "save_weights", "write_tree"]


def write_tree(tree: Any, folder: Path, name: str) -> None:
    """Write a tree of tensors and JSON values as ``name.safetensors`` and ``name.json``.

    A digest of both stands among the metadata of the tensors.
    """
    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_take_tensors(tree, "", tensors), allow_nan=False)
    save_file(tensors, folder / f"{name}.safetensors", metadata=_metadata(tensors, plain))
    (folder / f"{name}.json").write_text(plain, encoding="utf-8")


def tensors_digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """Return a sha256 of tensors on the CPU, of their names, types and shapes, and of a text that belongs to them."""
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _metadata(tensors: Mapping[str, Tensor], text: str, **more: Any) -> dict[str, str]:
    """Return what a file of tensors says of itself: under one name, since safetensors writes several in any order."""
    return {"lab": json.dumps({"digest": tensors_digest(tensors, text), **more})}


def _said(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``_metadata`` wrote; empty in files of older versions."""
    said = json.loads(metadata.get("lab", "{}"))
    return said if isinstance(said, dict) else {}


def _verify(tensors: Mapping[str, Tensor], text: str, said: Mapping[str, Any]) -> None:
    """Raise if tensors, or the text that belongs to them, are not as they were written.

    Raises:
        ValueError: they are not.
    """
    if "digest" in said and said["digest"] != tensors_digest(tensors, text):
        raise ValueError("changed since it was written (its digest is another)")


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file and its metadata."""
    from safetensors import safe_open

    if not path.is_file():  # a pipe would block for ever
        raise FileNotFoundError(f"{path.name} is not there")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 (not a mapping)


def read_tree(folder: Path, name: str) -> Any:
    """Read what ``write_tree`` wrote.

    Raises:
        StoreError: a file is missing, truncated or not what it should be.
    """
    try:
        tensors, metadata = _read_tensors(folder / f"{name}.safetensors")
        text = (folder / f"{name}.json").read_text(encoding="utf-8") if (folder / f"{name}.json").is_file() else ""
        _verify(tensors, text, _said(metadata))
        return _give_tensors(json.loads(text), tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise StoreError(f"cannot read the checkpoint '{name}'", where=f"{folder}: {error}") from error


def _take_tensors(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[path] = whole(value.detach()).cpu().contiguous().clone()
        return {"$tensor": path}
    if isinstance(value, dict):
        return {"$items": [[key, _take_tensors(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [_take_tensors(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}  # JSON has no such numbers
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise LabError(
        f"a {type(value).__name__} cannot be saved in a checkpoint",
        where=path,
        hint="a state_dict holds tensors, numbers, strings, lists and dictionaries",
    )


def _give_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_give_tensors(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$float" in value:
        return float(value["$float"])
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$tuple" in value:
        return tuple(_give_tensors(item, tensors) for item in value["$tuple"])
    return {key: _give_tensors(item, tensors) for key, item in value["$items"]}


def save_weights(model: nn.Module, path: Path, *, durable: bool = True) -> None:
    """Write a model's state as safetensors; a tensor that is shared under several names is written once.

    Where each of several processes has a part of the weights, all must call it.
    """
    tensors, aliases = _written_weights(model)
    shared = json.dumps(aliases)
    with atomic_path(path, durable=durable) as temporary:
        save_file(tensors, temporary, metadata=_metadata(tensors, shared, shared=shared))


def _written_weights(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file of weights, and for every further name of one its first."""
    tensors, aliases = _unique_weights(model)
    return _own_memory({name: whole(tensor.detach()).cpu().contiguous() for name, tensor in tensors.items()}), aliases


def _unique_weights(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor under its first name, and the first name for each of its others."""
    unique: dict[int, str] = {}
    aliases: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    for name, tensor in _weights(model).items():
        if id(tensor) in unique:
            aliases[name] = unique[id(tensor)]
            continue
        unique[id(tensor)] = name
        tensors[name] = tensor
    return tensors, aliases


def _own_memory(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of which no two lie in one storage, such as views of a common buffer: safetensors refuses those."""
    users: dict[int, int] = {}
    for tensor in tensors.values():
        place = tensor.untyped_storage().data_ptr()
        users[place] = users.get(place, 0) + bool(tensor.numel())
    return {
        name: tensor.clone() if users[tensor.untyped_storage().data_ptr()] > 1 else tensor
        for name, tensor in tensors.items()
    }


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, without what modules carry from batch to batch.

    Raises:
        LabError: a state dict holds anything but tensors.
    """
    carried = _extra_state_names(model)
    weights = {name: value for name, value in model.state_dict(keep_vars=True).items() if name not in carried}
    others = [name for name, value in weights.items() if not isinstance(value, Tensor)]
    if others:
        kinds = ", ".join(f"{name} is a {type(weights[name]).__name__}" for name in others[:3])
        raise LabError(
            f"the state dict of the model holds what cannot be saved as weights: {kinds}",
            where=type(model).__name__,
            hint="keep it in get_extra_state and set_extra_state, or as a tensor",
        )
    return weights


def _extra_state_names(model: nn.Module) -> set[str]:
    """Keys of a state dict under which torch keeps the extra states; a parameter may end in the same letters."""
    return {
        f"{name}.{_EXTRA_STATE_KEY_SUFFIX}" if name else _EXTRA_STATE_KEY_SUFFIX
        for name, module in model.named_modules(remove_duplicate=False)
        if _carries(module)
    }


def carried_state(model: nn.Module) -> dict[str, Any]:
    """What modules carry from batch to batch besides their weights, by torch's own word ``get_extra_state``.

    A network that keeps its hidden state overrides ``get_extra_state`` and ``set_extra_state``; what they give, tensors
    and plain values, belongs to a checkpoint and not to the file of weights.
    """
    return {name: module.get_extra_state() for name, module in model.named_modules() if _carries(module)}


def carry_on(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Give modules back what ``carried_state`` found."""
    modules = dict(model.named_modules())
    for name, value in state.items():
        modules[name].set_extra_state(value)


def _carries(module: nn.Module) -> bool:
    return type(module).get_extra_state is not nn.Module.get_extra_state


class UnsavedBuffers:
    """The buffers of a model that its state dict leaves out (``persistent=False``) and that training changes.

    They belong to a checkpoint: a resumed run would go on with those of a new model.

    Args:
        model: as it was built.
    """

    def __init__(self, model: nn.Module) -> None:
        self._first = {name: (buffer, buffer._version) for name, buffer in _unsaved_buffers(model)}

    def changed(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the buffers that were written to or replaced, by name."""
        return {
            name: buffer
            for name, buffer in _unsaved_buffers(model)
            if name not in self._first or self._first[name][0] is not buffer or self._first[name][1] != buffer._version
        }

    def restore(self, model: nn.Module, values: Mapping[str, Tensor]) -> None:
        """Put back what ``changed`` gave."""
        for name, value in values.items():
            owner, _, last = name.rpartition(".")
            module = model.get_submodule(owner)
            device = next(itertools.chain(model.parameters(), model.buffers())).device
            module._buffers[last] = value.to(device)
            module._non_persistent_buffers_set.add(last)


def _unsaved_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for prefix, module in model.named_modules():
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers.get(name)
            if buffer is not None:
                yield f"{prefix}.{name}" if prefix else name, buffer


def load_weights(model: nn.Module, path: Path) -> None:
    """Load what ``save_weights`` wrote; a buffer that is empty in a new model, such as trees, takes the saved size.

    Raises:
        StoreError: the file cannot be read, or belongs to another architecture (the names that differ are given).
    """
    try:
        tensors, metadata = _read_tensors(path)
        shared = _said(metadata).get("shared", metadata.get("shared", "{}"))
        _verify(tensors, shared, _said(metadata))
        aliases = json.loads(shared)
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError("cannot read the weights", where=f"{path}: {error}") from error
    _load(model, tensors, aliases, path)


def _load(model: nn.Module, tensors: dict[str, Tensor], aliases: Mapping[str, str], path: Path) -> None:
    tensors |= {name: tensors[source] for name, source in aliases.items()}
    tensors = _with_current_names(model, tensors)
    _check_names(model, tensors, path)
    for name, buffer in model.named_buffers():
        if name in tensors and (not buffer.numel() or _overlaps(buffer)):
            buffer.data = torch.zeros_like(tensors[name], dtype=buffer.dtype, device=buffer.device)
    parts = {name: part_like(tensors[name], weight) for name, weight in _weights(model).items()}
    found = model.load_state_dict(parts, strict=False)  # strict but for extra states, which are no weights
    left = [*set(found.missing_keys) - _extra_state_names(model), *found.unexpected_keys]
    if left:
        raise StoreError(
            "these weights belong to another architecture", where=str(path), hint=f"not loaded: {_shorten(set(left))}"
        )


def _with_current_names(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors of an older file; modules list (former prefix, current prefix) in ``former_weights``."""
    for path, module in model.named_modules():
        for former, current in getattr(module, "former_weights", ()):
            start = f"{path}.{former}" if path else former
            end = f"{path}.{current}" if path else current
            tensors = {
                end + name.removeprefix(start) if name.startswith(start) else name: tensor
                for name, tensor in tensors.items()
            }
    return tensors


def _overlaps(tensor: Tensor) -> bool:
    """Return whether several elements share memory, as after ``expand``: such a tensor cannot be written to."""
    return any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True))


def _check_names(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in _weights(model).items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = [f"missing: {_shorten(expected.keys() - found.keys())}"] if expected.keys() - found.keys() else []
    if found.keys() - expected.keys():
        problems.append(f"unexpected: {_shorten(found.keys() - expected.keys())}")
    problems += [
        f"{name}: {list(found[name])} in the file, {list(expected[name])} in the model"
        for name in expected
        if name in found and expected[name] != found[name] and 0 not in expected[name]
    ][:5]
    if problems:
        raise StoreError("these weights belong to another architecture", where=str(path), hint="\n".join(problems))


def _shorten(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")


BEST = "best.safetensors"
WORTH_S = 1.0
WORTH_SAVINGS = 10
"""An epoch is saved before its validation too where that takes this many times as long as saving."""


class Checkpoint(Callback):
    """Saves the whole state of training, so that a killed run goes on from there with the same numbers.

    It comes first of all callbacks, so that its ``after_epoch`` sees what all others did. Without a folder (a learner
    used by itself) it does nothing.

    The weights of the best epoch so far are kept beside it as ``best.safetensors``.

    Args:
        every_epochs: save after every so many epochs.
        worth_s: pass over the end of an epoch where less than so many seconds of training would be saved by it.
        every_steps: save also after every so many steps.
        every_minutes: save also when so many minutes have passed since the last time.
        monitor: the figure that tells the best epoch; its direction is the metric's, a loss is better when lower.
        select: which weights a run is judged by at its end, those of its last epoch or of its best.
    """

    def __init__(
        self,
        *,
        every_epochs: int = 1,
        worth_s: float = WORTH_S,
        every_steps: int | None = None,
        every_minutes: float | None = None,
        monitor: str = "valid_loss",
        select: Literal["last", "best"] = "last",
    ) -> None:
        self.every_epochs, self.every_steps, self.every_minutes = every_epochs, every_steps, every_minutes
        self.worth_s = worth_s
        self.monitor, self.select = monitor, select
        self.best_epoch: int | None = None
        self._best = math.inf
        self._higher_is_better = False
        self._saved_at = time.monotonic()
        self._saving_s = 0.0
        self._trained_at = math.nan
        self._validating_s = math.inf
        """Seconds from the last batch of an epoch to its end, as of the epoch before; infinite before the first."""

    @classmethod
    def deciding_parameters(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return which weights a run is judged by; when they are written changes nothing."""
        names = ("select", "monitor") if params.get("select") == "best" else ("select",)
        return {name: value for name, value in params.items() if name in names}

    def check(self, learner: Learner) -> None:
        from lab.training.scoring import column_direction

        if learner.data.valid is None and self.monitor == "valid_loss" and self.select == "last":
            return
        self._higher_is_better = column_direction(self.monitor, learner, "callback 'checkpoint', parameter 'monitor'")

    def before_fit(self, learner: Learner) -> None:
        self._saved_at = time.monotonic()

    def after_batch(self, learner: Learner) -> None:
        if self._due(learner):
            self.save(learner)

    def after_epoch(self, learner: Learner) -> None:
        if not (learner.history and learner.history[-1]["epoch"] == learner.epochs_done):
            return
        self._validating_s = time.monotonic() - self._trained_at
        if not math.isfinite(learner.history[-1].get("valid_loss", 0.0)):
            return  # the run fails, and is to fail again when it is resumed
        self._keep_best(learner)
        due = (learner.position.epoch + 1) % self.every_epochs == 0
        if due and learner.replicas.agreed(time.monotonic() - self._saved_at >= self.worth_s):
            self.save(learner)

    def save_before_validation(self, learner: Learner) -> None:
        """Save after the last batch of an epoch that is to be saved, unless validation is short for a second saving."""
        due = (learner.position.epoch + 1) % self.every_epochs == 0
        is_long = self._validating_s >= max(self.worth_s, WORTH_SAVINGS * self._saving_s)
        lost_s = time.monotonic() - self._saved_at
        if due and learner.replicas.agreed(is_long and lost_s >= self.worth_s):
            self.save(learner)
        self._trained_at = time.monotonic()

    def _keep_best(self, learner: Learner) -> None:
        sign = -1 if self._higher_is_better else 1
        value = sign * learner.history[-1].get(self.monitor, math.nan)
        if learner.folder is not None and learner.replicas.agreed(value < self._best):
            with learner.level("judge"):
                save_weights(learner.model, learner.folder / BEST, durable=False)  # a checkpoint makes it so
            self._best, self.best_epoch = value, learner.epochs_done

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self.best_epoch = state["best"], state["best_epoch"]

    def save(self, learner: Learner) -> None:
        """Write a new checkpoint, then remove the one before."""
        if learner.folder is not None:
            began = time.monotonic()
            save_checkpoint(learner, learner.folder)
            self._saved_at = time.monotonic()
            self._saving_s = self._saved_at - began

    def _due(self, learner: Learner) -> bool:
        if self.every_steps is not None and learner.position.step % self.every_steps == 0:
            return True
        if self.every_minutes is None:
            return False
        return learner.replicas.agreed(time.monotonic() - self._saved_at > 60 * self.every_minutes)


def rehearse_checkpoint(learner: Learner) -> None:
    """Save a checkpoint to memory and load it again.

    Raises:
        LabError: something in it cannot be saved.
        Exception: whatever ``load_state_dict`` or ``set_extra_state`` raises.
    """
    weights, aliases = _written_weights(learner.model)
    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_take_tensors(learner.state_dict(), "", tensors))
    samples = {
        f"{kind}/{name}": tensor.flatten()[:1].clone()
        for kind, named in (("weights", weights), ("state", tensors))
        for name, tensor in named.items()
    }
    load_bytes(save_bytes(samples))  # every type of number can be written; the content of a large model costs seconds
    _load(learner.model, weights, aliases, Path("checkpoint"))
    learner.load_state_dict(_give_tensors(json.loads(plain), tensors))
    learner.restore_callbacks()


def save_trained(learner: Learner) -> None:
    """Save the training of an epoch where its validation may take long: a process killed in it loses no step."""
    if learner.folder is not None and learner.data.valid is not None:
        for callback in learner.callbacks:
            if isinstance(callback, Checkpoint):
                callback.save_before_validation(learner)


def save_unjudged(learner: Learner) -> None:
    """Save an epoch whose validation failed, if the learner keeps checkpoints; several processes could not agree."""
    if learner.folder is None or learner.replicas.size > 1:
        return
    if any(isinstance(callback, Checkpoint) for callback in learner.callbacks):
        save_checkpoint(learner, learner.folder)


def save_checkpoint(learner: Learner, folder: Path) -> None:
    """Write ``checkpoint-N`` in ``folder`` and remove the older ones; of several processes the first does it."""
    if learner.replicas.rank:
        _lend_parts(learner)
        return
    older = list(_checkpoints(folder))
    number = _number(older[0]) + 1 if older else 0
    sync_files(folder)
    with atomic_folder(folder / f"checkpoint-{number:06d}") as temporary:
        save_weights(learner.model, temporary / "model.safetensors", durable=False)
        write_tree(learner.state_dict(), temporary, "state")
    for path in older:
        shutil.rmtree(path, ignore_errors=True)


def _lend_parts(learner: Learner) -> None:
    """Where this process alone has its part of the weights, take part in gathering what the first one writes."""
    if learner.replicas.is_sharded:
        for tensor in _unique_weights(learner.model)[0].values():
            whole(tensor.detach())
        _take_tensors(learner.state_dict(), "", _Nowhere())


class _Nowhere(dict[str, Tensor]):
    """Keeps nothing."""

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        pass


def load_checkpoint(learner: Learner, folder: Path, warn: Callable[[str], None]) -> bool:
    """Load the newest checkpoint of ``folder`` that can be read; False where there is none.

    Where the weights of the best epoch are damaged there is none either: only training again makes them anew.
    """
    try:
        _check_best(folder / BEST)
    except StoreError as error:
        warn(f"the weights of the best epoch are damaged, so the run begins again: {error}")
        return False
    for path in _checkpoints(folder):
        try:
            state = read_tree(path, "state")
            load_weights(learner.model, path / "model.safetensors")
        except StoreError as error:
            warn(f"a checkpoint is damaged and left out: {error}")
            continue
        learner.load_state_dict(state)
        return True
    return False


def _check_best(path: Path) -> None:
    """Raise if the weights of the best epoch are there and not as they were written.

    Raises:
        StoreError: they are not.
    """
    if not path.exists():
        return
    try:
        tensors, metadata = _read_tensors(path)
        _verify(tensors, _said(metadata).get("shared", ""), _said(metadata))
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError("cannot read the weights", where=f"{path}: {error}") from error


def remove_checkpoints(folder: Path) -> None:
    """Remove every checkpoint and leftover of ``folder``: the run is finished."""
    for path in [*_checkpoints(folder), *folder.glob(".checkpoint-*.tmp")]:
        shutil.rmtree(path, ignore_errors=True)


def _checkpoints(folder: Path) -> Iterator[Path]:
    """Checkpoints, the newest first; temporary names of a crash do not count."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]
    return iter(sorted(found, key=_number, reverse=True))


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def global_random_state(device: torch.device) -> dict[str, Any]:
    """Position of the global generators of torch, Python and NumPy: streams of the run while it trains."""
    numpy = np.random.get_state(legacy=False)
    state: dict[str, Any] = {"cpu": torch.get_rng_state(), "python": random.getstate()}
    if numpy["bit_generator"] == "MT19937":
        keys = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
        state["numpy"] = (keys, int(numpy["state"]["pos"]), int(numpy["has_gauss"]), float(numpy["gauss"]))
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_global_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the global generators back; checkpoints of earlier versions hold torch's alone."""
    torch.set_rng_state(state["cpu"])
    if "python" in state:
        random.setstate(state["python"])
    if "numpy" in state:
        keys, position, has_gauss, gauss = state["numpy"]
        np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)

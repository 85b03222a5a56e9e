"""Guards against components that change global state of the process.

Watched are random generators, torch's settings, the working folder, and torch's functions and classes. A component
that replaces one of them changes the numbers of every later run in the process, whose keys do not mention it.
"""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import torch

from lab.errors import PluginError
from lab.training.rng import all_generators

__all__ = ["assert_global_state_unchanged", "guarded", "isolated"]

log = logging.getLogger("lab")


@contextmanager
def assert_global_state_unchanged(owner: str, *, allow_torch_rng: bool, functions: bool = False) -> Iterator[None]:
    """Raise if the block changes the process's random generators, its defaults or torch's settings, and restore them.

    Args:
        owner: the component or file whose code runs, for the message.
        allow_torch_rng: whether it may draw from the global generators (a model does when it is initialized); seeding
            them is never allowed.
        functions: also watch torch's functions and classes, which takes half a millisecond.

    Raises:
        PluginError: something was changed; the message names it and the owner.
    """
    before, defined = _snapshot(draws=allow_torch_rng), _definitions() if functions else {}
    try:
        yield
    except BaseException:
        _put_back(before, _snapshot(draws=allow_torch_rng))
        _restore_definitions(defined)
        raise
    changed = [*_put_back(before, _snapshot(draws=allow_torch_rng)), *_restore_definitions(defined)]
    if changed:
        raise PluginError(
            f"{owner} changes {' and '.join(changed)}, which belongs to the whole process",
            hint=_remedy(changed),
        )


@contextmanager
def guarded(owner: str) -> Iterator[None]:
    """Watch an import: settings and functions must stay; generators are put back, whatever it draws."""
    # rich, which scikit-learn 1.9 imports, draws from Python's generator while it is imported
    with assert_global_state_unchanged(owner, allow_torch_rng=True, functions=True), all_generators(0):
        yield


@contextmanager
def isolated(owner: str) -> Iterator[None]:
    """Restore, after a whole run, the global state that it changed, with a warning that names it."""
    before, defined = _snapshot(draws=True), _definitions()
    try:
        yield
    finally:
        changed = [*_put_back(before, _snapshot(draws=True)), *_restore_definitions(defined)]
        if changed:
            log.warning("%s changed %s; it was put back for the runs after it", owner, " and ".join(changed))


def _remedy(changed: list[str]) -> str:
    if any(name.startswith("torch.") or name.startswith("lab.") for name in changed):
        return "write a component of its own instead of exchanging what every other one uses"
    return "draw from the generator that the contract offers; give dtype=... where tensors are made"


# --- settings and generators ------------------------------------------------------------------------------------------


def _snapshot(*, draws: bool) -> dict[str, Any]:
    state: dict[str, Any] = {name: read() for name, (read, _) in SETTINGS.items()}
    if draws:
        # drawing is allowed, so only the seed is compared: manual_seed changes it, torch.rand does not
        state["the seed of torch's random generator"] = torch.initial_seed()
    else:
        state["torch's random generator"] = torch.get_rng_state()
    if not draws:
        state["Python's random generator"] = random.getstate()
        # NumPy is not imported for the check: what nothing has imported nothing has drawn from
        if "numpy" in sys.modules:
            state["numpy's random generator"] = sys.modules["numpy"].random.get_state()
    return state


def _put_back(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Restore the settings that changed and return their names."""
    changed = [name for name, value in before.items() if name in after and not _equal(after[name], value)]
    for name in changed:
        # a folder may be gone and a thread count be refused; the others must still be restored
        with suppress(OSError, RuntimeError):
            (SETTINGS[name][1] if name in SETTINGS else _GENERATORS[name])(before[name])
    return changed


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    # numpy's state is a tuple with an array, whose == is an array too
    if isinstance(one, tuple) and any(hasattr(part, "tobytes") for part in one):
        return all(map(_equal, one, other))
    same = one == other
    return same if isinstance(same, bool) else bool(same.all())


def _set_numpy(state: Any) -> None:
    sys.modules["numpy"].random.set_state(state)


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        # it was removed
        return ""


def _set_folder(folder: str) -> None:
    if folder:
        os.chdir(folder)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(state: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(state[0], warn_only=state[1])


def _set_cudnn(state: tuple[bool, bool, bool]) -> None:
    cudnn: Any = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = state


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's precision of float32 products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "torch's deterministic algorithms": (_deterministic, _set_deterministic),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's cuDNN settings": (
        lambda: (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        _set_cudnn,
    ),
    "the working folder": (_folder, _set_folder),
}

_GENERATORS: dict[str, Callable[[Any], Any]] = {
    "Python's random generator": random.setstate,
    "numpy's random generator": _set_numpy,
    "torch's random generator": torch.set_rng_state,
    "the seed of torch's random generator": torch.manual_seed,
}


# --- functions and classes --------------------------------------------------------------------------------------------


@lru_cache
def _namespaces() -> dict[str, Any]:
    """Return the modules and classes whose contents every model uses."""
    import lab.training as training

    modules = {
        "torch": torch,
        "torch.nn.functional": torch.nn.functional,
        "torch.nn.init": torch.nn.init,
        "torch.linalg": torch.linalg,
        "torch.optim": torch.optim,
        "torch.nn": torch.nn,
    }
    classes = {
        f"torch.nn.{name}": kind
        for name, kind in vars(torch.nn).items()
        if isinstance(kind, type) and issubclass(kind, torch.nn.Module)
    }
    kernel = {
        f"lab.{name}": getattr(training, name) for name in ("Learner", "Stepper", "Data", "Callback", "Supervised")
    }
    return {**modules, "torch.Tensor": torch.Tensor, **classes, **kernel}


_last_seen: dict[str, dict[str, Any]] = {}


@lru_cache
def _views() -> list[Mapping[str, Any]]:
    """Return live views of what the namespaces hold."""
    return [vars(namespace) for namespace in _namespaces().values()]


def _definitions() -> dict[str, dict[str, Any]]:
    """Return a copy of what the namespaces hold; the last one as long as it holds, since making it takes 0.3 ms."""
    global _last_seen
    if not _are_unchanged(_last_seen):
        _last_seen = {place: dict(vars(namespace)) for place, namespace in _namespaces().items()}
    return _last_seen


def _are_unchanged(before: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether every namespace holds the same objects; Python compares identities first."""
    try:
        # two lists are compared in C: 175 namespaces with 3,200 names in 0.05 ms
        return bool(before) and _views() == list(before.values())
    except Exception:
        # __eq__ of a replacement may raise or return an array
        return False


def _is_harmless(value: Any, old: Any) -> bool:
    """Return whether torch wrapped its own function, as it does with ``manual_seed`` when it imports its compiler.

    Also of Lightning's wrapper of ``torch.compile``, which is there as soon as Lightning is imported.
    """
    if value is old or getattr(value, "__wrapped__", None) is not old:
        return False
    # lightning 2.x records the arguments of torch.compile; what the function gives is the same
    file = getattr(getattr(value, "__code__", None), "co_filename", "").replace("\\", "/")
    if file.endswith(("/lightning/fabric/wrappers.py", "/lightning_fabric/wrappers.py")):
        return True
    # torch 2.x wraps manual_seed in _disable_dynamo when the first optimizer step imports torch._dynamo; any other
    # wrapper, also one defined in torch's folder (no_grad around a function), is a real change
    return getattr(value, "__code__", None) is torch._disable_dynamo(_snapshot).__code__  # type: ignore[attr-defined]


def _restore_definitions(before: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Restore functions, methods and classes that were replaced and return their names; late imports are no change."""
    if not before or _are_unchanged(before):
        return []
    changed = []
    for place, old in before.items():
        namespace = _namespaces()[place]
        for name, value in list(vars(namespace).items()):
            if name in old:
                if value is not old[name] and callable(old[name]) and not _is_harmless(value, old[name]):
                    setattr(namespace, name, old[name])
                    changed.append(f"{place}.{name}")
            elif isinstance(namespace, type) and callable(value) and hasattr(super(namespace, namespace), name):
                # a name added to a class may override an inherited method, such as Module.__call__ in a subclass
                delattr(namespace, name)
                changed.append(f"{place}.{name}")
        for name in [name for name in old if name not in vars(namespace) and callable(old[name])]:
            setattr(namespace, name, old[name])
            changed.append(f"{place}.{name}")
    return changed

"""Guards against components that change global state of the process.

Watched are random generators, torch's settings, the working folder, and the functions and classes of torch and ``lab``.
A component that replaces one of them changes the numbers of every later run in the process, whose keys do not mention
it.
"""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch

from lab.errors import PluginError
from lab.registry.intact import (
    OF_PROCESS,
    OF_TRAINING,
    Definitions,
    float32_precision,
    numeric_variables,
    set_float32_precision,
    set_numeric_variables,
)
from lab.training.rng import all_generators

__all__ = ["assert_global_state_unchanged", "guarded", "isolated"]

VARIABLES = "the environment variable"
OUTPUTS = "sys.stdout or sys.stderr"

log = logging.getLogger("lab")


@contextmanager
def assert_global_state_unchanged(
    owner: str, *, allow_torch_rng: bool, functions: bool | Definitions = False
) -> Iterator[None]:
    """Raise if the block changes the process's random generators, its defaults or torch's settings, and restore them.

    Args:
        owner: the component or file whose code runs, for the message.
        allow_torch_rng: whether it may draw from the global generators (a model does when it is initialized); seeding
            them is never allowed.
        functions: also watch the functions and classes that training calls, or those given, which takes 0.3 ms.

    Raises:
        PluginError: something was changed; the message names it and the owner.
    """
    watched = functions if isinstance(functions, Definitions) else OF_TRAINING
    before, defined = _snapshot(draws=allow_torch_rng), watched.now() if functions else {}
    try:
        yield
    except BaseException:
        _put_back(before, _snapshot(draws=allow_torch_rng))
        watched.restore(defined)
        raise
    changed = [*_put_back(before, _snapshot(draws=allow_torch_rng)), *watched.restore(defined)]
    if changed:
        raise PluginError(
            f"{owner} changes {' and '.join(changed)}, which belongs to the whole process",
            hint=_remedy(changed),
        )


@contextmanager
def guarded(owner: str) -> Iterator[None]:
    """Watch an import: settings and functions must stay; generators are put back, whatever it draws."""
    # rich, which scikit-learn 1.9 imports, draws from Python's generator while it is imported
    with assert_global_state_unchanged(owner, allow_torch_rng=True, functions=OF_PROCESS), all_generators(0):
        yield


@contextmanager
def isolated(owner: str) -> Iterator[None]:
    """Restore, after a whole run, the global state that it changed, with a warning that names it."""
    before, defined = _snapshot(draws=True), OF_PROCESS.now()
    # a progress bar that starts or ends meanwhile exchanges them too
    del before[OUTPUTS]
    try:
        yield
    finally:
        changed = [*_put_back(before, _snapshot(draws=True)), *OF_PROCESS.restore(defined)]
        if changed:
            log.warning("%s changed %s; it was put back for the runs after it", owner, " and ".join(changed))


def _remedy(changed: list[str]) -> str:
    remedies = [remedy for start, remedy in _REMEDIES.items() if any(name.startswith(start) for name in changed)]
    if remedies:
        return "; ".join(remedies)
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
    if VARIABLES in changed:
        differing = sorted(name for name, _ in before[VARIABLES].items() ^ after[VARIABLES].items())
        changed[changed.index(VARIABLES)] = f"{VARIABLES} {', '.join(dict.fromkeys(differing))}"
    return changed


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    # numpy's state is a tuple with an array, whose == is an array too
    if isinstance(one, tuple) and any(hasattr(part, "tobytes") for part in one):
        return all(map(_equal, one, other))
    same = one == other
    return same if isinstance(same, bool) else bool(same.all())


def _set_outputs(before: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = before


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
    "torch's precision of float32 products": (float32_precision, set_float32_precision),
    "torch's deterministic algorithms": (_deterministic, _set_deterministic),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's cuDNN settings": (
        lambda: (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        _set_cudnn,
    ),
    "the working folder": (_folder, _set_folder),
    VARIABLES: (numeric_variables, set_numeric_variables),
    OUTPUTS: (lambda: (sys.stdout, sys.stderr), _set_outputs),
}

_REMEDIES = {
    "torch's number of threads": "threads are chosen by who runs a study: lab run --threads",
    "torch's gradient mode": "use it for a block: with torch.no_grad(): ...",
    "the working folder": "give absolute paths instead, such as Path(__file__).parent / 'table.csv'",
    VARIABLES: "it is set by who runs a study, before it starts",
    OUTPUTS: "use contextlib.redirect_stdout for a block",
}

_GENERATORS: dict[str, Callable[[Any], Any]] = {
    "Python's random generator": random.setstate,
    "numpy's random generator": _set_numpy,
    "torch's random generator": torch.set_rng_state,
    "the seed of torch's random generator": torch.manual_seed,
}

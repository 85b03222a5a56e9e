"""The process as third parties must leave it: functions, classes and settings that everything else relies on.

Whoever replaces one of them changes the numbers of every later run, whose keys do not mention it. Modules are watched
by name and only once something has imported them, so nothing heavy is imported here.
"""

from __future__ import annotations

import importlib.machinery
import linecache
import os
import signal
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from lab.errors import PluginError
from lab.registry.reads import last_move, last_variable

__all__ = [
    "OF_PROCESS",
    "OF_TRAINING",
    "Definitions",
    "float32_precision",
    "numeric_variables",
    "process_unchanged",
    "set_float32_precision",
    "set_numeric_variables",
]

FOLDER = "the working folder"
PRECISION = "torch's precision of float32 products"
INTERRUPTS = "what Ctrl-C or SIGTERM does"
EXCEPTHOOK = "sys.excepthook"
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
VARIABLES = "environment variables"

ENVIRONMENT = ("CUBLAS_", "CUDA_VISIBLE_DEVICES", "LAB_", "MKL_", "OMP_", "PYTHONHASHSEED")
"""Beginnings of the environment variables that numbers depend on; torch sets some of its own while it is imported."""


# --- functions and classes --------------------------------------------------------------------------------------------


class Definitions:
    """What modules, and the classes that they define, hold.

    Args:
        names: of the modules; a name that ends with a dot stands for all below it.
    """

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)
        self._below = tuple(name for name in names if name.endswith("."))
        self._namespaces: dict[str, Any] = {}
        self._views: list[Mapping[str, Any]] = []
        self._count = -1
        self._last: dict[str, dict[str, Any]] = {}

    def watches(self, name: str) -> bool:
        """Return whether a module is watched."""
        return name in self._names or (name.startswith(self._below) and name != __name__)

    def now(self) -> dict[str, dict[str, Any]]:
        """Return a copy of what they hold; the last copy as long as it holds, since making one takes 0.5 ms."""
        if not self._are_unchanged(self._last):
            self._last = {place: dict(vars(namespace)) for place, namespace in self._imported().items()}
        return self._last

    def add(self, name: str, module: types.ModuleType) -> dict[str, dict[str, Any]]:
        """Watch a module that was just imported, and return what it holds."""
        fresh = _namespaces_of(name, module)
        self._namespaces |= fresh
        self._views = [vars(each) for each in self._namespaces.values()]
        return {place: dict(vars(each)) for place, each in fresh.items()}

    def restore(self, before: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Restore functions, methods and classes that were replaced and return their names.

        Names that are new are no change, since libraries import parts of themselves late.
        """
        changed = []
        for place, module in self._namespaces.items():
            if isinstance(module, types.ModuleType) and sys.modules.get(place) is not module:
                sys.modules[place] = module
                changed.append(f"the module {place}")
        if not before or self._are_unchanged(before):
            return changed
        for place, old in before.items():
            namespace = self._namespaces[place]
            changed += [f"{place}.{name}" for name in _restore(namespace, old)]
        return changed

    def _imported(self) -> dict[str, Any]:
        """Return the watched modules that are imported, and their classes, by name."""
        # Most calls come when nothing was imported since the last one.
        if self._count != len(sys.modules):
            self._count = len(sys.modules)
            for name, module in list(sys.modules.items()):
                # A module that is being imported is not whole yet.
                initializing = getattr(getattr(module, "__spec__", None), "_initializing", False)
                if name not in self._namespaces and self.watches(name) and not initializing:
                    self.add(name, module)
        return self._namespaces

    def _are_unchanged(self, before: Mapping[str, Mapping[str, Any]]) -> bool:
        """Return whether every namespace holds the same objects; Python compares identities first."""
        self._imported()
        try:
            # Lists are compared in C: 200 namespaces with 4,000 names in 0.1 ms.
            return bool(before) and len(before) == len(self._views) and self._views == list(before.values())
        except Exception:
            # __eq__ of a replacement may raise or return an array.
            return False


def _namespaces_of(name: str, module: types.ModuleType) -> dict[str, Any]:
    """Return a module and the classes that it defines, or in the case of ``torch.nn`` offers."""
    if name in ("builtins", "numpy", "torch"):
        # Their classes are written in C, but for torch's Tensor.
        return {name: module} | ({"torch.Tensor": vars(module)["Tensor"]} if name == "torch" else {})
    classes = {
        f"{name}.{key}": value
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__.startswith(name)
    }
    return {name: module, **classes}


def _restore(namespace: Any, old: Mapping[str, Any]) -> list[str]:
    changed = []
    for name, value in list(vars(namespace).items()):
        if name in old:
            if value is not old[name] and callable(old[name]) and not _is_harmless(value, old[name]):
                setattr(namespace, name, old[name])
                changed.append(name)
        elif (
            isinstance(namespace, type)
            and callable(value)
            and hasattr(super(namespace, namespace), name)
            # torch adds AdamW.step, the step of Adam in its wrapper
            and not _is_harmless(value, getattr(super(namespace, namespace), name))
        ):
            # A name added to a class may override an inherited method, such as Module.__call__ in a subclass.
            delattr(namespace, name)
            changed.append(name)
    for name in [name for name in old if name not in vars(namespace) and callable(old[name])]:
        setattr(namespace, name, old[name])
        changed.append(name)
    return changed


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
    code = getattr(value, "__code__", None)
    optimizer = sys.modules["torch"].optim.Optimizer
    # torch 2.x wraps the step of each class of optimizers when the first of them is made
    if code is not None and code is getattr(optimizer.profile_hook_step(_restore), "__code__", None):
        return True
    return code is not None and code is sys.modules["torch"]._disable_dynamo(_restore).__code__


_TORCH_MODULES = ("torch", "torch.linalg", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.optim")

OF_TRAINING = Definitions(
    *_TORCH_MODULES, *(f"lab.training.{name}" for name in ("callback", "data", "learner", "stepper"))
)
"""What components call and extend: cheap enough to be watched around each of them."""

OF_PROCESS = Definitions(
    *("builtins", "hashlib", "json", "lab.", "math", "numpy", "numpy.linalg", "numpy.random", "random", "statistics"),
    *_TORCH_MODULES,
)
"""What numbers are computed with: watched around imports, hooks and whole runs."""


# --- a whole process, around the code of a plugin ---------------------------------------------------------------------


@contextmanager
def process_unchanged(what: str, *blames: str, in_place: bool = False) -> Iterator[None]:
    """Raise if the block changes what belongs to the whole process, and restore it.

    Watched are functions and classes of torch, NumPy, Python and ``lab``, also of modules that the block itself
    imports, torch's settings, the working folder, and environment variables that torch and ``lab`` read.

    Args:
        what: what runs in the block, for the message.
        blames: what the error blames.
        in_place: also watch the code and the defaults of functions, which takes 10 ms once torch is imported.

    Raises:
        PluginError: something was changed; the message names it. Errors of the block itself pass, restored as well.
    """
    keeper, before = _Keeper(in_place=in_place), last_move()
    variables = last_variable(ENVIRONMENT)
    sys.meta_path.insert(0, keeper)
    try:
        yield
    except BaseException:
        keeper.restore()
        raise
    finally:
        if keeper in sys.meta_path:
            sys.meta_path.remove(keeper)
    (number, file, line), last = last_move(), last_variable(ENVIRONMENT)
    if changed := keeper.restore():
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        if VARIABLES in changed and last[0] > variables[0]:
            _, file, line, name = last
            shown = shown.replace(VARIABLES, f"the environment variable {name}")
        if (FOLDER in changed and number > before[0]) or (VARIABLES in changed and last[0] > variables[0]):
            source = linecache.getline(file, line).strip()
            shown += f" ({os.path.basename(file)}, line {line}{': ' if source else ''}{source})"
        raise PluginError(f"{what} changes {shown}, which belongs to the whole process").blaming(*blames)


class _Keeper:
    """A finder that keeps what watched modules hold as soon as they are imported, before their importer goes on."""

    def __init__(self, *, in_place: bool) -> None:
        self.in_place = in_place
        self.definitions = dict(OF_PROCESS.now())
        self.functions = _inside(self.definitions) if in_place else []
        self.settings = _settings()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find as the finders behind this one do."""
        if not OF_PROCESS.watches(name):
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((each for each in found if each is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _KeepingLoader(spec.loader, self)
        return spec

    def keep(self, name: str, module: types.ModuleType) -> None:
        """Keep what a module holds that has just been imported."""
        fresh = OF_PROCESS.add(name, module)
        self.definitions |= fresh
        self.functions += _inside(fresh) if self.in_place else []
        if name == "torch":
            self.settings |= {name: value for name, value in _settings().items() if name in _OF_TORCH}

    def restore(self) -> list[str]:
        """Restore what was changed and return its names."""
        changed = []
        for function, code, defaults, named in self.functions:
            # A function can be changed in place, without being replaced.
            if (function.__code__, function.__defaults__, function.__kwdefaults__) != (code, defaults, named):
                function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, named
                changed.append(f"{function.__module__}.{function.__qualname__}")
        changed += OF_PROCESS.restore(self.definitions)
        after = _settings()
        for name, value in self.settings.items():
            if after.get(name) != value:
                with suppress(OSError, RuntimeError):
                    _set(name, value)
                changed.append(name)
        return changed


class _KeepingLoader(importlib.machinery.SourceFileLoader):
    """Loads as another loader does, and keeps what the module holds then."""

    def __init__(self, loader: Any, keeper: _Keeper) -> None:
        self._loader, self._keeper = loader, keeper

    def __getattribute__(self, name: str) -> Any:
        own = ("_loader", "_keeper", "create_module", "exec_module", "__class__")
        return object.__getattribute__(self, name) if name in own else getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        # Whatever reads the module's loader later finds the real one.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._keeper.keep(module.__name__, module)


def _inside(namespaces: Mapping[str, Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Return the plain functions of namespaces with what can be changed inside them."""
    return [
        (value, value.__code__, value.__defaults__, value.__kwdefaults__ and dict(value.__kwdefaults__))
        for content in namespaces.values()
        for value in content.values()
        if isinstance(value, types.FunctionType)
    ]


# --- settings ---------------------------------------------------------------------------------------------------------

_TORCH = {
    "torch's default dtype": ("get_default_dtype", "set_default_dtype"),
    "torch's number of threads": ("get_num_threads", "set_num_threads"),
    "torch's deterministic algorithms": ("are_deterministic_algorithms_enabled", "use_deterministic_algorithms"),
    "torch's gradient mode": ("is_grad_enabled", "set_grad_enabled"),
}

_OF_TORCH = {*_TORCH, PRECISION}
_NAMES = {("tf32", "tf32"): "high", ("tf32", "bf16"): "medium"}


def _settings() -> dict[str, Any]:
    found: dict[str, Any] = {FOLDER: _folder(), "the recursion limit": sys.getrecursionlimit()}
    found[INTERRUPTS] = tuple(signal.getsignal(number) for number in _INTERRUPTS)
    found[EXCEPTHOOK] = sys.excepthook
    found[VARIABLES] = numeric_variables()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_grad_enabled"):
        found |= {name: getattr(torch, read)() for name, (read, _) in _TORCH.items()}
        # in the middle of torch's own import there are none
        if hasattr(getattr(torch, "backends", None), "mkldnn"):
            found[PRECISION] = float32_precision()
    return found


def numeric_variables() -> dict[str, str]:
    """Return the environment variables that numbers depend on."""
    return {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}


def set_numeric_variables(before: Mapping[str, str]) -> None:
    """Set what ``numeric_variables`` returned, and remove those that were added since."""
    for name in numeric_variables().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def float32_precision() -> tuple[str, str]:
    """Return torch's precision of float32 products, on CUDA and in oneDNN.

    ``torch.get_float32_matmul_precision`` raises where the two differ, as ``lab.training.cpu`` lets them on AMD.
    """
    backends = sys.modules["torch"].backends
    return backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision


def set_float32_precision(precision: tuple[str, str]) -> None:
    """Set what ``float32_precision`` returned."""
    torch = sys.modules["torch"]
    # torch keeps a third setting, for its getters, which only this function changes
    torch.set_float32_matmul_precision(_NAMES.get(precision, "highest"))
    torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision = precision


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        # It was removed.
        return ""


def _set(name: str, value: Any) -> None:
    if name == FOLDER:
        os.chdir(value or "/")
    elif name == "the recursion limit":
        sys.setrecursionlimit(value)
    elif name == VARIABLES:
        set_numeric_variables(value)
    elif name == EXCEPTHOOK:
        sys.excepthook = value
    elif name == INTERRUPTS:
        # only the main thread may
        with suppress(ValueError, TypeError):
            for number, handler in zip(_INTERRUPTS, value, strict=True):
                signal.signal(number, handler)
    elif name == PRECISION:
        set_float32_precision(value)
    else:
        getattr(sys.modules["torch"], _TORCH[name][1])(value)

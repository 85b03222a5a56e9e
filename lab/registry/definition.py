"""The identity of a definition: a class, a function, and whatever they hold besides their source.

Two definitions of one name may differ in closures, in defaults, in the object that a method is bound to. All of it is
written down here, or refused.
"""

from __future__ import annotations

import bisect
import dis
import enum
import functools
import hashlib
import inspect
import json
import logging
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab.cache import file_digest, tree_digest
from lab.errors import LabError
from lab.registry.closure import closure_of
from lab.registry.component import is_definition
from lab.registry.modules import source_of_module
from lab.registry.places import STUDY, is_local, is_notebook
from lab.registry.source import short_hash

__all__ = ["fingerprint_of", "modules_of", "origin_of", "state_digest", "value_digest"]

MAX_DEPTH = 40
MAX_OBJECTS = 100_000
VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
CALLABLES = (functools.partial, types.MethodType, types.FunctionType, type, types.BuiltinFunctionType)


def origin_of(thing: Callable[..., Any]) -> str:
    """Return the ``"module:name"`` of a class or function; of a user-defined one, with a hash of all it is made of.

    >>> import torch
    >>> origin_of(torch.nn.Linear)
    'torch.nn.modules.linear:Linear'

    Raises:
        TypeError: its source cannot be read, or it holds something that cannot be written down.
        LabError: its file was changed after it was imported.
    """
    module, name = _home(_unwrapped(thing))
    if not is_local(module):
        digest = state_digest(thing)
        return f"{module}:{name}#{digest}" if digest else f"{module}:{name}"
    source = source_of_module(module)
    # The name of a study's module holds a hash of its content; the file's name is what a reader knows.
    label = source.path.name if source is not None and source.is_question else module
    parts = [state_digest(thing), closure_of(modules_of(thing)).fingerprints()]
    return f"{label}:{name}#{_short(parts)}"


def state_digest(thing: Any) -> str:
    """Return a hash of what a definition holds besides its source; empty for one that its source describes in full.

    Raises:
        TypeError: it holds something that cannot be written down.
    """
    found = _described(_Description().state, thing)
    return _short(found) if found else ""


def value_digest(value: Any) -> str:
    """Return a hash of any value: numbers, texts, containers, arrays, objects with their attributes.

    Raises:
        TypeError: it holds something that cannot be written down.
    """
    return _short(_described(_Description().of, value))


def _described(describe: Callable[[Any], Any], thing: Any) -> Any:
    try:
        return describe(thing)
    except RecursionError:
        raise TypeError(f"cannot be written down: {_shown(thing)} is nested too deeply") from None


def fingerprint_of(*things: Any) -> str:
    """Return a hash of definitions: their names, what they hold, and the source of every module that they are made of.

    A cache that keeps what some code made keeps this beside it.
    """
    names = [[*_home(thing), state_digest(thing)] for thing in things]
    return _short([closure_of(modules_of(*things)).fingerprints(), names])


def modules_of(*things: Any) -> dict[str, frozenset[str]]:
    """Return module → names in it, for definitions and all that they hold: the roots of a closure."""
    definitions: dict[int, Any] = {}
    for thing in things:
        _gather(thing, definitions, MAX_DEPTH)
    found: dict[str, set[str]] = {}
    for definition in definitions.values():
        if isinstance(definition, types.ModuleType):
            found.setdefault(definition.__name__, set())
            continue
        module, name = _home(definition)
        _refuse_namesake(definition, module)
        top = name.partition(".")[0]
        found.setdefault(module, set()).update(_read_by(definition.__code__) if top == "<lambda>" else {top})
    return {module: frozenset(names) for module, names in found.items()}


def _refuse_namesake(definition: Any, module: str) -> None:
    """Raise if a definition is not from the module that has its module's name now.

    Raises:
        LabError: another study has imported a module of the same name; the source of this one is not known any more.
    """
    function = definition if isinstance(definition, types.FunctionType) else None
    if isinstance(definition, type):
        functions = [each for value in vars(definition).values() for each in _functions_of(value)]
        # A class has no globals, but its methods do.
        function = next((each for each in functions if each.__module__ == module), None)
    loaded = sys.modules.get(module)
    # Only the user's modules can be replaced: two studies may have a file of the same name beside them.
    if function is None or loaded is None or function.__globals__ is vars(loaded) or not is_local(module):
        return
    if _is_typed(function):
        return
    file = function.__globals__.get("__file__")
    if function.__globals__.get("__name__") == module and file != loaded.__file__:
        raise LabError(
            f"'{module}' is another module by now than the one that {_home(definition)[1]} is from",
            where=f"{file}\n{loaded.__file__}",
            hint="two studies have a file of this name beside them; load this study again",
        )


def _read_by(code: types.CodeType) -> set[str]:
    """Return the names that the code of a lambda reads."""
    return {*code.co_names}.union(*(_read_by(item) for item in code.co_consts if isinstance(item, types.CodeType)))


def _texts_in(code: types.CodeType) -> set[str]:
    """Return the texts of some code that may be names of environment variables."""
    texts = {each for each in code.co_consts if isinstance(each, str) and each.isidentifier()}
    return texts.union(*(_texts_in(item) for item in code.co_consts if isinstance(item, types.CodeType)))


def _gather(thing: Any, found: dict[int, Any], depth: int) -> None:
    """Collect a definition and those that it wraps, is bound to, closed over or derived from; of a value, those in it.

    A method's globals are not followed, but in a notebook: its module's source says what they are.
    """
    if id(thing) in found or depth == 0:
        return
    inner: list[Any] = []
    if isinstance(thing, types.ModuleType):
        found[id(thing)] = thing
    if isinstance(thing, functools.partial):
        inner = [thing.func, *thing.args, *thing.keywords.values()]
    elif isinstance(thing, types.MethodType):
        inner = [thing.__func__, thing.__self__]
    elif isinstance(thing, CALLABLES):
        found[id(thing)] = thing
        if isinstance(thing, type):
            inner = [base for base in thing.__mro__[1:] if base is not object]
            own = list(vars(thing).values()) if _is_own(thing) else []
            inner += [each for value in own for each in _functions_of(value) or [value] if isinstance(each, CALLABLES)]
        elif isinstance(thing, types.FunctionType):
            inner = [*map(_content, thing.__closure__ or ()), *_globals_read(thing).values()]
            inner += filter(None, [getattr(thing, "__wrapped__", None)])
    elif isinstance(thing, Mapping):
        inner = list(thing.values())
    elif isinstance(thing, (list, tuple, set, frozenset)):
        inner = list(thing)
    elif hasattr(thing, "__dict__") and not isinstance(thing, types.ModuleType) and _is_own(type(thing)):
        inner = [type(thing), *vars(thing).values()]
    for item in inner:
        _gather(item, found, depth - 1)


def _is_own(kind: type) -> bool:
    return is_local(_home(kind)[0])


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        # The enclosing function binds this name later.
        return None


def _functions_of(value: Any) -> list[types.FunctionType]:
    """Return the functions behind a class attribute: a method of any kind, a property with its setter."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, functools.cached_property):
        value = value.func
    found = [value.fget, value.fset, value.fdel] if isinstance(value, property) else [value]
    return [each for each in found if isinstance(each, types.FunctionType)]


def _unwrapped(thing: Any) -> Any:
    while isinstance(thing, (functools.partial, types.MethodType)):
        thing = thing.func if isinstance(thing, functools.partial) else thing.__func__
    return thing if is_definition(thing) else type(thing)


def _home(thing: Any) -> tuple[str, str]:
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return str(module), str(name)


def _place(thing: Any) -> str:
    """Return module and name of a definition; the name of a study's module holds a hash, so an edit would count."""
    module, name = _home(thing)
    return f"{'study' if module.startswith((STUDY, '__main__')) else module}:{name}"


def _is_typed(thing: Any) -> bool:
    """Return whether a definition was typed into a notebook or an interpreter, so that no file says what it is."""
    if not _home(thing)[0].startswith("__main__"):
        return False
    code = getattr(thing, "__code__", None)
    in_file = code is None or os.path.isfile(code.co_filename)
    return not in_file or is_notebook()


def _globals_read(function: types.FunctionType) -> dict[str, Any]:
    """Return name → value of what a function reads of its notebook: other cells may define it anew at any time."""
    if not _is_typed(function):
        return {}
    names = sorted(_read_by(function.__code__) & function.__globals__.keys())
    return {name: function.__globals__[name] for name in names}


class _Description:
    """Plain JSON of the content of definitions and values; an object that was met before is a number."""

    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        # Python may give the id of a freed object to the next one.
        self._kept_alive: list[Any] = []

    def state(self, thing: Any) -> Any:
        """Return what a definition holds besides what its module's source says; empty if that is nothing."""
        if isinstance(thing, functools.partial):
            return {"partial": self.state(thing.func), "args": self.of(thing.args), "keywords": self.of(thing.keywords)}
        if isinstance(thing, types.MethodType):
            return {"method": thing.__func__.__qualname__, "self": self.of(thing.__self__)}
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        if isinstance(thing, type):
            return self._class(thing)
        if isinstance(thing, types.BuiltinFunctionType):
            owner = thing.__self__
            return {} if owner is None or isinstance(owner, types.ModuleType) else {"self": self.of(owner)}
        return {"object": self.of(thing)}

    def of(self, value: Any) -> Any:
        """Return plain JSON of any value."""
        if type(value) is str:
            return ["file", file_digest(Path(value))] if _names_file(value) else value
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, (float, complex, bytes, range)):
            return [type(value).__name__, repr(value)]
        if isinstance(value, enum.Enum):
            return ["enum", _place(type(value)), value.name, self.of(value.value)]
        if isinstance(value, Path):
            if value.is_dir():
                return ["folder", tree_digest(value)]
            return ["file", file_digest(value)] if value.is_file() else ["path", str(value)]
        if isinstance(value, types.ModuleType):
            return ["module", value.__name__]
        if isinstance(value, logging.Logger):
            # holds locks and open files, and nothing that is computed
            return ["logger", value.name]
        # An object may contain itself, and two equal objects are not one shared object.
        if id(value) in self._met:
            return ["as", self._met[id(value)]]
        self._met[id(value)] = len(self._met)
        self._kept_alive.append(value)
        # A data set or a model that is closed over would take minutes.
        if len(self._met) > MAX_OBJECTS:
            raise TypeError(f"{_shown(value)} holds too much to be written down")
        return self._whole(value)

    def _whole(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            # in its order, which layers and classes may be numbered by
            return ["mapping", *([self.of(key), self.of(item)] for key, item in list(value.items()))]
        if isinstance(value, (list, tuple)):
            return [type(value).__name__, *map(self.of, value)]
        if isinstance(value, (set, frozenset)):
            return ["set", *sorted(map(self.of, value), key=_text)]
        if isinstance(value, slice):
            return ["slice", *map(self.of, (value.start, value.stop, value.step))]
        if typing.get_origin(value) is not None:
            return ["type", repr(value)]
        if isinstance(value, CALLABLES):
            return ["definition", _place(_unwrapped(value)), self.state(value)]
        if type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "to_numpy"):
            # A frame remembers which of its columns were looked at.
            return ["table", *_table(value)]
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return ["array", str(value.dtype), list(value.shape), hashlib.sha256(_bytes_of(value)).hexdigest()]
        if isinstance(value, types.MethodWrapperType):
            # attrs' frozen classes read `object.__setattr__.__get__`
            return ["method", value.__name__, self.of(value.__self__)]
        kind = _place(type(value))
        # torch.dtype and torch.device have no attributes, and their repr says all.
        if type(value).__module__ == "torch" and not hasattr(value, "__dict__"):
            return [kind, repr(value)]
        state = _state_of(value)
        if state is None:
            if " at 0x" in repr(value) or isinstance(value, types.GeneratorType):
                raise TypeError(f"cannot be written down: {_shown(value)}; give a class, a function or plain values")
            return [kind, repr(value)]
        return [kind, self._class(type(value)), [[name, self.of(state[name])] for name in sorted(state, key=str)]]

    def _function(self, function: types.FunctionType) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            # super() closes over the class itself, which is described already.
            if name != "__class__":
                found[f"closure {name}"] = self.of(_content(cell))
        # A function that its module's source does not name is described by its bytecode.
        if _is_inner(function) or _is_typed(function):
            found["code"] = _code(function.__code__, function.__doc__)
            found["defaults"] = self.of([function.__defaults__ or (), function.__kwdefaults__ or {}])
            attributes = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
            if attributes:
                found["attributes"] = self.of(attributes)
        for name, value in _globals_read(function).items():
            found[f"global {name}"] = self.of(value)
        if _is_typed(function) and _read_by(function.__code__) & {"environ", "getenv"}:
            found["environment"] = {name: os.environ.get(name) for name in sorted(_texts_in(function.__code__))}
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            found["wrapped"] = self.of(wrapped)
        return found

    def _class(self, kind: type) -> dict[str, Any]:
        """Return the closures of a user-defined class's methods, and its plain attributes if they were computed."""
        if not _is_own(kind):
            return {}
        found: dict[str, Any] = {}
        # The attributes of a class that is written in a module are part of that module's source.
        computed = "<locals>" in kind.__qualname__ or _is_typed(kind) or not _is_written(kind)
        for name, value in list(vars(kind).items()):
            # Python 3.14 computes annotations when they are asked for
            functions = [] if name.startswith("__annotat") else _functions_of(value)
            for number, function in enumerate(functions):
                found[f"{name} {number}" if number else name] = self._function(function)
            if computed and not functions and not name.startswith(("__", "_abc_")) and _is_content(value):
                found[name] = ["value", self.of(value)]
        found |= {f"base {base.__qualname__}": self._class(base) for base in kind.__bases__}
        return {name: state for name, state in found.items() if state}


def _names_file(text: str) -> bool:
    """Return whether a text looks like the name of a file, and there is one."""
    # Most texts are no paths; asking the file system for each would be slow.
    if not (os.sep in text or "." in text) or len(text) > 4096 or "\0" in text or "\n" in text:
        return False
    try:
        return os.path.isfile(text)
    except (OSError, ValueError):
        return False


def _is_inner(function: types.FunctionType) -> bool:
    """Return whether a function cannot be found by its name: a lambda, a nested function, one with replaced code."""
    if function.__name__ == "<lambda>" or "<locals>" in function.__qualname__:
        return True
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        # getattr could run a descriptor of the user's.
        found = inspect.getattr_static(found, part, None)
    return all(each.__code__ is not function.__code__ for each in _functions_of(found))


def _is_written(kind: type) -> bool:
    """Return whether a class is written in its module under its name, not made by ``type(...)``."""
    source = source_of_module(kind.__module__)
    return source is None or re.search(rf"class\s+{kind.__name__}\b", source.text) is not None


def _is_content(value: Any) -> bool:
    """Return whether a class attribute says what its class does: a value, or a class or function that it uses."""
    descriptors = (property, functools.cached_property, types.MemberDescriptorType, types.GetSetDescriptorType)
    return isinstance(value, CALLABLES) or not (callable(value) or isinstance(value, descriptors))


def _code(code: types.CodeType, doc: str | None) -> Any:
    """Return a code object as JSON, without file, lines and docstring."""
    if code.co_name == "__hash__" and code.co_filename.startswith("<attrs generated"):
        # attrs writes a hash of the class's name into it, which is salted per process
        return ["hash", list(code.co_names)]
    consts = []
    for item in code.co_consts:
        # String hashes are salted per process, so the order of a set differs from run to run.
        plain = sorted(map(repr, item)) if isinstance(item, frozenset) else item
        consts.append(_code(item, None) if isinstance(item, types.CodeType) else repr(plain))
    # Python stores the docstring as the first constant of the code.
    if doc is not None and consts and consts[0] == repr(doc):
        consts[0] = repr(None)
    taken = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & VARIADIC]
    return [_instructions(code), consts, list(code.co_names), list(code.co_varnames), list(code.co_freevars), taken]


def _instructions(code: types.CodeType) -> list[Any]:
    """Return bytecode as names and numbers, with jumps counted in instructions.

    Python 3.11 and later call a name that the same cell imports in another way than one of an earlier cell.
    """
    steps = [each for each in dis.get_instructions(code) if each.opname not in ("CACHE", "NOP", "PRECALL", "PUSH_NULL")]
    offsets = [each.offset for each in steps]
    found: list[Any] = []
    for each in steps:
        if each.opcode in dis.hasjrel or each.opcode in dis.hasjabs:
            value: Any = bisect.bisect_left(offsets, each.argval)
        else:
            value = each.argval if each.opcode in dis.hasname else each.arg
        found.append([each.opname.replace("LOAD_METHOD", "LOAD_ATTR"), value])
    return found


def _state_of(value: Any) -> Any:
    """Return the attributes of an object, in ``__dict__`` and slots; None if it keeps them elsewhere."""
    held = dict(vars(value)) if hasattr(value, "__dict__") else {}
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        # __slots__ may be one name or several.
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name) and name not in ("__weakref__", "__dict__"):
                held[name] = getattr(value, name)
    return held if held or hasattr(value, "__dict__") else None


def _bytes_of(value: Any) -> bytes:
    if hasattr(value, "detach"):
        torch = sys.modules["torch"]
        whole = value.detach().cpu()
        # A sparse tensor has no contiguous storage.
        whole = whole if whole.layout is torch.strided else whole.to_dense()
        # NumPy has no bfloat16, so the bytes are viewed as integers first.
        value = whole.contiguous().reshape(-1).view(torch.uint8).numpy()
    return bytes(value.tobytes())


def _table(table: Any) -> list[Any]:
    """Return the types, names and categories of a pandas frame, series or index, and a hash of its rows."""
    columns = [table[name] for name in table.columns] if table.ndim == 2 else [table]
    names = table.columns.tolist() if table.ndim == 2 else table.name
    types_of = [[str(each.dtype), repr(list(getattr(each.dtype, "categories", ())))] for each in columns]
    try:
        rows = sys.modules["pandas"].util.hash_pandas_object(table, index=True)
    except TypeError:
        what = f"a {type(table).__name__} whose cells hold lists or other containers"
        raise TypeError(f"cannot be written down: {what}; give columns of plain values") from None
    return [repr(names), types_of, hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}…"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    return short_hash(_text(value), 12)

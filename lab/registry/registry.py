"""Registries: the components of one kind, by name."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import attrs

from lab.errors import PluginError, UnknownNameError, describe_error, place_of
from lab.registry.component import Preset
from lab.streams import stdout_to_stderr

__all__ = ["DISTRIBUTION", "Entry", "Plugin", "Registry", "RegistrySpec", "load_object"]

DISTRIBUTION = "lab-ablation"
"""The installed package that carries the kernel and the built-in plugins."""


@attrs.frozen
class RegistrySpec:
    """The description of a registry; a plugin gives one to open a registry of its own.

    Attributes:
        name: plural, and the hook's name after ``lab_``: ``"attentions"`` is filled through ``lab_attentions``.
        singular: one component of this kind, for messages.
        contract: ``"module:Class"`` whose annotation marks a parameter as a component of this kind; may be empty.
        doc: one sentence for ``lab list``.
        call_arguments: names that the caller supplies besides the data's facts, in the order of the call.
        positional: how many arguments the caller passes by position, whatever the factory calls them.
        calls_instances: whether a class is built first and its instance is called, as losses are.
    """

    name: str
    singular: str
    contract: str = ""
    doc: str = ""
    call_arguments: tuple[str, ...] = ()
    positional: int = 0
    calls_instances: bool = False

    @property
    def hook(self) -> str:
        """The hook through which plugins fill this registry."""
        return f"lab_{self.name}"

    def accepts(self, annotation: Any) -> bool:
        """Return whether ``annotation`` is this registry's contract, without importing it: one in use is loaded."""
        module, _, name = self.contract.partition(":")
        # An annotation can only be the contract if the contract's module is loaded.
        owner = sys.modules.get(module)
        return owner is not None and annotation is not None and getattr(owner, name, None) is annotation

    def unfilled_parameters(self, factory: Callable[..., Any], needs: Iterable[str]) -> list[str]:
        """Return the required parameters that the data must fill: those that the caller does not pass."""
        positional = 0 if self.calls_instances and isinstance(factory, type) else self.positional
        return [name for name in list(needs)[positional:] if name not in self.call_arguments]


@attrs.define(eq=False)
class Plugin:
    """The origin of components.

    Attributes:
        name: the name of its entry point.
        distribution: the installed package that carries it.
        version: that package's version.
        status: ``loaded``, ``failed`` or ``disabled``.
        cause: why it is not loaded.
        seconds: duration of its import.
        provides: kind → names.
        opens: registries that it opened.
        package: the top-level package that its entry point names; empty for a study file.
    """

    name: str
    distribution: str
    version: str
    module: ModuleType | None = None
    status: str = "loaded"
    cause: str = ""
    seconds: float = 0.0
    provides: dict[str, list[str]] = attrs.field(factory=dict)
    opens: list[str] = attrs.field(factory=list)
    package: str = ""

    @property
    def is_local(self) -> bool:
        """True for a study file, whose components carry the hash of their own source."""
        return self.module is not None and self.module.__name__.startswith("lab_experiment")

    @property
    def is_builtin(self) -> bool:
        """True if it is part of ``lab``'s own distribution."""
        return self.distribution == DISTRIBUTION

    @property
    def origin(self) -> str:
        """The package that carries it, with its version."""
        return f"{self.distribution} {self.version}".strip()

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


@attrs.frozen
class Entry:
    """One registered component."""

    spec: RegistrySpec
    name: str
    target: str | Preset | Callable[..., Any]
    plugin: Plugin

    @property
    def kind(self) -> str:
        """Its registry's name."""
        return self.spec.name

    @property
    def label(self) -> str:
        """Its name in messages: ``architecture 'seq2seq_rnn' (lab_seq2seq 0.1.0)``."""
        return f"{self.spec.singular} '{self.name}' ({self.plugin})"

    @property
    def qualified_name(self) -> str:
        """``plugin:name``, accepted wherever the name is."""
        return f"{self.plugin.name}:{self.name}"

    @property
    def is_loaded(self) -> bool:
        """True if ``load`` has nothing to import."""
        return not isinstance(self.target, str) or self.target.partition(":")[0] in sys.modules

    def load(self) -> Any:
        """Return the object itself, imported now if it was registered by its path."""
        if not isinstance(self.target, str):
            return self.target
        try:
            return load_object(self.target, self.label)
        except PluginError as error:
            registered = self._registered()
            where = f"{error.where}, registered in {registered}" if registered else error.where
            raise PluginError(error.what, where=where, hint=error.hint) from error.__cause__

    def _registered(self) -> str:
        """Return file and line where the path of this component is written, or where its hook begins."""
        hook = getattr(self.plugin.module, self.spec.hook, None)
        try:
            lines, first = inspect.getsourcelines(inspect.unwrap(hook))  # type: ignore[arg-type]
        except (TypeError, OSError, ValueError):
            return place_of(hook)
        # A path that is put together is not written anywhere; its name may be.
        for text in (str(self.target), self.name):
            for number, line in enumerate(lines, first):
                if f'"{text}"' in line or f"'{text}'" in line:
                    return f"{inspect.getsourcefile(inspect.unwrap(hook))}, line {number}"  # type: ignore[arg-type]
        return place_of(hook)


def load_object(path: str, owner: str) -> Any:
    """Import ``"module:attribute"``.

    Raises:
        PluginError: the module cannot be imported or has no such attribute; the cause is kept.
    """
    module, _, attribute = path.partition(":")
    try:
        found: Any = sys.modules.get(module)
        if found is None:
            # Libraries print while they are imported; stdout is for the answer alone.
            with stdout_to_stderr():
                found = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
        return found
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # A module that calls sys.exit or pytest.skip while it is imported may not end the command.
        raise PluginError(f"cannot load '{path}'", where=owner, hint=describe_error(error)) from error


class Registry(Mapping[str, Entry]):
    """The components of one kind. Names are unique; ``plugin:name`` is always accepted.

    Args:
        spec: its description.
        unavailable_plugins: gives one line for every plugin that is not loaded, for messages.
    """

    def __init__(self, spec: RegistrySpec, unavailable_plugins: Callable[[], Iterable[str]] = tuple) -> None:
        self.spec = spec
        self._unavailable_plugins = unavailable_plugins
        self._entries: dict[str, list[Entry]] = {}

    def add(self, entry: Entry) -> None:
        """Register a component; a name that is taken becomes ambiguous: using it is an error that names both owners."""
        self._entries.setdefault(entry.name, []).append(entry)

    def remove_plugin(self, plugin: Plugin) -> None:
        """Remove everything that a plugin registered."""
        kept = {name: [e for e in entries if e.plugin is not plugin] for name, entries in self._entries.items()}
        self._entries = {name: entries for name, entries in kept.items() if entries}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.candidates(name))

    def __getitem__(self, name: str) -> Entry:
        """Return the component called ``name``.

        Raises:
            UnknownNameError: no such name; the message gives close matches and the plugins that are not loaded.
            PluginError: two plugins own the name; the message says how to choose.
        """
        candidates = self.candidates(name)
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            owners = {known: f"{known} ({entries[0].plugin})" for known, entries in self._entries.items()}
            lines = [*self._unavailable_plugins(), f"all {self.spec.name}: lab list {self.spec.name}"]
            raise UnknownNameError.among(self.spec.singular, name, owners, hint="\n".join(lines))
        raise PluginError(
            f"{self.spec.singular} '{name}' is registered by {' and '.join(str(e.plugin) for e in candidates)}",
            hint="say which: " + " or ".join(entry.qualified_name for entry in candidates),
        )

    def entries(self) -> list[Entry]:
        """Return every component, by name."""
        return [entry for name in self for entry in self._entries[name]]

    def candidates(self, name: str) -> list[Entry]:
        """Return all components that ``name`` or ``plugin:name`` may mean; several if plugins share the name."""
        if ":" not in name:
            return self._entries.get(name, [])
        plugin, _, plain = name.partition(":")
        return [entry for entry in self._entries.get(plain, []) if entry.plugin.name == plugin]

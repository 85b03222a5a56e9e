"""Registries: the components of one kind, by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from lab.errors import PluginError, UnknownNameError, describe_error
from lab.registry.component import Preset
from lab.streams import stdout_to_stderr

if TYPE_CHECKING:
    from lab.registry.plugins import Plugin

__all__ = ["Entry", "Registry", "RegistrySpec", "close_matches", "load_object"]


@attrs.frozen
class RegistrySpec:
    """The description of a registry; a plugin gives one to open a registry of its own.

    Attributes:
        name: plural, and the hook's name after ``lab_``: ``"attentions"`` is filled through ``lab_attentions``.
        singular: one component of this kind, for messages.
        contract: ``"module:Class"`` whose annotation marks a parameter as a component of this kind; may be empty.
        doc: one sentence for ``lab list``.
        given: names that the caller supplies besides the data's facts, in the order of the call.
    """

    name: str
    singular: str
    contract: str = ""
    doc: str = ""
    given: tuple[str, ...] = ()

    @property
    def hook(self) -> str:
        """The hook through which plugins fill this registry."""
        return f"lab_{self.name}"

    def accepts(self, annotation: Any) -> bool:
        """Whether ``annotation`` is this registry's contract. Nothing is imported: a contract in use is loaded."""
        module, _, name = self.contract.partition(":")
        owner = sys.modules.get(module)
        return owner is not None and annotation is not None and getattr(owner, name, None) is annotation


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
        """How messages name it: ``architecture 'seq2seq_rnn' (lab_seq2seq 0.1.0)``."""
        return f"{self.spec.singular} '{self.name}' ({self.plugin})"

    @property
    def qualified_name(self) -> str:
        """``plugin:name``, accepted wherever the name is."""
        return f"{self.plugin.name}:{self.name}"

    @property
    def is_loaded(self) -> bool:
        """Return whether ``load`` has nothing to import."""
        return not isinstance(self.target, str) or self.target.partition(":")[0] in sys.modules

    def load(self) -> Any:
        """The object itself, imported now if it was registered by its path."""
        if not isinstance(self.target, str):
            return self.target
        return load_object(self.target, self.label)


def load_object(path: str, owner: str) -> Any:
    """Import ``"module:attribute"``.

    Raises:
        PluginError: the module cannot be imported or has no such attribute; the cause is kept.
    """
    module, _, attribute = path.partition(":")
    try:
        found: Any = sys.modules.get(module)
        if found is None:
            with stdout_to_stderr():
                found = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
        return found
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"cannot load '{path}'", where=owner, hint=describe_error(error)) from error


class Registry(Mapping[str, Entry]):
    """The components of one kind. Names are unique; ``plugin:name`` is always accepted."""

    def __init__(self, spec: RegistrySpec) -> None:
        self.spec = spec
        self._entries: dict[str, list[Entry]] = {}
        self.missing_from: Callable[[], Iterable[str]] = tuple

    def add(self, entry: Entry) -> None:
        """Register a component; a name that is taken becomes ambiguous: using it is an error that names both owners."""
        self._entries.setdefault(entry.name, []).append(entry)

    def remove_plugin(self, plugin: Plugin) -> None:
        """Take away everything that a plugin registered."""
        kept = {name: [e for e in entries if e.plugin is not plugin] for name, entries in self._entries.items()}
        self._entries = {name: entries for name, entries in kept.items() if entries}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.candidates(name))

    def __getitem__(self, name: str) -> Entry:
        """The component called ``name``.

        Raises:
            UnknownNameError: no such name; the message gives close matches and what could not load.
            PluginError: two plugins own the name; the message says how to choose.
        """
        candidates = self.candidates(name)
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            raise self._unknown(name)
        owners = " and ".join(str(entry.plugin) for entry in candidates)
        raise PluginError(
            f"{self.spec.singular} '{name}' is registered by {owners}",
            hint="say which: " + " or ".join(entry.qualified_name for entry in candidates),
        )

    def entries(self) -> list[Entry]:
        """Every component, by name."""
        return [entry for name in self for entry in self._entries[name]]

    def candidates(self, name: str) -> list[Entry]:
        """Every component that ``name``, or ``plugin:name``, may mean; more than one where plugins share a name."""
        if ":" not in name:
            return self._entries.get(name, [])
        plugin, _, plain = name.partition(":")
        return [entry for entry in self._entries.get(plain, []) if entry.plugin.name == plugin]

    def _unknown(self, name: str) -> UnknownNameError:
        close = [f"{match} ({self._entries[match][0].plugin})" for match in close_matches(name, self)]
        lines = [f"did you mean: {' or '.join(close)}?"] if close else []
        lines += self.missing_from()
        lines.append(f"all {self.spec.name}: lab list {self.spec.name}")
        return UnknownNameError(f"unknown {self.spec.singular} '{name}'", hint="\n".join(lines))


def close_matches(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names most like ``name``, best first.

    >>> close_matches("hiden_size", ["hidden_size", "layers"])
    ['hidden_size']
    """
    import difflib

    return difflib.get_close_matches(name, list(dict.fromkeys(names)), n=count, cutoff=0.6)

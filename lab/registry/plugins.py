"""Plugins: discovery by entry point, isolation, provenance, off switches."""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, TypeVar

import attrs
import pluggy

from lab import plugin_api
from lab.errors import LabError, PluginError, UnknownNameError, error_text
from lab.registry import hookspecs
from lab.registry.component import Preset
from lab.registry.discovery import EntryPoint, find_entry_points
from lab.registry.imports import watch_reads
from lab.registry.registry import Entry, Registry, RegistrySpec, close_matches
from lab.streams import stdout_to_stderr

__all__ = ["Catalog", "Plugin", "load_catalog"]

GROUP = "lab"
DISTRIBUTION = "lab"

ItemT = TypeVar("ItemT")


@attrs.define(eq=False)
class Plugin:
    """Where components come from.

    Attributes:
        name: the name of its entry point.
        distribution: the installed package that carries it.
        version: that package's version.
        status: ``loaded``, ``failed`` or ``disabled``.
        cause: why it is not loaded.
        seconds: what its import took.
        provides: kind → names.
        opens: registries that it opened.
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

    @property
    def is_local(self) -> bool:
        """Whether it is a study file, whose components carry the hash of their own source."""
        return self.module is not None and self.module.__name__.startswith("lab_experiment")

    @property
    def is_builtin(self) -> bool:
        """Whether it is part of ``lab``'s own distribution."""
        return self.distribution == DISTRIBUTION

    @property
    def origin(self) -> str:
        """The package that carries it, with its version."""
        return f"{self.distribution} {self.version}"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def _complain(message: str) -> None:
    print(message, file=sys.stderr)


class Catalog:
    """Everything that plugins offer: the registries, the plugins themselves, and their hooks.

    Args:
        complain: told, in two lines, of every plugin that cannot be used.
        strict: raise instead.

    Attributes:
        guard: the context in which a component's module is imported; gets the component's label.
    """

    def __init__(self, *, complain: Callable[[str], None] = _complain, strict: bool = False) -> None:
        self.complain, self.strict = complain, strict
        self.guard: Callable[[str], AbstractContextManager[Any]] = nullcontext
        self.plugins: dict[str, Plugin] = {}
        self.registries: dict[str, Registry] = {}
        self._manager = pluggy.PluginManager("lab")
        self._manager.add_hookspecs(hookspecs)
        for spec in hookspecs.KERNEL_REGISTRIES:
            self._open(spec)

    # --- loading ------------------------------------------------------------------------------------------------------

    def load(self, points: Iterable[EntryPoint], disabled: Callable[[Plugin], str]) -> None:
        """Import and register every plugin whose entry point is given, built-in ones first.

        Args:
            points: entry points of the group ``lab``.
            disabled: gives the reason why a plugin is switched off, or an empty string.
        """
        for point in sorted(points, key=lambda point: (point.distribution != DISTRIBUTION, point.name)):
            plugin = Plugin(point.name, point.distribution, point.version)
            if plugin.name in self.plugins:
                self.plugins[f"{plugin.name} ({plugin.distribution})"] = plugin
                self._fail(plugin, PluginError(f"{self.plugins[plugin.name].origin} is called '{plugin.name}' too"))
                continue
            self.plugins[plugin.name] = plugin
            plugin.cause = disabled(plugin)
            if plugin.cause:
                plugin.status = "disabled"
            else:
                self._guard(plugin, self._import, point)
        self._fill()

    def add_module(self, module: Any, name: str, version: str = "") -> Plugin:
        """Register a module of one's own (an experiment file, a test) as a plugin.

        Raises:
            PluginError: it breaks a contract.
        """
        plugin = Plugin(name, distribution=name, version=version)
        self.plugins[name] = plugin
        self._register(plugin, module)
        self._open_registries(plugin)
        self._add_specs()
        self._check_hooks(plugin)
        self._fill_registries(plugin)
        return plugin

    def remove(self, name: str) -> None:
        """Forget a plugin that ``add_module`` registered, if there is one."""
        plugin = self.plugins.pop(name, None)
        if plugin is not None:
            for registry in self.registries.values():
                registry.remove_plugin(plugin)
            self._manager.unregister(plugin.module)

    def _import(self, plugin: Plugin, point: EntryPoint) -> None:
        started = time.perf_counter()
        try:
            module = point.load()
        finally:
            plugin.seconds = time.perf_counter() - started
        self._register(plugin, module)

    def _register(self, plugin: Plugin, module: ModuleType) -> None:
        _check_api(getattr(module, "plugin_api", None))
        for name in dir(module):
            if self._manager.parse_hookimpl_opts(module, name) is not None:
                self._check_arguments(name, getattr(module, name))
        try:
            self._manager.register(module, plugin.name)
        except ValueError as error:
            raise PluginError(str(error)) from error
        plugin.module = module

    def _check_arguments(self, hook: str, function: Callable[..., Any]) -> None:
        """Refuse arguments that a hook does not have; a hook that is not known yet is checked when it is."""
        caller = getattr(self._manager.hook, hook, None)
        if caller is None or caller.spec is None:
            return
        known = caller.spec.argnames
        asked = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise PluginError(f"{hook} has no argument '{unknown[0]}'; it has: {', '.join(known) or 'none'}")

    def _fill(self) -> None:
        for plugin in self._loaded():
            self._guard(plugin, self._open_registries)
        self._add_specs()
        for step in (self._check_hooks, self._fill_registries):
            for plugin in self._loaded():
                self._guard(plugin, step)

    def _fill_registries(self, plugin: Plugin) -> None:
        for registry in self.registries.values():
            self._fill_one(plugin, registry)

    def _open_registries(self, plugin: Plugin) -> None:
        for spec in _checked_list("lab_registries", self._call(plugin, "lab_registries") or (), RegistrySpec):
            if spec.name in self.registries:
                raise PluginError(f"there is a registry '{spec.name}' already")
            self._open(spec)
            plugin.opens.append(spec.name)

    def _open(self, spec: RegistrySpec) -> None:
        self.registries[spec.name] = Registry(spec)
        self.registries[spec.name].missing_from = self.absences

    def _add_specs(self) -> None:
        """Give every registry that was opened its hook; plugins that ask that hook for arguments are left out."""
        for spec in [registry.spec for registry in self.registries.values()]:
            caller = getattr(self._manager.hook, spec.hook, None)
            if caller is None or not caller.has_spec():
                for plugin in self._loaded():
                    self._guard(plugin, self._refuse_arguments, spec.hook)
                self._add_spec(spec)

    def _refuse_arguments(self, plugin: Plugin, hook: str) -> None:
        for implementation in self._implementations(plugin, hook):
            if implementation.argnames:
                raise PluginError(f"{hook} has no argument '{implementation.argnames[0]}'; it has: none")

    def _add_spec(self, spec: RegistrySpec) -> None:
        def hook() -> Any:
            """Filled in below."""

        hook.__name__, hook.__doc__ = spec.hook, spec.doc
        holder = ModuleType(f"lab_registry_{spec.name}")
        setattr(holder, spec.hook, hookspecs.hookspec(hook))
        self._manager.add_hookspecs(holder)

    def _check_hooks(self, plugin: Plugin) -> None:
        known = [name for name in vars(self._manager.hook) if getattr(self._manager.hook, name).has_spec()]
        for caller in self._manager.get_hookcallers(plugin.module) or ():
            if not caller.has_spec():
                plain = [name.removeprefix("lab_") for name in known]
                close = [f"lab_{name}" for name in close_matches(caller.name.removeprefix("lab_"), plain)]
                hint = f"did you mean: {' or '.join(close)}?" if close else f"hooks: {', '.join(sorted(known))}"
                raise PluginError(f"there is no hook '{caller.name}'; {hint}")
            if any(found.wrapper or found.hookwrapper for found in self._implementations(plugin, caller.name)):
                raise PluginError(f"{caller.name} is a wrapper; a plugin of lab answers for itself alone")

    def _fill_one(self, plugin: Plugin, registry: Registry) -> None:
        components = self._call(plugin, registry.spec.hook)
        if components is None:
            return
        for name, target in _checked_mapping(registry.spec.hook, components).items():
            entry = Entry(registry.spec, _checked_name(name, registry), _checked_target(name, target, registry), plugin)
            self._refuse_clash(registry, entry)
            registry.add(entry)
        plugin.provides[registry.spec.name] = sorted(components)

    def _refuse_clash(self, registry: Registry, entry: Entry) -> None:
        if entry.name in registry:
            owners = [other.plugin for other in registry.entries() if other.name == entry.name]
            if owners[0].is_builtin or owners[0] is entry.plugin:
                raise PluginError(f"{registry.spec.singular} '{entry.name}' belongs to {owners[0]} already")
            self.complain(
                f"lab: {registry.spec.singular} '{entry.name}' is registered by {owners[0]} and by {entry.plugin}\n"
                f"  say which: {owners[0].name}:{entry.name} or {entry.qualified_name}"
            )

    # --- isolation ----------------------------------------------------------------------------------------------------

    def _guard(self, plugin: Plugin, action: Callable[..., None], *arguments: Any) -> None:
        """Run one step of loading; a plugin that fails in it is unregistered whole and told of."""
        try:
            with stdout_to_stderr():
                action(plugin, *arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # pytest.skip, CancelledError and their like end no command
            self._fail(plugin, error)

    def _fail(self, plugin: Plugin, error: BaseException) -> None:
        cause = _describe(error)
        if self.strict:
            raise PluginError(f"plugin {plugin} could not be loaded", where=plugin.origin, hint=cause) from error
        self.complain(f"lab: plugin {plugin} could not be loaded and is left out\n  {cause}")
        plugin.status, plugin.cause, plugin.provides = "failed", cause, {}
        for name in plugin.opens:
            del self.registries[name]
            for other in self.plugins.values():
                other.provides.pop(name, None)
        for registry in self.registries.values():
            registry.remove_plugin(plugin)
        if plugin.module is not None:
            self._manager.unregister(plugin.module)
            plugin.module = None

    def absences(self) -> list[str]:
        """One line for every plugin that is installed and not there: its components may be what is looked for."""
        return [
            f"{'could not load' if plugin.status == 'failed' else 'switched off'}: {plugin} ({plugin.cause})"
            for plugin in self.plugins.values()
            if plugin.status != "loaded"
        ]

    def _loaded(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins.values() if plugin.status == "loaded"]

    # --- use ----------------------------------------------------------------------------------------------------------

    @property
    def switched_off(self) -> list[str]:
        """Names of the plugins that were switched off."""
        return [plugin.name for plugin in self.plugins.values() if plugin.status == "disabled"]

    def registry(self, kind: str) -> Registry:
        """The registry called ``kind``, by its plural or singular name.

        Raises:
            UnknownNameError: there is no such kind.
        """
        for registry in self.registries.values():
            if kind in (registry.spec.name, registry.spec.singular):
                return registry
        close = close_matches(kind, self.registries)
        hint = f"did you mean: {' or '.join(close)}?\n" if close else ""
        raise UnknownNameError(f"unknown kind '{kind}'", hint=f"{hint}kinds: {', '.join(self.registries)}")

    def find(self, name: str) -> list[Entry]:
        """Components called ``name`` in any registry."""
        return [entry for registry in self.registries.values() for entry in registry.candidates(name)]

    def call(
        self, hook: str, check: Callable[[str, Any], Any] = lambda hook, result: result, **arguments: Any
    ) -> list[tuple[Plugin, Any]]:
        """Call a hook of every plugin, in the order of loading; a plugin that raises is told of and left out.

        Args:
            hook: its name.
            check: called with the hook and a result; gives the result or raises.
            arguments: what the hook is told.

        Returns:
            (plugin, result) of each implementation that gave something.
        """
        results: list[tuple[Plugin, Any]] = []
        for plugin in self._loaded():
            if not self._implementations(plugin, hook):
                continue
            try:
                with stdout_to_stderr():
                    result = self._call(plugin, hook, **arguments)
                if result is not None:
                    results.append((plugin, check(hook, result)))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if self.strict:
                    raise PluginError(f"plugin {plugin} failed in {hook}", hint=_describe(error)) from error
                self.complain(f"lab: plugin {plugin} failed in {hook}\n  {_describe(error)}")
        return results

    def gather(self, hook: str, kind: type[ItemT], **arguments: Any) -> list[tuple[Plugin, list[ItemT]]]:
        """Call a hook whose implementations give lists of ``kind``; one that gives anything else is told of."""
        return self.call(hook, lambda hook, result: _checked_list(hook, result, kind), **arguments)

    def collect(self, hook: str) -> dict[str, Any]:
        """Merge the dictionaries that a hook gives; the first plugin to name a thing keeps it."""
        return {name: value for name, (_, value) in self.collect_owned(hook).items()}

    def collect_owned(self, hook: str, taken: Iterable[str] = ()) -> dict[str, tuple[Plugin, Any]]:
        """As ``collect``, with the owners: name → (plugin, value). Names that are ``taken`` are the kernel's."""
        found: dict[str, tuple[Plugin, Any]] = {}
        for plugin, result in self.call(hook, _checked_mapping):
            for name, value in result.items():
                owner = "lab" if name in taken else str(found[name][0]) if name in found else ""
                if owner:
                    message = f"lab: plugin {plugin}: '{name}' of {hook} is left out\n  it belongs to {owner} already"
                    self.complain(message)
                else:
                    found[name] = (plugin, value)
        return found

    def _call(self, plugin: Plugin, hook: str, **arguments: Any) -> Any:
        for implementation in self._implementations(plugin, hook):
            return implementation.function(*(arguments[name] for name in implementation.argnames))
        return None

    def _implementations(self, plugin: Plugin, hook: str) -> list[pluggy.HookImpl]:
        """A plugin's implementation of a hook: one, or none."""
        caller = getattr(self._manager.hook, hook, None)
        found = caller.get_hookimpls() if caller is not None else ()
        return [implementation for implementation in found if implementation.plugin is plugin.module]


def load_catalog(
    *,
    without: Sequence[str] = (),
    only: Sequence[str] | None = None,
    strict: bool = False,
    complain: Callable[[str], None] = _complain,
) -> Catalog:
    """Find and load every installed plugin.

    Args:
        without: names of plugins to leave out, besides ``LAB_DISABLE_PLUGINS`` (names with commas) and, if
            ``LAB_DISABLE_THIRD_PARTY`` is 1, all that do not belong to ``lab`` itself.
        only: if given, third-party plugins that are not named here are left out.
        strict: raise at the first plugin that cannot be loaded.
    """
    from_environment = os.environ.get("LAB_DISABLE_PLUGINS", "").split(",")
    switched_off = {*without, *(name.strip() for name in from_environment)}
    no_third_party = os.environ.get("LAB_DISABLE_THIRD_PARTY") == "1"

    def disabled(plugin: Plugin) -> str:
        if plugin.name in switched_off or plugin.distribution in switched_off - {DISTRIBUTION}:
            return "switched off by name"
        if no_third_party and not plugin.is_builtin:
            return "switched off by LAB_DISABLE_THIRD_PARTY"
        if only is not None and not plugin.is_builtin and not {plugin.name, plugin.distribution} & {*only}:
            return "not among --only-plugins"
        return ""

    watch_reads()
    catalog = Catalog(strict=strict, complain=complain)
    catalog.load(find_entry_points(GROUP), disabled)
    named = [*without, *(only or ())]
    unknown = [name for name in named if not any(name in (p.name, p.distribution) for p in catalog.plugins.values())]
    for name in unknown:
        close = close_matches(name, catalog.plugins)
        hint = f"did you mean: {' or '.join(close)}?" if close else "installed plugins: lab plugins"
        raise UnknownNameError(f"unknown plugin '{name}'", hint=hint)
    return catalog


def _describe(error: BaseException) -> str:
    """An error in one line, with where it was raised unless the message says it."""
    if isinstance(error, LabError):
        return " ".join(str(error).split())
    import traceback

    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    where = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    text = " ".join(error_text(error).split())
    described = f"{type(error).__name__}{': ' if text else ''}{text}{'' if isinstance(error, SyntaxError) else where}"
    if isinstance(error, (Exception, SystemExit)):
        return described
    return f"{described}; a plugin that cannot be used should raise ImportError"


def _checked_mapping(hook: str, result: Any) -> Mapping[str, Any]:
    if not isinstance(result, Mapping):
        raise PluginError(f"{hook} must return a dictionary, not {type(result).__name__}")
    return result


def _checked_list(hook: str, result: Any, kind: type[ItemT]) -> list[ItemT]:
    items = result if isinstance(result, (list, tuple)) else [result]
    for item in items:
        if not isinstance(item, kind):
            raise PluginError(f"{hook} must return a list of {kind.__name__}, not of {type(item).__name__}: {item!r}")
    return list(items)


def _checked_name(name: Any, registry: Registry) -> str:
    if not isinstance(name, str) or not name or not all(c.isalnum() or c in "_-." for c in name):
        raise PluginError(f"{registry.spec.hook}: {name!r} is no name for a component (letters, digits, '_', '-', '.')")
    return name


def _checked_target(name: str, target: Any, registry: Registry) -> Any:
    if isinstance(target, Preset) or callable(target):
        return target
    if isinstance(target, str) and target.count(":") == 1 and all(target.split(":")):
        return target
    raise PluginError(
        f"{registry.spec.hook}: '{name}' must be 'module:attribute', a class, a function or preset(...), not {target!r}"
    )


def _check_api(supported: Any) -> None:
    """Refuse a plugin that says it was made for another plugin API.

    Raises:
        PluginError: this version is outside of the range, or the range cannot be read.
    """
    if supported is None:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = plugin_api in SpecifierSet(supported)
    except (InvalidSpecifier, TypeError, AttributeError):
        raise PluginError(f"plugin_api = {supported!r} is no range of versions; write '>=1,<2'") from None
    if not fits:
        raise PluginError(f"it is made for plugin API {supported}, and this lab has plugin API {plugin_api}")

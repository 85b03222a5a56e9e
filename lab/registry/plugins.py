"""Plugins: discovery by entry point, isolation, provenance, off switches."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import attrs
import pluggy

from lab.errors import PluginError, UnknownNameError
from lab.registry import hookspecs
from lab.registry.component import Preset
from lab.registry.registry import Entry, Registry, RegistrySpec, close_matches

__all__ = ["Catalog", "Plugin", "load_catalog"]

GROUP = "lab"
DISTRIBUTION = "lab"


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
    """

    name: str
    distribution: str
    version: str
    module: ModuleType | None = None
    status: str = "loaded"
    cause: str = ""
    seconds: float = 0.0
    provides: dict[str, list[str]] = attrs.field(factory=dict)

    @property
    def is_builtin(self) -> bool:
        """Whether it is part of ``lab``'s own distribution."""
        return self.distribution == DISTRIBUTION

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def _complain(message: str) -> None:
    print(message, file=sys.stderr)


class Catalog:
    """Everything that plugins offer: the registries, the plugins themselves, and their hooks.

    Args:
        complain: told, in two lines, of every plugin that cannot be used.
        strict: raise instead.
    """

    def __init__(self, *, complain: Callable[[str], None] = _complain, strict: bool = False) -> None:
        self.complain, self.strict = complain, strict
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
        for point in sorted(points, key=lambda point: (not _of_this_distribution(point), point.name)):
            plugin = _describe(point)
            if plugin.name in self.plugins:
                self._fail(plugin, PluginError(f"another plugin is called '{plugin.name}' already"), known=False)
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
        self._check_hooks(plugin)
        self._fill_registries(plugin)
        return plugin

    def _import(self, plugin: Plugin, point: EntryPoint) -> None:
        started = time.perf_counter()
        try:
            module = point.load()
        finally:
            plugin.seconds = time.perf_counter() - started
        self._register(plugin, module)

    def _register(self, plugin: Plugin, module: ModuleType) -> None:
        plugin.module = module
        try:
            self._manager.register(module, plugin.name)
        except pluggy.PluginValidationError as error:
            self._manager.unregister(module)
            raise PluginError(str(error).replace("\n", " ")) from error

    def _fill(self) -> None:
        for step in (self._open_registries, self._check_hooks):
            for plugin in self._loaded():
                self._guard(plugin, step)
        for plugin in self._loaded():
            self._guard(plugin, self._fill_registries)

    def _fill_registries(self, plugin: Plugin) -> None:
        for registry in self.registries.values():
            self._fill_one(plugin, registry)

    def _open_registries(self, plugin: Plugin) -> None:
        for spec in self._call(plugin, "lab_registries") or ():
            if not isinstance(spec, RegistrySpec):
                raise PluginError(f"lab_registries must return RegistrySpecs, not {spec!r}")
            if spec.name in self.registries:
                raise PluginError(f"there is a registry '{spec.name}' already")
            self._open(spec)

    def _open(self, spec: RegistrySpec) -> None:
        self.registries[spec.name] = Registry(spec)
        self.registries[spec.name].missing_from = self.failures
        if not hasattr(self._manager.hook, spec.hook) or not getattr(self._manager.hook, spec.hook).has_spec():
            self._add_spec(spec)

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
                close = close_matches(caller.name, known)
                hint = f"did you mean: {' or '.join(close)}?" if close else f"hooks: {', '.join(sorted(known))}"
                raise PluginError(f"there is no hook '{caller.name}'; {hint}")

    def _fill_one(self, plugin: Plugin, registry: Registry) -> None:
        components = self._call(plugin, registry.spec.hook)
        if components is None:
            return
        if not isinstance(components, Mapping):
            raise PluginError(f"{registry.spec.hook} must return a dictionary, not {type(components).__name__}")
        for name, target in components.items():
            entry = Entry(
                registry.spec.name, _checked_name(name, registry), _checked_target(name, target, registry), plugin
            )
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
            action(plugin, *arguments)
        except (Exception, SystemExit) as error:
            self._fail(plugin, error)

    def _fail(self, plugin: Plugin, error: BaseException, *, known: bool = True) -> None:
        if self.strict:
            raise error
        cause = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        self.complain(f"lab: plugin {plugin} could not be loaded and is left out\n  {cause.splitlines()[0]}")
        plugin.status, plugin.cause, plugin.provides = "failed", cause, {}
        if known:
            for registry in self.registries.values():
                registry.remove_plugin(plugin)
            if plugin.module is not None and self._manager.is_registered(plugin.module):
                self._manager.unregister(plugin.module)

    def failures(self) -> list[str]:
        """One line for every plugin that could not be loaded."""
        return [f"{plugin} ({plugin.cause})" for plugin in self.plugins.values() if plugin.status == "failed"]

    def _loaded(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins.values() if plugin.status == "loaded"]

    # --- use ----------------------------------------------------------------------------------------------------------

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
        plain = name.rpartition(":")[2]
        return [e for r in self.registries.values() if name in r for e in r.entries() if e.name == plain]

    def call(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """Call a hook of every plugin, in the order of loading; a plugin that raises is told of and left out.

        Returns:
            (plugin, result) of each implementation that gave something.
        """
        results: list[tuple[Plugin, Any]] = []
        for plugin in self._loaded():
            try:
                result = self._call(plugin, hook, **arguments)
            except Exception as error:
                if self.strict:
                    raise
                self.complain(f"lab: plugin {plugin} failed in {hook}\n  {type(error).__name__}: {error}")
                continue
            if result is not None:
                results.append((plugin, result))
        return results

    def collect(self, hook: str) -> dict[str, Any]:
        """Merge the dictionaries that a hook gives; the first plugin to name a thing keeps it."""
        found: dict[str, Any] = {}
        for plugin, result in self.call(hook):
            for name, value in result.items():
                if name in found:
                    self.complain(f"lab: '{name}' of {plugin} ({hook}) is taken already\n  it is left out")
                found.setdefault(name, value)
        return found

    def _call(self, plugin: Plugin, hook: str, **arguments: Any) -> Any:
        caller = getattr(self._manager.hook, hook, None)
        for implementation in caller.get_hookimpls() if caller is not None else ():
            if implementation.plugin is plugin.module:
                return implementation.function(*(arguments[name] for name in implementation.argnames))
        return None


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
    switched_off = {*without, *filter(None, os.environ.get("LAB_DISABLE_PLUGINS", "").split(","))}
    no_third_party = os.environ.get("LAB_DISABLE_THIRD_PARTY") == "1"

    def disabled(plugin: Plugin) -> str:
        if plugin.name in switched_off or plugin.distribution in switched_off - {DISTRIBUTION}:
            return "switched off by name"
        if no_third_party and not plugin.is_builtin:
            return "switched off by LAB_DISABLE_THIRD_PARTY"
        if only is not None and not plugin.is_builtin and plugin.name not in only:
            return "not among --only-plugins"
        return ""

    catalog = Catalog(strict=strict, complain=complain)
    catalog.load(entry_points(group=GROUP), disabled)
    unknown = [name for name in without if not any(name in (p.name, p.distribution) for p in catalog.plugins.values())]
    for name in unknown:
        close = close_matches(name, catalog.plugins)
        hint = f"did you mean: {' or '.join(close)}?" if close else "installed plugins: lab plugins"
        raise UnknownNameError(f"unknown plugin '{name}'", hint=hint)
    return catalog


def _describe(point: EntryPoint) -> Plugin:
    distribution = point.dist
    if distribution is None:
        return Plugin(point.name, distribution=point.name, version="")
    return Plugin(point.name, distribution=distribution.name, version=distribution.version)


def _of_this_distribution(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == DISTRIBUTION


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

"""Plugins: loaded by entry point, isolated from each other, asked through hooks; and the registries that they fill."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import pluggy

from lab.errors import LabError, PluginError, UnknownNameError, describe, did_you_mean, place_of
from lab.registry import hookspecs
from lab.registry.component import Preset
from lab.registry.discovery import EntryPoint, find_entry_points, is_installed
from lab.registry.intact import process_unchanged
from lab.registry.reads import watch_reads
from lab.registry.registry import DISTRIBUTION, Entry, Plugin, Registry, RegistrySpec
from lab.streams import noting_prints, stdout_to_stderr

__all__ = ["GROUP", "Catalog", "PluginHost", "checked_list", "load_catalog"]

GROUP = "lab"
"""The entry points' group, and the project name that marks hooks."""

NAMESAKE = "lab"
"""A package of PyPI whose module is called ``lab``, too; also what this one was called before it had a name there."""

ItemT = TypeVar("ItemT")

_OTHERS = (os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.dirname(importlib.__file__))
"""Folders of ``lab`` and of importlib."""


def _warn(message: str) -> None:
    print(message, file=sys.stderr)


class _Manager(pluggy.PluginManager):
    """Plugin manager that passes over what is no function of a module, before pluggy looks at it at length."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Return the options of a hook's implementation, or None; asked for every name of every plugin."""
        if isinstance(plugin, ModuleType) and not isinstance(vars(plugin).get(name), FunctionType):
            return None
        return super().parse_hookimpl_opts(plugin, name)


class PluginHost:
    """Loads plugins, isolates those that fail, and calls the hooks of the others.

    Args:
        warn: gets a message of two lines for every plugin that cannot be used.
        strict: raise instead.

    Attributes:
        plugins: by name, those that could not be loaded included.
    """

    def __init__(self, *, warn: Callable[[str], None] = _warn, strict: bool = False) -> None:
        self.warn, self.strict = warn, strict
        self.plugins: dict[str, Plugin] = {}
        self._manager = _Manager(GROUP)
        self._manager.add_hookspecs(hookspecs)

    def load(self, points: Iterable[EntryPoint], disabled: Callable[[Plugin], str]) -> None:
        """Import and register every plugin whose entry point is given, built-in ones first.

        Args:
            points: entry points of the group ``lab``.
            disabled: gives the reason why a plugin is switched off, or an empty string.
        """
        # Built-in plugins first: a third party may not take a name from them.
        for point in sorted(points, key=lambda point: (point.distribution != DISTRIBUTION, point.name)):
            plugin = Plugin(point.name, point.distribution, point.version, package=point.package)
            if plugin.name in self.plugins:
                self.plugins[f"{plugin.name} ({plugin.distribution})"] = plugin
                # Two packages with one plugin name: the first keeps it, the other is reported under both names.
                self._fail(plugin, PluginError(f"{self.plugins[plugin.name].origin} is called '{plugin.name}' too"))
                continue
            self.plugins[plugin.name] = plugin
            plugin.cause = disabled(plugin)
            if plugin.cause:
                plugin.status = "disabled"
            else:
                self._isolate(plugin, self._import, plugin, point)

    def add_module(self, module: Any, name: str, version: str = "") -> Plugin:
        """Register a user-defined module (an experiment file, a test) as a plugin.

        Raises:
            PluginError: it breaks a contract.
        """
        plugin = self.plugins[name] = Plugin(name, distribution=name, version=version)
        self._register(plugin, module)
        return plugin

    def remove(self, name: str) -> None:
        """Remove a plugin that ``add_module`` registered, if there is one."""
        plugin = self.plugins.pop(name, None)
        if plugin is not None:
            self._unregister(plugin)

    def unavailable_plugins(self) -> list[str]:
        """Return one line for every installed plugin that is not loaded: it may own the name that is missing."""
        return [
            f"{'could not load' if plugin.status == 'failed' else 'switched off'}: {plugin} ({plugin.cause})"
            for plugin in self.plugins.values()
            if plugin.status != "loaded"
        ]

    @property
    def switched_off(self) -> list[str]:
        """Names of the plugins that were switched off."""
        return [plugin.name for plugin in self.plugins.values() if plugin.status == "disabled"]

    # --- hooks --------------------------------------------------------------------------------------------------------

    def call(
        self, hook: str, check: Callable[[str, Any], Any] = lambda hook, result: result, **arguments: Any
    ) -> list[tuple[Plugin, Any]]:
        """Call a hook of every plugin, in the order of loading; a plugin that raises is skipped with a warning.

        Args:
            hook: its name.
            check: called with the hook and a result; returns the result or raises.
            arguments: the arguments of the hook.

        Returns:
            (plugin, result) of each implementation that returned something.
        """
        results: list[tuple[Plugin, Any]] = []
        for plugin in self._loaded():
            # Redirecting stdout costs a few system calls, which most plugins need not pay.
            if not self._implementations(plugin, hook):
                continue
            try:
                with stdout_to_stderr(), self._watched(plugin, hook, hook):
                    result = self._call(plugin, hook, **arguments)
                if result is not None:
                    results.append((plugin, check(hook, result)))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                cause = _cause(error, plugin.module)
                if self.strict:
                    raise PluginError(f"plugin {plugin} failed in {hook}", hint=cause) from error
                self.warn(f"lab: plugin {plugin} failed in {hook}\n  {cause}")
        return results

    def gather(self, hook: str, kind: type[ItemT], **arguments: Any) -> list[tuple[Plugin, list[ItemT]]]:
        """Call a hook whose implementations return lists of ``kind``; one that returns anything else is reported."""
        return self.call(hook, lambda hook, result: checked_list(hook, result, kind), **arguments)

    def collect(self, hook: str) -> dict[str, Any]:
        """Merge the dictionaries that a hook returns; the first plugin to use a name keeps it."""
        return {name: value for name, (_, value) in self.collect_owned(hook).items()}

    def collect_owned(self, hook: str, taken: Iterable[str] = ()) -> dict[str, tuple[Plugin, Any]]:
        """Merge as ``collect``, with the owners: name → (plugin, value). Names that are ``taken`` are the kernel's."""
        found: dict[str, tuple[Plugin, Any]] = {}
        for plugin, result in self.call(hook, _checked_mapping):
            for name, value in result.items():
                owner = "lab" if name in taken else str(found[name][0]) if name in found else ""
                if owner:
                    self.warn(f"lab: plugin {plugin}: '{name}' of {hook} is skipped\n  it belongs to {owner} already")
                else:
                    found[name] = (plugin, value)
        return found

    def _loaded(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins.values() if plugin.status == "loaded"]

    def _call(self, plugin: Plugin, hook: str, **arguments: Any) -> Any:
        # pluggy's own call would stop at the first plugin that raises.
        for implementation in self._implementations(plugin, hook):
            return implementation.function(*(arguments[name] for name in implementation.argnames))
        return None

    def _implementations(self, plugin: Plugin, hook: str) -> list[pluggy.HookImpl]:
        """Return a plugin's implementation of a hook: one, or none."""
        caller = getattr(self._manager.hook, hook, None)
        # Compared by identity: a plugin may be any object, with any __eq__.
        found = caller.get_hookimpls() if caller is not None else ()
        return [implementation for implementation in found if implementation.plugin is plugin.module]

    # --- registration -------------------------------------------------------------------------------------------------

    def _import(self, plugin: Plugin, point: EntryPoint) -> None:
        started = time.perf_counter()
        try:
            module = point.load()
        finally:
            plugin.seconds = time.perf_counter() - started
        plugin.module = module
        self._register(plugin, module)

    def _register(self, plugin: Plugin, module: ModuleType) -> None:
        _check_api(getattr(module, "plugin_api", None))
        plugin.module = module
        for name in dir(module):
            caller = vars(self._manager.hook).get(name)
            # pluggy's own check of arguments names neither the hook's arguments nor the plugin; hooks of registries
            # that are not open yet are checked when they are opened
            if caller is not None and caller.spec and self._manager.parse_hookimpl_opts(module, name) is not None:
                parameters = inspect.signature(getattr(module, name)).parameters.values()
                _check_arguments(name, [p.name for p in parameters if p.default is p.empty], caller.spec.argnames)
        try:
            self._manager.register(module, plugin.name)
        except ValueError as error:
            raise PluginError(str(error)) from error

    def _check_hooks(self, plugin: Plugin) -> None:
        known = sorted(name for name in vars(self._manager.hook) if getattr(self._manager.hook, name).has_spec())
        for name in known:
            found = vars(plugin.module).get(name)
            # pluggy passes over a function without the mark, and the plugin would do nothing
            if isinstance(found, FunctionType) and self._manager.parse_hookimpl_opts(plugin.module, name) is None:
                raise PluginError(f"the function '{name}' is no hook: it lacks the decorator @hookimpl").blaming(name)
        for caller in self._manager.get_hookcallers(plugin.module) or ():
            if not caller.has_spec():
                # pluggy's word for a hook of another plugin that may be absent
                if all(found.optionalhook for found in self._implementations(plugin, caller.name)):
                    continue
                # compared without the prefix, which would make all names alike
                short = caller.name.removeprefix("lab_")
                plain = {name.removeprefix("lab_"): name for name in known}
                hint = did_you_mean(short, plain) or "; ".join(
                    [f"no plugin that is loaded opens a registry '{short}'", *self.unavailable_plugins()]
                )
                raise PluginError(f"there is no hook '{caller.name}'; {hint}").blaming(caller.name)
            # A wrapper would run around the hooks of other plugins, which are called one by one here.
            if any(found.wrapper or found.hookwrapper for found in self._implementations(plugin, caller.name)):
                raise PluginError(f"hook wrappers are not supported: {caller.name}").blaming(caller.name)

    # --- isolation ----------------------------------------------------------------------------------------------------

    def _isolate(self, plugin: Plugin, action: Callable[..., None], *arguments: Any) -> None:
        """Run one step of loading; a plugin that fails in it is unregistered whole, with a warning."""
        try:
            with stdout_to_stderr(), self._telling_prints(plugin), self._watched(plugin, "it", "__file__"):
                action(*arguments)
        except KeyboardInterrupt:
            # a plugin may raise it as well, and would end every command
            self.warn(f"lab: interrupted while plugin {plugin} was loaded")
            raise
        except BaseException as error:
            # pytest.skip and CancelledError are no Exceptions, and may not end the command either.
            self._fail(plugin, error)

    @contextmanager
    def _telling_prints(self, plugin: Plugin) -> Iterator[None]:
        """Tell which plugin prints while it is loaded: every command would print it, and nobody knows why."""
        if plugin.is_builtin:
            yield
            return
        with noting_prints(plugin.package) as printed:
            yield
        if printed():
            self.warn(f"lab: plugin {plugin} prints while it is loaded: {printed()}")

    def _watched(self, plugin: Plugin, what: str, blames: str) -> AbstractContextManager[None]:
        """Return the context in which code of a third party runs: what it changes in the process is put back."""
        return nullcontext() if plugin.is_builtin else process_unchanged(what, blames, in_place=blames == "__file__")

    def _fail(self, plugin: Plugin, error: BaseException) -> None:
        cause = _cause(error, plugin.module)
        if self.strict:
            raise PluginError(f"plugin {plugin} could not be loaded", where=plugin.origin, hint=cause) from error
        self.warn(f"lab: plugin {plugin} could not be loaded and is skipped\n  {cause}")
        plugin.status, plugin.cause, plugin.provides = "failed", cause, {}
        self._unregister(plugin)

    def _unregister(self, plugin: Plugin) -> None:
        if plugin.module is not None:
            # A module may be registered under the name of another plugin.
            if self._manager.get_name(plugin.module) == plugin.name:
                self._manager.unregister(plugin.module)
            plugin.module = None


class Catalog(PluginHost):
    """The registries that plugins open and fill.

    Attributes:
        registries: by their plural names.
        import_guard: the context in which a component's module is imported; gets the component's label.
    """

    def __init__(self, *, warn: Callable[[str], None] = _warn, strict: bool = False) -> None:
        super().__init__(warn=warn, strict=strict)
        self.import_guard: Callable[[str], AbstractContextManager[Any]] = nullcontext
        self.registries: dict[str, Registry] = {}
        for spec in hookspecs.KERNEL_REGISTRIES:
            self.registries[spec.name] = Registry(spec, self.unavailable_plugins)

    def load(self, points: Iterable[EntryPoint], disabled: Callable[[Plugin], str]) -> None:
        """Import and register plugins, then fill the registries."""
        super().load(points, disabled)
        for plugin in self._loaded():
            self._isolate(plugin, self._open_registries, plugin)
        # Hooks of registries exist only after all plugins have opened theirs, whatever the order of loading.
        self._add_specs()
        for step in (self._check_hooks, self._fill_registries):
            for plugin in self._loaded():
                self._isolate(plugin, step, plugin)

    def add_module(self, module: Any, name: str, version: str = "") -> Plugin:
        """Register a user-defined module as a plugin, and what it provides.

        Raises:
            PluginError: it breaks a contract.
        """
        plugin = super().add_module(module, name, version)
        self._open_registries(plugin)
        self._add_specs()
        self._check_hooks(plugin)
        self._fill_registries(plugin)
        return plugin

    def registry(self, kind: str) -> Registry:
        """Return the registry called ``kind``, by its plural or singular name.

        Raises:
            UnknownNameError: there is no such kind.
        """
        for registry in self.registries.values():
            if kind in (registry.spec.name, registry.spec.singular):
                return registry
        raise UnknownNameError.among("kind", kind, list(self.registries), hint=f"kinds: {', '.join(self.registries)}")

    def find(self, name: str) -> list[Entry]:
        """Return the components called ``name`` in any registry."""
        return [entry for registry in self.registries.values() for entry in registry.candidates(name)]

    def _open_registries(self, plugin: Plugin) -> None:
        for spec in checked_list("lab_registries", self._call(plugin, "lab_registries") or (), RegistrySpec):
            if spec.name in self.registries:
                raise PluginError(f"there is a registry '{spec.name}' already").blaming("lab_registries")
            self.registries[spec.name] = Registry(spec, self.unavailable_plugins)
            plugin.opens.append(spec.name)

    def _add_specs(self) -> None:
        """Add the hook of every registry that was opened; plugins that ask that hook for arguments fail."""
        for spec in [registry.spec for registry in self.registries.values()]:
            caller = getattr(self._manager.hook, spec.hook, None)
            if caller is not None and caller.has_spec():
                continue
            for plugin in self._loaded():
                for implementation in self._implementations(plugin, spec.hook):
                    self._isolate(plugin, _check_arguments, spec.hook, implementation.argnames, ())

            def hook() -> Any:
                """Replaced by the registry's own sentence."""

            # pluggy takes hook specifications from the attributes of a module.
            hook.__name__, hook.__doc__ = spec.hook, spec.doc
            holder = ModuleType(f"lab_registry_{spec.name}")
            setattr(holder, spec.hook, hookspecs.hookspec(hook))
            self._manager.add_hookspecs(holder)

    def _fill_registries(self, plugin: Plugin) -> None:
        for registry in self.registries.values():
            components = self._call(plugin, registry.spec.hook)
            if components is None:
                continue
            for name, target in _checked_mapping(registry.spec.hook, components).items():
                _check_component(name, target, registry)
                entry = Entry(registry.spec, name, target, plugin)
                self._check_clash(registry, entry)
                registry.add(entry)
            plugin.provides[registry.spec.name] = sorted(components)

    def _check_clash(self, registry: Registry, entry: Entry) -> None:
        """Refuse a name that a built-in plugin has; warn of one that two third parties share."""
        owners = [other.plugin for other in registry.candidates(entry.name)]
        if owners and (owners[0].is_builtin or owners[0] is entry.plugin):
            what = f"{registry.spec.singular} '{entry.name}' belongs to {owners[0]} already"
            raise PluginError(what).blaming(registry.spec.hook)
        if owners:
            self.warn(
                f"lab: {registry.spec.singular} '{entry.name}' is registered by {owners[0]} and by {entry.plugin}\n"
                f"  say which: {owners[0].name}:{entry.name} or {entry.qualified_name}"
            )

    def _unregister(self, plugin: Plugin) -> None:
        # Components of other plugins in a registry that is gone can no longer be looked up.
        for name in plugin.opens:
            del self.registries[name]
            for other in self.plugins.values():
                other.provides.pop(name, None)
        for registry in self.registries.values():
            registry.remove_plugin(plugin)
        super()._unregister(plugin)


def load_catalog(
    *,
    without: Sequence[str] = (),
    only: Sequence[str] | None = None,
    strict: bool = False,
    warn: Callable[[str], None] = _warn,
) -> Catalog:
    """Find and load every installed plugin.

    Args:
        without: names of plugins to leave out, besides ``LAB_DISABLE_PLUGINS`` (names with commas) and, if
            ``LAB_DISABLE_THIRD_PARTY`` is 1, all that do not belong to ``lab`` itself.
        only: if given, third-party plugins that are not named here are left out.
        strict: raise at the first plugin that cannot be loaded.
        warn: gets a message for every plugin that cannot be loaded.
    """
    from_environment = os.environ.get("LAB_DISABLE_PLUGINS", "").split(",")
    switched_off = {*without, *(name.strip() for name in from_environment)}
    no_third_party = os.environ.get("LAB_DISABLE_THIRD_PARTY") == "1"

    def disabled(plugin: Plugin) -> str:
        # The name of lab's own distribution would switch off every built-in plugin.
        if plugin.name in switched_off or plugin.distribution in switched_off - {DISTRIBUTION}:
            return "switched off by name"
        if no_third_party and not plugin.is_builtin:
            return "switched off by LAB_DISABLE_THIRD_PARTY"
        if only is not None and not plugin.is_builtin and not {plugin.name, plugin.distribution} & {*only}:
            return "not among --only-plugins"
        return ""

    # Files that plugins read while they are imported are part of their source.
    watch_reads()
    catalog = Catalog(strict=strict, warn=warn)
    if is_installed(NAMESAKE):
        warn(
            f"lab: another package, '{NAMESAKE}', is installed, whose module has the same name\n"
            f"  pip uninstall {NAMESAKE}, and then pip install --force-reinstall --no-deps {DISTRIBUTION}"
        )
    catalog.load(find_entry_points(GROUP), disabled)
    known = {name for plugin in catalog.plugins.values() for name in (plugin.name, plugin.distribution)}
    for name in [*without, *(only or ())]:
        if name not in known:
            raise UnknownNameError.among("plugin", name, list(catalog.plugins), hint="installed plugins: lab plugins")
    return catalog


def _cause(error: BaseException, module: ModuleType | None = None) -> str:
    """Return an error in one line, with where it was raised, or with the line of the hook that it blames."""
    described = describe(error)
    if isinstance(error, LabError):
        blamed = [getattr(module, name, None) for name in error.blames]
        places = [each if isinstance(each, str) else place_of(each) for each in blamed]
        return described + "".join(f" ({os.path.basename(place)})" for place in places if place)
    import traceback

    # Frames of frozen importlib say nothing to a plugin's author.
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    # What a plugin calls wrongly may raise in the other's file; a wrong entry point raises in no file of the plugin's.
    top = os.path.dirname(getattr(module, "__file__", None) or "\0")
    own = [f for f in frames if f.filename.startswith(top)] or [f for f in frames if not f.filename.startswith(_OTHERS)]
    # The message of a SyntaxError names file and line already.
    if own and not isinstance(error, SyntaxError):
        described += f" ({os.path.basename(own[-1].filename)}, line {own[-1].lineno})"
    if isinstance(error, (Exception, SystemExit)):
        return described
    return f"{described}; a plugin that cannot be used should raise ImportError"


# --- contracts --------------------------------------------------------------------------------------------------------


def _check_arguments(hook: str, asked: Iterable[str], known: Sequence[str]) -> None:
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise PluginError(f"{hook} has no argument '{unknown[0]}'; it has: {', '.join(known) or 'none'}").blaming(hook)


def _checked_mapping(hook: str, result: Any) -> Mapping[str, Any]:
    if not isinstance(result, Mapping):
        raise PluginError(f"{hook} must return a dictionary, not {type(result).__name__}").blaming(hook)
    return result


def checked_list(hook: str, result: Any, kind: type[ItemT]) -> list[ItemT]:
    """Return what a hook returned as a list.

    Raises:
        PluginError: an item is not of ``kind``.
    """
    items = result if isinstance(result, (list, tuple)) else [result]
    for item in items:
        if not isinstance(item, kind):
            what = f"{hook} must return a list of {kind.__name__}, not of {type(item).__name__}: {item!r}"
            raise PluginError(what).blaming(hook)
    return list(items)


def _check_component(name: Any, target: Any, registry: Registry) -> None:
    hook = registry.spec.hook
    if not isinstance(name, str) or not name or not all(c.isalnum() or c in "_-." for c in name):
        what = f"{hook}: {name!r} is not a valid component name (letters, digits, '_', '-', '.')"
        raise PluginError(what).blaming(hook)
    is_path = isinstance(target, str) and target.count(":") == 1 and all(target.split(":"))
    if not (is_path or isinstance(target, Preset) or callable(target)):
        raise PluginError(
            f"{hook}: '{name}' must be 'module:attribute', a class, a function or preset(...), not {target!r}"
        ).blaming(hook)


def _check_api(supported: Any) -> None:
    """Refuse a plugin that says it was made for another plugin API.

    Raises:
        PluginError: this version is outside of the range, or the range cannot be read.
    """
    if supported is None:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = hookspecs.plugin_api in SpecifierSet(supported)
    except (InvalidSpecifier, TypeError, AttributeError):
        raise PluginError(f"plugin_api = {supported!r} is not a range of versions; write '>=1,<2'") from None
    if not fits:
        raise PluginError(f"it is made for plugin API {supported}, and this lab has plugin API {hookspecs.plugin_api}")

"""``lab``: the commands, imported only when they are asked for."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from lab.cache import cache_folder, read_cache, write_cache
from lab.collection import own_process
from lab.errors import LabError, PluginError, UnknownNameError, describe, printable
from lab.registry.discovery import find_entry_points
from lab.streams import make_robust
from lab.study.interrupt import INTERRUPTED, end_on_signals, was_interrupted

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog

__all__ = ["Session", "cli", "command", "main", "session_of"]

MAX_NAME_LENGTH = 200
"""Characters of a file's name that a message shows."""

ASK, CATALOG, OTHER = "Ask a question", "Components and plugins", "Other commands"
GROUPS = (ASK, "Read the answer", "Runs", "Trained models", CATALOG, OTHER)
"""Headings of ``lab --help`` in their order; those of plugins that are not named here come before the last."""

COMMANDS = {
    "run": ("lab.cli.run:run", "Answer the question in a study file.", ASK),
    "list": ("lab.cli.catalog:list_components", "List components, of every kind or of one.", CATALOG),
    "show": ("lab.cli.catalog:show", "Show a component, or a study and its schedules.", CATALOG),
    "plugins": ("lab.cli.catalog:plugins", "List plugins, and why one could not be loaded.", CATALOG),
}


Owned = dict[str, tuple[str, Any]]
"""Name of a command → (its plugin, the command or where it is)."""


class Session:
    """The options before the command, and the catalog, loaded when it is first needed."""

    def __init__(self, without: tuple[str, ...], strict: bool, debug: bool) -> None:
        self.without, self.strict, self.debug = without, strict, debug
        self._catalog: Catalog | None = None
        self._commands: Owned | None = None

    def catalog(self, only: list[str] | None = None) -> Catalog:
        """Return the installed plugins."""
        if self._catalog is None or only is not None:
            from lab.registry.plugins import load_catalog

            self._catalog = load_catalog(without=self.without, strict=self.strict, only=only)
        return self._catalog

    def commands(self) -> Owned:
        """Return the commands of plugins, from the cache if no plugin has changed since it was written.

        Importing all plugins takes a fifth of the time of ``lab --help``, and more with each that is installed. A
        plugin that cannot be loaded or that is warned of leaves nothing in the cache, so every command warns again.
        """
        if self._commands is not None:
            return self._commands
        is_plain = self._catalog is None and not self.without and not self.strict
        stamp = _installed_plugins() if is_plain else None
        file = cache_folder() / "commands.json"
        known = read_cache(file) if stamp else {}
        if stamp and known.get("plugins") == stamp:
            self._commands = known["commands"]
            return self._commands
        catalog, warnings = self.catalog(), list[str]()
        # Two plugins may claim one command, which is a warning every time: only a clean answer is cached.
        warn, catalog.warn = catalog.warn, warnings.append
        found = catalog.collect_owned("lab_commands", taken=COMMANDS)
        catalog.warn = warn
        for warning in warnings:
            warn(warning)
        self._commands = {name: (str(plugin), target) for name, (plugin, target) in found.items()}
        is_sound = not warnings and all(plugin.status == "loaded" for plugin in catalog.plugins.values())
        if stamp and is_sound and all(isinstance(_declared(target)[0], str) for _, target in self._commands.values()):
            write_cache(file, {"plugins": stamp, "commands": self._commands})
        return self._commands


def _installed_plugins() -> list[Any] | None:
    """Return the state of every installed plugin's file, and of the kernel's commands; None if one has no file."""
    if os.environ.get("LAB_DISABLE_PLUGINS") or os.environ.get("LAB_DISABLE_THIRD_PARTY"):
        return None
    found: list[Any] = [sorted(COMMANDS)]
    for point in find_entry_points("lab"):
        # The file is found without importlib, whose find_spec would import the parent package.
        module = point.value.partition(":")[0].strip().replace(".", "/")
        places = [os.path.join(folder or ".", module) for folder in dict.fromkeys(sys.path)]
        files = [file for place in places for file in (f"{place}.py", f"{place}/__init__.py")]
        file = next(filter(os.path.isfile, files), None)
        if file is None:
            return None
        status = os.stat(file)
        found.append([*point, os.path.abspath(file), status.st_mtime_ns, status.st_size])
    return found


class Commands(click.Group):
    """The kernel's commands and those of plugins; a command is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name."""
        return sorted({*COMMANDS, *session_of(ctx).commands()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called ``cmd_name``."""
        from lab.registry.registry import load_object

        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
        plugin, found = session_of(ctx).commands().get(cmd_name, ("", None))
        if not plugin:
            return None
        found = _declared(found)[0]
        label = f"command '{cmd_name}' ({plugin})"
        command = load_object(found, label) if isinstance(found, str) else found
        if not isinstance(command, click.Command):
            raise PluginError(f"{label} is not a click command: {command!r}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, with close matches for an unknown name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            error = UnknownNameError.among("command", name, self.list_commands(ctx))
            raise click.UsageError(str(error), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for.

        Raises:
            PluginError: a plugin's command raised what no command should; the message names its own line.
        """
        try:
            return super().invoke(ctx)
        except (LabError, OSError, click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            plugin = session_of(ctx).commands().get(ctx.invoked_subcommand or "", ("", None))[0]
            # an error of the kernel's own commands is a fault of lab: its traceback goes into a report
            if not plugin or was_interrupted():
                raise
            raise self._of_plugin(ctx, plugin, error) from error

    def _of_plugin(self, ctx: click.Context, plugin: str, error: Exception) -> PluginError:
        from lab.study.culprit import line_in_package

        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        module = getattr(command.callback, "__module__", "") if command is not None else ""
        hint = "\n".join([*filter(None, [line_in_package(error, module)]), "--debug shows the traceback"])
        return PluginError(f"command '{ctx.invoked_subcommand}' of {plugin} raises {describe(error)}", hint=hint)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line per command under the heading that it is declared with; nothing is imported for it."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, (_, text, group) in COMMANDS.items():
            groups.setdefault(group, []).append((name, text))
        for name, (plugin, found) in sorted(session_of(ctx).commands().items()):
            _, text, group = _declared(found)
            groups.setdefault(group or OTHER, []).append((name, text or f"(added by {plugin})"))
        names = dict.fromkeys([*GROUPS[:-1], *sorted(groups.keys() - {*GROUPS}), OTHER])
        width = max(len(name) for rows in groups.values() for name, _ in rows)
        for group in names:
            if group in groups:
                with formatter.section(group):
                    # padded, so that all sections have one column of texts
                    formatter.write_dl([(f"{name:<{width}}", text) for name, text in groups[group]])


def session_of(ctx: click.Context) -> Session:
    """Return the session of a context, also before the group's own function has run: for ``--help`` and completion."""
    root = ctx.find_root()
    if root.obj is None:
        root.obj = Session(
            tuple(root.params.get("without", ())), bool(root.params.get("strict")), bool(root.params.get("debug"))
        )
    return root.obj  # type: ignore[no-any-return]


def _declared(found: Any) -> tuple[Any, str, str]:
    """Return a command as a plugin declares it, its line and its heading in ``lab --help``; empty if it has none."""
    if not isinstance(found, (tuple, list)) or len(found) not in (2, 3):
        return found, "", ""
    return found[0], str(found[1]), str(found[2]) if len(found) == 3 else ""


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Examples:

\b
  lab run experiments/bidir_vs_attn.py
  lab list architectures
  lab show seq2seq_rnn

Tab completion, in bash (or zsh, fish):

\b
  eval "$(_LAB_COMPLETE=bash_source lab)"
""",
)
@click.option("--without", multiple=True, is_eager=True, metavar="NAME", help="Leave a plugin out; may be repeated.")
@click.option("--strict", is_flag=True, is_eager=True, help="Stop at a plugin that cannot be loaded.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(package_name="lab-ablation", prog_name="lab")
@click.pass_context
def cli(ctx: click.Context, without: tuple[str, ...], strict: bool, debug: bool) -> None:
    """Ask which part of a model matters: one question, one file, an honest answer."""
    ctx.obj = ctx.obj or Session(without, strict, debug)


def command() -> None:
    """Run the command line in a process of its own: the console script ``lab``, and ``python -m lab``."""
    own_process()
    main()


def main() -> None:
    """Run the command line; expected failures are printed without a traceback.

    Exit codes: 0 done, 1 some runs failed, 2 the question itself is wrong, 130 interrupted (Ctrl-C, SIGTERM, SIGHUP).
    """
    # Before anything is printed: a pager may close the pipe at any line.
    make_robust()
    end = end_on_signals()
    if "_LAB_COMPLETE" in os.environ:
        # before click chooses a class for the shell
        from lab.cli.completion_bash import join_words_in_bash

        join_words_in_bash()
    try:
        code = _guarded(lambda: cli.main(prog_name="lab", standalone_mode=False))
        code = _flushed(code)
    except KeyboardInterrupt:
        # A second signal arrived while the first one was handled.
        code = INTERRUPTED
    end()
    sys.exit(code)


def _flushed(code: int) -> int:
    """Return the exit code once everything is printed; output that a full disk cuts short is an error."""
    try:
        # A full disk shows when the buffer is written, which would otherwise be at exit, as a traceback.
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return code or _explain(error)
    return code


def _guarded(action: Callable[[], Any]) -> int:
    try:
        _refuse_undecodable(sys.argv[1:])
        result = action()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except LabError as error:
        # A signal may surface as any error, such as an aborted system call.
        if was_interrupted():
            return INTERRUPTED
        if _wants_traceback():
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            click.echo(f"lab: {printable(str(error))}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # Python would flush the broken pipe once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return INTERRUPTED if was_interrupted() else _explain(error)
    except Exception:
        if was_interrupted():
            return INTERRUPTED
        raise


def _refuse_undecodable(arguments: Sequence[str]) -> None:
    """Refuse bytes that are no text: they could be neither recorded nor printed.

    Raises:
        LabError: the first such argument.
    """
    for argument in arguments:
        if printable(argument) != argument:
            raise LabError(
                f"an argument is not text in UTF-8: {argument!r}", hint="give the file or value another name"
            )


def _explain(error: OSError) -> int:
    """Print a system error and return its exit code: disk full, name too long, no permission."""
    from lab.files import is_disk_full

    if _wants_traceback() or error.errno is None:
        raise error
    if is_disk_full(error):
        text = f"cannot write: {error}\n  free some space and run the same command again; finished runs are kept"
    else:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        shown = [name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}…" for name in names]
        text = "\n  ".join([f"system error: {error.strerror}", *shown, "--debug shows where"])
    click.echo(f"lab: {printable(text)}", err=True)
    return LabError.exit_code


def _wants_traceback() -> bool:
    return "--debug" in sys.argv

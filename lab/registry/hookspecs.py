"""Every hook of the kernel: the manual for plugin authors.

A plugin is a module whose functions carry ``@hookimpl`` and the name of a hook below, found by its entry point in the
group ``lab``. The ten hooks that fill a registry are alike: they take nothing and return a dictionary from names to
components, where a component is ``"module:attribute"`` (imported only when it is used), an object, or a
``preset(...)`` of another component. They fire once, when ``lab`` starts; order does not matter: names are unique.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker

from lab.registry.registry import RegistrySpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Protocol

    Components = Mapping[str, Any]

    class StartedRun(Protocol):
        """Run as hooks may read it."""

        study: str
        arm: str
        seed: int
        key: str
        file: str

        @property
        def device(self) -> str: ...

        def record(self) -> dict[str, Any]: ...

    class EndedRun(Protocol):
        """Result of a run as hooks may read it."""

        status: str
        folder: Path
        result: dict[str, Any]

        @property
        def metrics(self) -> dict[str, float]: ...

        @property
        def budget(self) -> dict[str, float]: ...


__all__ = ["KERNEL_REGISTRIES", "hookimpl", "plugin_api"]

hookspec = HookspecMarker("lab")
hookimpl = HookimplMarker("lab")

plugin_api = "1.0"
"""Version of the hooks and contracts. A plugin may state the range it works with: ``plugin_api = ">=1,<2"``."""

OPTIMIZER_ARGUMENTS = ("param_groups", "lr")
SAMPLER_ARGUMENTS = ("size", "lengths", "batch_size", "generator", "targets", "groups", "weights")

KERNEL_REGISTRIES = (
    RegistrySpec("datasets", "dataset", "lab.training.data:Data", "training data"),
    RegistrySpec("architectures", "architecture", "torch.nn:Module", "models: ordinary torch modules"),
    RegistrySpec("losses", "loss", "", "loss functions", ("output", "target"), positional=2, calls_instances=True),
    RegistrySpec("samplers", "sampler", "lab.training.data:Sampler", "the order of the batches", SAMPLER_ARGUMENTS),
    RegistrySpec("steppers", "stepper", "lab.training.stepper:Stepper", "training steps"),
    RegistrySpec("callbacks", "callback", "lab.training.callback:Callback", "callbacks"),
    RegistrySpec("optimizers", "optimizer", "torch.optim:Optimizer", "optimizers", OPTIMIZER_ARGUMENTS, positional=1),
    RegistrySpec("metrics", "metric", "", "metrics of the validation split"),
    RegistrySpec("executors", "executor", "lab.study.execute:Executor", "where runs are executed"),
    RegistrySpec("tasks", "task", "", "training functions that are whole experiments", ("run",)),
    RegistrySpec("searchers", "searcher", "lab.study.space:Searcher", "search algorithms: they propose trials"),
)


@hookspec
def lab_datasets() -> Components:
    """Datasets: ``factory(**params) -> SomeData``.

    Annotate the return type with the subclass of ``Data``: its typed attributes are the facts that models may ask for.
    Used by: ``lab_text``.
    """


@hookspec
def lab_architectures() -> Components:
    """Models: a class or function that returns an ``nn.Module``.

    A parameter without a default is filled from the data's fact of the same name. Used by: ``lab_seq2seq``.
    """


@hookspec
def lab_losses() -> Components:
    """Losses: ``fn(output, target, …)`` or an ``nn.Module`` class. Used by: ``lab_seq2seq``."""


@hookspec
def lab_samplers() -> Components:
    """Samplers: ``factory(…) ->`` batches of indices, with a length.

    It may ask for ``size, batch_size, generator``, if examples have a length, ``lengths``, and for ``targets``,
    ``groups`` and ``weights`` of the examples if the split has them (``Data.split_facts``).
    Used by: ``lab_basics``.
    """


@hookspec
def lab_steppers() -> Components:
    """Steppers: a subclass of ``lab.Stepper``. Used by: ``lab_seq2seq`` (teacher forcing)."""


@hookspec
def lab_callbacks() -> Components:
    """Callbacks: a subclass of ``lab.Callback``. Used by: ``lab_basics`` (schedules)."""


@hookspec
def lab_optimizers() -> Components:
    """Optimizers: ``factory(param_groups, lr, …) -> torch.optim.Optimizer``. Used by: ``lab_basics``."""


@hookspec
def lab_metrics() -> Components:
    """Metrics: objects with torchmetrics' ``update, compute, reset`` and ``higher_is_better``.

    Used by: ``lab_basics``, ``lab_seq2seq``.
    """


@hookspec
def lab_executors() -> Components:
    """Executors: ``factory(…)`` with ``submit(runs, …) ->`` iterator of finished runs; see ``Executor``.

    Used by: ``lab_basics`` (in process).
    """


@hookspec
def lab_tasks() -> Components:
    """Tasks: ``function(*, run: lab.TaskRun, …) -> dict[str, float]``, a training function as a whole experiment.

    ``Study(use("my_task", lr=0.1), compare="accuracy", higher_is_better=True)``. A task that takes parameters of any
    name takes them as a dictionary in its parameter ``parameters``. Used by: ``lab_basics`` (a command line).
    """


@hookspec
def lab_searchers() -> Components:
    """Searchers: ``factory(…)`` with ``propose(space, seen, count, seed) ->`` settings of trials; see ``Searcher``.

    Used by: ``lab_search``.
    """


@hookspec
def lab_registries() -> Sequence[RegistrySpec]:
    """Open further registries.

    Fires once, before any registry is filled. For each ``RegistrySpec`` a hook ``lab_<name>`` exists from then on, and
    a parameter annotated with its contract is a component of that kind. Used by: ``lab_text`` (tokenizers).
    """


@hookspec
def lab_commands() -> Mapping[str, str | tuple[str, ...]]:
    """Add commands to ``lab``: name → ``"module:click_command"``, or a tuple of that, its line in ``lab --help``
    and, if given, the heading it stands under there. The command is imported when it is asked for.

    Fires when a command is looked up that is not the kernel's own. A name that ``lab`` or another plugin has already is
    skipped with a warning. Used by: ``lab_text`` (``lab data``).
    """


@hookspec
def lab_learner_methods() -> Mapping[str, str | Callable[..., Any]]:
    """Add methods to every learner of a study: name → ``"module:function"``, called as ``function(learner, …)``.

    Fires when a run is built; the function is imported when the method is first used.
    Used by: ``lab_seq2seq`` (``translate``).
    """


@hookspec
def lab_study_methods() -> Mapping[str, str | Callable[..., Any]]:
    """Add methods to every study: name → ``"module:function"``, called as ``function(study, …)``.

    Fires when a method is called that the kernel lacks; the function is imported then. It returns a new study, as the
    kernel's own methods do. Used by: ``lab_statistics``
    (``across``, ``tune``).
    """


@hookspec
def lab_former_names() -> Mapping[str, str]:
    """List former names of this plugin's components and parameters, so that older records are still read.

    ``{"old": "new"}`` renames a component, ``{"mlp.units": "width"}`` a parameter of the component that records call
    ``mlp``. Fires when a run is built from its record (``lab.load``, ``lab reproduce``); order does not matter.
    Used by: ``lab_vision``, ``lab_tabular``.
    """


@hookspec
def lab_report_sections(study: Any, runs: Any) -> Sequence[Any]:
    """Add sections to the report of a finished study.

    Fires once, when every run has ended, before the report is written. ``study`` is the study, ``runs`` its finished
    and failed runs, each with ``arm, seed, status, metrics, folder``; both are read-only. Return a list of
    ``lab.Section``; an empty list adds nothing. Order: ``Section.weight``, then plugin name. Used by: ``lab_seq2seq``
    (sample translations, attention maps).
    """


@hookspec
def lab_study_started(study: Any, runs: Any) -> None:
    """A study is about to execute ``runs`` (those that were not found finished). Nothing may be changed.

    Fires once, after preflight. The return value is ignored; order: plugin name. Used by: ``lab_trackers``.
    """


@hookspec
def lab_study_finished(study: Any, runs: Any, results: Any, record: Any, sections: Any) -> Sequence[str] | None:
    """Every run of the study has ended; ``runs`` are all of them, ``results`` compares their arms.

    Fires once. A report is written if ``record``, the study's record with the ``folder`` of its results, is not None;
    ``sections`` are what plugins add to it. Nothing may be changed. Return lines to show below the table, or None;
    order: plugin name. Used by: ``lab_report`` (the page and the rows), ``lab_basics`` (TensorBoard's
    hyper-parameters).
    """


@hookspec
def lab_comparison_shown(results: Any, record: Any, metric: str, how: Sequence[str]) -> Sequence[str] | None:
    """A command shows the arms of a study in ``metric``; ``record`` is the study's record, with its ``folder``.

    ``how`` has what differs from the comparison that the study asks for: ``not paired``, ``against wide``, ``each with
    the arm before``, ``margin 0.05``, ``example by example``; it is empty where nothing does. Fires for
    ``lab compare``, ``lab check-claim`` and ``lab by-example``, not for results from elsewhere. Nothing may be changed.
    Return lines to show on stderr, or None; order: plugin name. Used by: ``lab_statistics`` (the ledger of looks).
    """


@hookspec
def lab_rounds() -> Mapping[str, str | Callable[..., Any]]:
    """Continue a search: name → ``"module:function"``, called as ``function(study, results, catalog)``.

    Fires when a round of a study with ``Study.search`` or with ``Study.rules`` has ended. The function returns the arms
    of the next round, a list of ``lab.study.study.Arm``, in which an arm of a known name replaces it (with further
    seeds); when all functions return an empty list, the study has ended. Used by: ``lab_search``, ``lab_statistics``.
    """


@hookspec
def lab_run_started(run: StartedRun) -> None:
    """A run begins to train, in the process that trains it. Nothing may be changed.

    ``run`` has ``study, arm, seed, key, device, file`` (the study's, as it was given) and ``record()``, the content of
    ``experiment.json`` with the whole recipe; it is a ``lab.study.run.Run``, of which the rest may change.
    The return value is ignored; order: plugin name. Used by: ``lab_trackers``.
    """


@hookspec
def lab_run_finished(run: StartedRun, result: EndedRun) -> None:
    """A run has ended, well or not, in the process that trained it.

    ``run`` is as in ``lab_run_started``. ``result`` has ``status`` (``finished``, ``failed``), ``folder``, the final
    ``metrics`` and the ``budget`` (parameters, steps, seconds …) of a finished run, and ``result``, in which a failed
    one has ``error``; it is a copy. An interrupted run does not end: it goes on later.
    Nothing may be changed; the return value is ignored; order: plugin name. Used by: ``lab_basics`` (pictures and texts
    for TensorBoard), ``lab_trackers``.
    """


@hookspec
def lab_conformance() -> str:
    """Support the conformance kit: example data, checks, and how components are tried.

    Return ``"module:function"``; the function returns a ``lab.testing.ConformanceSupport``: example data, conformance
    classes of the registries that the plugin opened, and cases for components whose signature does not say enough.
    Fires when the kit is first used (``lab check``, or tests with ``lab.testing``); the function is imported then.
    Order does not matter; of two examples with one name the later counts. Used by: ``lab_basics``, ``lab_text``,
    ``lab_seq2seq``.
    """


@hookspec
def lab_scaffolds() -> Mapping[str, str]:
    """Add kinds to ``lab new``: kind → ``"package:folder"`` with the templates of that kind.

    ``component.py.jinja`` and ``experiment.py.jinja`` are needed, ``tests.py.jinja`` replaces the usual tests. A folder
    for the kind ``experiment`` holds ``experiment.py.jinja`` alone. Fires when ``lab new`` runs; the first plugin to
    name a kind keeps it. Used by: ``lab_basics`` (the kernel's kinds), ``lab_seq2seq`` (attention), ``lab_text``
    (tokenizer).
    """

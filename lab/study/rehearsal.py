"""The rehearsal of an arm: everything that its run does, once and on little data, before anything is trained.

Its cost is that of a small and a full training step, three validation steps on one batch, and a checkpoint that is
saved and loaded in memory. Checks that depend on data and sampler alone are shared by all arms that share them.
"""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
import itertools
import json
import math
import operator
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lab.errors import (
    DataError,
    LabError,
    ParameterError,
    PluginError,
    ShapeError,
    StudyError,
    describe_error,
    did_you_mean,
)
from lab.study.build import build_model
from lab.study.examples import hash_of_values
from lab.study.experiment import unmet_by_split
from lab.study.guard import assert_global_state_unchanged
from lab.study.unkept import unkept_notes
from lab.study.yardstick import depends_on_the_cut, halves_of
from lab.training.callback import Callback
from lab.training.checkpoint import Checkpoint, rehearse_checkpoint
from lab.training.data import Data, to_device
from lab.training.learner import Learner
from lab.training.loop import is_out_of_memory
from lab.training.rng import all_generators
from lab.training.schedules import Schedule
from lab.training.scoring import check_arguments, check_direction, directions, score_of
from lab.training.state import EVENTS, CancelBatch, CancelEpoch, CancelFit
from lab.training.stepper import Evaluation
from lab.training.structure import describe_structure
from lab.training.weights import extra_state

if TYPE_CHECKING:
    from lab.registry.resolved import Component
    from lab.study.run import Run

__all__ = ["ArmCheck", "SamplerChecks", "check_samplers", "rehearse"]

SLOW_STEP_S = 0.1

SOME_WEIGHTS = 8
"""Tensors of weights that are compared before and after two steps."""

SOME_EXAMPLES = 8

MAX_BUILT_TWICE = 20_000_000
"""Weights of a model that is built a second time, which takes a tenth of a second."""

_COPY = "make a copy before writing: tensor.clone(), or an operation that does not end in '_'"

CUT = 32
"""Validation examples that suffice to see whether the loss of a batch is the mean of its parts."""


@attrs.frozen
class ArmCheck:
    """Result of the rehearsal of an arm.

    Attributes:
        parameters: number of weights.
        seconds_per_step: time of a training step; a rough measure.
        is_paired: whether its parts draw their initial weights from streams of their own.
        notes: remarks for a reader of the plan, one sentence each.
    """

    parameters: int
    seconds_per_step: float
    is_paired: bool
    notes: tuple[str, ...] = ()


@attrs.frozen
class Pass:
    """One pass of a sampler.

    Attributes:
        smallest: indices of its smallest batch.
        problem: the first defect, or empty.
    """

    smallest: Sequence[int]
    problem: str = ""


class SamplerChecks:
    """Checked passes of samplers, shared by arms with the same data and sampler."""

    def __init__(self) -> None:
        self._passes: dict[tuple[Any, ...], Pass] = {}
        # keeps the objects alive whose ids are in the keys; a freed one's id may be given to another
        self._kept: list[Any] = []

    def train(self, run: Run, learner: Learner) -> Pass:
        """Return the first pass of the training sampler."""
        size, batch_size = learner.train_size, learner.batch_size
        return self._pass(run, "train", "sampler", batch_size, size, lambda: learner.train_sampler)

    def valid(self, run: Run, learner: Learner) -> Pass:
        """Return the pass of validation."""
        size, batch_size = len(learner.data.split("valid")), learner.valid_batch_size
        return self._pass(run, "valid", "valid_sampler", batch_size, size, lambda: learner.valid_batches("valid"))

    def _pass(
        self, run: Run, split: str, slot: str, batch_size: int, size: int, make: Callable[[], Iterable[Sequence[int]]]
    ) -> Pass:
        chosen = run.experiment.component(slot) if slot in run.experiment.slots else None
        recipe = json.dumps(chosen.to_json(), sort_keys=True, default=str) if chosen is not None else ""
        key = (id(run.data), id(getattr(chosen, "factory", None)), split, recipe, batch_size)
        if key not in self._passes:
            self._kept.append((run.data, chosen))
            label = chosen.label if chosen is not None else "the order of validation"
            self._passes[key] = _first_pass(make(), split, size, label)
            if chosen is not None and chosen.is_foreign and not self._passes[key].problem:
                self._passes[key] = attrs.evolve(self._passes[key], problem=_differs_again(make, label))
        return self._passes[key]


def check_samplers(run: Run, learner: Learner, compare: str) -> None:
    """Raise if a sampler asks for what a split does not offer, or cannot give batches, before it is made.

    Raises:
        StudyError: the problems of both samplers, and those of other parts that are declared.
    """
    problems = []
    for slot, split in (("sampler", "train"), ("valid_sampler", "valid")):
        if slot in run.experiment.slots:
            problems += _sampler_problems(run, run.experiment.component(slot), learner.data, split)
    if problems:
        # the rehearsal, which finds these, needs samplers
        raise StudyError([*problems, *_declared_problems(learner, compare)])


def _sampler_problems(run: Run, component: Component, data: Data, split: str) -> list[str]:
    needs, examples = component.needs, data.split(split)
    offered = {"size", "batch_size", "generator", *data.facts(), *data.split_facts(examples)}
    # the lengths of a large split take time, so they are only asked for where they are needed
    if "lengths" in needs and data.length(examples) is not None:
        offered.add("lengths")
    dataset = run.experiment.component("dataset")
    problem = unmet_by_split(component, dataset, offered, examples)
    lacking = [name for name in ("__iter__", "__len__") if not hasattr(component.factory, name)]
    # of a function only what it returns can be judged
    if isinstance(component.factory, type) and lacking:
        names = " and no ".join(f"`{name}`" for name in lacking)
        text = f"{component.label} has no {names}"
        hint = "it gives batches, lists of indices, and len() is their number: docs/writing-a-plugin.md#a-sampler"
        problem = problem or str(ParameterError(text, where=component.place, hint=hint))
    return [problem] if problem else []


def _first_pass(sampler: Any, split: str, size: int, label: str) -> Pass:
    """Check one pass of a sampler."""
    count = len(sampler)
    smallest: Any = []
    given = largest = 0
    seen = None if _declares(sampler, "with_replacement", "replacement") else bytearray(size)
    # one more than declared: an endless sampler would hang the plan
    for batch in itertools.islice(iter(sampler), count + 1):
        if not hasattr(batch, "__len__") or not hasattr(batch, "__iter__"):
            return Pass([], f"{label} gives {describe_structure(batch)}, not a list of indices")
        if not len(batch):
            return Pass([], f"{label}: batch {given} of the {split} split is empty")
        if wrong := _bad_index(batch, size):
            return Pass([], f"{label} gives {wrong}, but the {split} split has {size} examples")
        if seen is not None and (twice := _repeated(batch, seen)) is not None:
            hint = "a sampler that draws with replacement declares it: with_replacement = True"
            return Pass([], f"{label} gives index {twice} of the {split} split twice in an epoch\n  {hint}")
        given += 1
        largest = max(largest, len(batch))
        smallest = batch if not len(smallest) or len(batch) < len(smallest) else smallest
    if given != count:
        more = "more" if given > count else str(given)
        return Pass([], f"{label} declares {count} batches of the {split} split and gives {more}")
    missing = 0 if seen is None or not any(seen) else seen.count(0)
    # a last batch that is too small may be left out
    if missing >= largest and not _declares(sampler, "leaves_out"):
        hint = "a sampler that chooses examples declares it: leaves_out = True"
        return Pass([], f"{label} leaves out {missing:,} of the {size:,} examples of the {split} split\n  {hint}")
    return Pass(smallest)


def _differs_again(make: Callable[[], Iterable[Sequence[int]]], label: str) -> str:
    """Return the problem that two passes of one epoch differ: a resumed run would train on other batches."""
    first, second = ([[str(index) for index in batch] for batch in make()] for _ in range(2))
    if first == second:
        return ""
    hint = "draw from `generator` alone, and keep nothing from one pass to the next"
    return f"{label} gives another order when the same epoch begins again\n  {hint}"


def _declares(sampler: Any, *names: str) -> bool:
    """Return whether a sampler, or one that it wraps, sets one of some attributes to true."""
    inner = sampler
    while inner is not None:
        # replacement: as PyTorch's own samplers declare it
        if any(getattr(inner, name, False) for name in names):
            return True
        inner = getattr(inner, "sampler", None)
    return False


def _repeated(batch: Iterable[Any], seen: bytearray) -> int | None:
    """Return the first index that was seen before, and mark all as seen; windows and the like are no numbers."""
    with suppress(TypeError):
        for index in map(operator.index, batch):
            if seen[index]:
                return index
            seen[index] = 1
    return None


def _bad_index(batch: Iterable[Any], size: int) -> str:
    """Return the first invalid index of a batch as text; indices of other types, such as windows, are allowed."""
    try:
        indices = [operator.index(index) for index in batch]
    except TypeError:
        odd = next((index for index in batch if _is_no_index(index)), ...)
        return "" if odd is ... else f"the index {odd!r}"
    low, high = min(indices), max(indices)
    return f"the index {low if low < 0 else high}" if low < 0 or high >= size else ""


def _is_no_index(index: Any) -> bool:
    if isinstance(index, Tensor):
        return index.is_floating_point()
    return isinstance(index, (float, np.floating, str, type(None)))


def rehearse(run: Run, learner: Learner, compare: str, samplers: SamplerChecks, *, is_trial: bool = False) -> ArmCheck:
    """Run every part of a run once.

    Args:
        run: of the arm.
        learner: newly built for it; not usable afterwards.
        compare: the metric that the study compares.
        samplers: shared by the arms of a plan.
        is_trial: whether it is a trial of a search, which may diverge.

    Raises:
        StudyError: several problems; all of them.
        LabError: one problem.
    """
    _check_model(run, learner)
    _check_rates(run, learner)
    passes = [samplers.train(run, learner), samplers.valid(run, learner)]
    # declarations first: a step with a wrong sampler would fail with a message about shapes
    problems = [*_declared_problems(learner, compare), *(each.problem for each in passes if each.problem)]
    if problems:
        raise StudyError(problems)
    for callback in learner.callbacks:
        callback.check(learner)
    _before_fit(learner)
    # observers write files and draw figures; the rehearsal's two steps are not theirs
    with learner.unobserved():
        return _rehearse_steps(run, learner, compare, *passes, tolerant=is_trial)


def _rehearse_steps(run: Run, learner: Learner, compare: str, train: Pass, valid: Pass, *, tolerant: bool) -> ArmCheck:
    _check_weights(learner)
    moved = _moves(learner)
    with _gradients(learner) as reached:
        seconds = _train(run, learner, train, tolerant=tolerant)
    notes = [*_gradient_notes(run, learner, reached), *_selection_notes(learner, compare)]
    if not moved():
        notes += _still_notes(run) if reached else _untrained_notes(run)
    # validation after the steps: metrics then see an output that training has moved
    notes += _evaluate(run, learner, valid, tolerant=tolerant)
    _check_optimizer(run, learner)
    _check_checkpoint(learner)
    parameters = sum(weight.numel() for weight in learner.model.parameters())
    notes += unkept_notes(learner.callbacks, learner.stepper)
    notes += [remark for callback in learner.callbacks for remark in callback.remarks(learner)]
    return ArmCheck(parameters, seconds, bool(learner.parts), tuple(notes))


# --- what is declared -------------------------------------------------------------------------------------------------


def _declared_problems(learner: Learner, compare: str) -> list[str]:
    """Return the problems that show without a step: directions, arguments and names."""
    problems = []
    for name, metric in learner.metrics.items():
        for check in (check_direction, check_arguments):
            try:
                check(name, metric)
            except LabError as error:
                problems.append(str(error))
    for callback in learner.callbacks:
        problems += [*_event_problems(callback), *_taken_columns(learner, callback)]
    known = directions(learner)
    metric = learner.metrics.get(compare.partition("_")[2])
    if compare not in known and (metric is None or isinstance(getattr(metric, "higher_is_better", None), bool)):
        problems.append(_uncomparable(compare, sorted(known)))
    return problems


def _taken_columns(learner: Learner, callback: Callback) -> list[str]:
    """Return the columns that a callback declares and that are losses or scores of metrics."""
    taken = {f"{split}_{name}" for split in ("train", "valid", "test") for name in ("loss", *learner.metrics)}
    return [
        f"callback '{callback.name}' declares the column '{name}', which is a loss or metric of the experiment"
        for name in callback.metrics
        if name in taken
    ]


def _uncomparable(compare: str, known: Sequence[str]) -> str:
    if compare.startswith("test_") and not any(name.startswith("test_") for name in known):
        return str(ParameterError(f"this study compares '{compare}', but the data has no test split"))
    error = ParameterError(
        f"this study compares '{compare}', but nothing declares whether higher or lower is better",
        hint=did_you_mean(
            compare,
            known,
            f"a callback that adds it to the history declares it: metrics = {{'{compare}': True}}",
            f"known: {', '.join(known)}",
        ),
    )
    return str(error)


_METHODS = tuple(f"{moment}_{event}" for event in EVENTS for moment in ("before", "after"))
_OTHER_LIBRARIES = {
    "on_train_begin": "before_fit", "on_fit_start": "before_fit", "on_train_start": "before_fit",
    "on_train_end": "after_fit", "on_fit_end": "after_fit", "on_epoch_begin": "before_epoch",
    "on_train_epoch_start": "before_epoch", "on_epoch_end": "after_epoch", "on_train_epoch_end": "after_epoch",
    "on_batch_begin": "before_batch", "on_train_batch_begin": "before_batch", "on_train_batch_start": "before_batch",
    "on_batch_end": "after_batch", "on_train_batch_end": "after_batch", "on_validation_start": "before_validate",
    "on_validation_end": "after_validate", "on_before_backward": "before_backward", "after_backwards": "after_backward",
}  # fmt: skip


def _event_problems(callback: Callback) -> list[str]:
    """Return misspelled events of a callback, events of other libraries, and events with a wrong signature."""
    where = f"callback '{callback.name}'"
    problems = []
    for name in _own_methods(callback):
        if name in _METHODS:
            if not _takes_learner(getattr(callback, name)):
                problems.append(f"{where}: {name} must take one argument, the learner")
        elif meant := _OTHER_LIBRARIES.get(name) or _close_event(name):
            problems.append(f"{where} has a method '{name}', which is not an event\n  did you mean: {meant}?")
    return problems


def _own_methods(callback: Callback) -> list[str]:
    """Return the public methods that a subclass adds or overrides."""
    owners = [kind for kind in type(callback).__mro__ if kind is not Callback and issubclass(kind, Callback)]
    own = {name for owner in owners for name, value in vars(owner).items() if callable(value)}
    return sorted(name for name in own if not name.startswith("_"))


def _close_event(name: str) -> str:
    if hasattr(Callback, name):
        return ""
    # 0.85: 'after_epochs' is a typo, 'after_all' a method of the user's own
    close = difflib.get_close_matches(name.lower(), _METHODS, n=1, cutoff=0.85)
    return close[0] if close else ""


def _takes_learner(method: Any) -> bool:
    try:
        inspect.signature(method).bind(None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _before_fit(learner: Learner) -> None:
    """Call ``before_fit`` of the callbacks that allow it, with a folder for artefacts that is removed again."""
    silent = (Callback.before_fit, Checkpoint.before_fit)
    callbacks = [each for each in learner.callbacks if each.rehearse and type(each).before_fit not in silent]
    if callbacks:
        with tempfile.TemporaryDirectory(prefix="lab-") as folder:
            learner.folder = Path(folder)
            _call_before_fit(learner, callbacks)
            learner.folder = None


def _call_before_fit(learner: Learner, callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        try:
            callback.before_fit(learner)
        except (CancelBatch, CancelEpoch, CancelFit):
            continue
        except LabError as error:
            error.add_note(f"in callback '{callback.name}', before_fit")
            raise
        except Exception as error:
            raise LabError(describe_error(error), where=f"callback '{callback.name}', before_fit") from error


# --- steps ------------------------------------------------------------------------------------------------------------


def _check_weights(learner: Learner) -> None:
    """Raise if an initial weight is not a number: a vector that was read wrongly, a division by zero."""
    for name, weight in learner.model.named_parameters():
        # one sum per weight instead of isnan().any(), which allocates a mask as large as the weight
        if weight.is_floating_point() and bool(weight.detach().sum().isnan()):
            raise LabError(
                f"the weight '{name}' is not a number before training",
                where=type(learner.model).__name__,
                hint="check how it is initialized",
            ).blaming("architecture")


def _train(run: Run, learner: Learner, train: Pass, *, tolerant: bool) -> float:
    """Train on the smallest batch of the epoch, then on a full one, and return the seconds of the full step.

    If the smallest batch is at least half a full one, both are full; a slow step is then not repeated.
    """
    _follow_schedules(learner)
    full = list(range(min(learner.train_size, learner.batch_size)))
    # a model with state between batches (stateful RNNs) needs batches of one size
    is_small = 2 * len(train.smallest) <= len(full) and not extra_state(learner.model)
    small = train.smallest if is_small else full
    label = run.experiment.component("stepper").label
    learner.set_training_mode()
    hashes: list[str] = []
    # two fetches first: a dataset that augments at random differs by itself, and nothing can be concluded then
    for moment in ("", "", "its collate"):
        if moment:
            _batch(learner, "train", small)
        _check_examples(run, learner, small, moment, hashes)
    started = time.perf_counter()
    try:
        with assert_global_state_unchanged(label, allow_torch_rng=True, functions=True), _naming(run, learner):
            first = _step(learner, small)
    except Exception as error:
        # a wrong shape is wrong at any size, although two sizes that are equal by chance may hide it in a full batch
        if small is full or isinstance(error, (PluginError, ShapeError)) or is_out_of_memory(error):
            raise
        # if the full batch fails too, the size is not the reason, and its error is the one to show
        _step(learner, full)
        raise _too_small(learner, train, error.__cause__ or error) from error
    _check_examples(run, learner, small, "a training step", hashes)
    _check_finite(first, "the training loss is {} on the first batch, before any weight has moved")
    if small is full and (seconds := time.perf_counter() - started) > SLOW_STEP_S:
        return seconds
    started = time.perf_counter()
    second = _step(learner, full)
    seconds = time.perf_counter() - started
    if not tolerant:
        _check_finite(second, "the training loss is {} at the second step", learner)
    return seconds


@contextmanager
def _gradients(learner: Learner) -> Iterator[set[str]]:
    """Yield a set that gets the names of the model's weights which a backward pass gives a gradient."""
    reached: set[str] = set()
    handles = [
        weight.register_post_accumulate_grad_hook(lambda _, name=name: reached.add(name))  # type: ignore[no-untyped-call]
        for name, weight in learner.model.named_parameters()
        if weight.requires_grad and weight.is_leaf
    ]
    try:
        yield reached
    finally:
        for handle in handles:
            handle.remove()


def _moves(learner: Learner) -> Callable[[], bool]:
    """Return a function that tells whether weights have changed since, by the smallest of them."""
    weights = sorted((each for _, each in _trainable(learner)), key=lambda weight: weight.numel())[:SOME_WEIGHTS]
    before = [weight.detach().clone() for weight in weights]
    # a version counts changes in place, also those by zero; writing to weight.data changes values only
    versions = [weight._version for weight in weights]

    def moved() -> bool:
        if any(weight._version != version for weight, version in zip(weights, versions, strict=True)):
            return True
        return not all(_same(weight.detach(), old) for weight, old in zip(weights, before, strict=True))

    return moved


def _still_notes(run: Run) -> list[str]:
    """Return notes on the parts that may be at fault if two steps changed no weight."""
    remedies = {"stepper": "does it call learner.optimizer.step()?", "optimizer": "does its step() change the weights?"}
    # steppers of lab that accumulate gradients move nothing in two steps
    return [
        f"{part.label}: two steps changed no weight; {remedy}{_at(part)}"
        for part, remedy in ((run.experiment.component(slot), remedy) for slot, remedy in remedies.items())
        if part.is_foreign
    ]


def _untrained_notes(run: Run) -> list[str]:
    """Return a note if two steps gave no weight a gradient and changed none.

    A stepper of ``lab`` with its own model and loss may fit in other ways.
    """
    parts = [run.experiment.component(slot) for slot in ("loss", "architecture", "stepper", "optimizer")]
    foreign = [f"{part.label}{_at(part)}" for part in parts if part.is_foreign]
    if not foreign:
        return []
    return [f"two steps gave no weight a gradient and changed none; is the loss detached? {', '.join(foreign)}"]


def _at(component: Component) -> str:
    return f" ({component.place})" if component.place else ""


def _gradient_notes(run: Run, learner: Learner, reached: set[str]) -> list[str]:
    """Return a note on trainable weights that no gradient reaches, as behind a ``detach()``.

    Without any gradient nothing is known: a stepper may fit otherwise, or compute gradients by itself.
    """
    declared = [*getattr(learner.model, "untrained", ()), *getattr(learner.stepper, "untrained", ())]
    without = [
        name
        for name, weight in learner.model.named_parameters()
        if weight.requires_grad and name not in reached and not _is_declared(name, declared)
    ]
    if not reached or not without:
        return []
    architecture = run.experiment.component("architecture")
    place = _at(architecture) if architecture.is_third_party else ""
    return [f"no gradient reached {_listed(without)} in two steps: detached, or not used?{place}"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _follow_schedules(learner: Learner) -> None:
    """Set the learning rate of the first step, which a warm-up makes small."""
    for callback in learner.callbacks:
        if isinstance(callback, Schedule):
            callback.before_batch(learner)


@contextmanager
def _naming(run: Run, learner: Learner) -> Iterator[None]:
    """Attribute changes of global state inside the block to the model or the loss that made them.

    Otherwise the stepper, which calls them, would be blamed.
    """
    guards: list[ExitStack] = []

    def enter(*_: Any) -> None:
        guards.append(ExitStack())
        label = run.experiment.component("architecture").label
        guards[-1].enter_context(assert_global_state_unchanged(label, allow_torch_rng=True, functions=True))

    def leave(*_: Any) -> None:
        guards.pop().close()

    loss, label = learner.loss, run.experiment.component("loss").label

    def guarded_loss(*arguments: Any, **options: Any) -> Any:
        with assert_global_state_unchanged(label, allow_torch_rng=True, functions=True):
            return loss(*arguments, **options)

    handles = [learner.model.register_forward_pre_hook(enter), learner.model.register_forward_hook(leave)]
    # a module stays: steppers may read its weight or its parameters
    if not isinstance(loss, nn.Module):
        functools.update_wrapper(guarded_loss, loss, updated=("__dict__",))
        learner.loss = guarded_loss
    try:
        yield
    finally:
        _put_loss_back(learner, loss, handles)
        # a forward pass that raises calls no hook behind it; a guard that is left open puts the settings and seeds of
        # this moment back whenever it is collected, in the middle of something else
        while guards:
            with suppress(PluginError):
                guards.pop().close()


def _check_examples(run: Run, learner: Learner, indices: Sequence[int], moment: str, hashes: list[str]) -> None:
    """Raise if examples have changed: something has written into data that all runs share.

    Args:
        run: of the arm.
        learner: its learner.
        indices: some training examples.
        moment: the action since the last hash, for the message.
        hashes: their hashes so far; the first two are equal if the dataset is deterministic.
    """
    split = learner.data.split("train")
    fetch = getattr(split, "__getitems__", None)
    some = list(indices[:SOME_EXAMPLES])
    with all_generators(0):
        hashes.append(hash_of_values(fetch(some) if fetch else [split[index] for index in some]))
    if moment and hashes[0] == hashes[1] != hashes[-1]:
        raise DataError(
            f"{run.experiment.component('dataset').label}: its examples are changed by {moment}",
            where="all runs share them, so the next one would train on other data",
            hint=_COPY,
        )


def _step(learner: Learner, indices: Sequence[int]) -> float:
    batch = _batch(learner, "train", indices)
    with _described(learner, batch, "training step"):
        try:
            loss = learner.stepper.train_step(batch)
        except (CancelBatch, CancelEpoch, CancelFit):
            return 0.0
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise ShapeError(
            f"the training step gives {describe_structure(loss)}, not the loss as a scalar tensor",
            where=f"stepper '{type(learner.stepper).__name__}'",
            hint="train_step returns loss.detach()",
        ).blaming("stepper")
    return float(loss)


def _batch(learner: Learner, split: str, indices: Sequence[int]) -> Any:
    loader = learner.data.loader(learner.data.split(split), [indices])
    return to_device(next(iter(loader)), learner.device)


def _check_finite(loss: float, text: str, learner: Learner | None = None) -> None:
    if not math.isfinite(loss):
        rate = f"learning rate {learner.optimizer.param_groups[0]['lr']:.3g}" if learner is not None else None
        hint = "try a smaller lr, or clip gradients" if learner is not None else "look for NaN in the data and the loss"
        raise LabError(text.format(loss), where=rate, hint=hint)


def _too_small(learner: Learner, train: Pass, error: BaseException) -> LabError:
    small, size = len(train.smallest), learner.train_size
    examples = f"{small} example" + "s" * (small > 1)
    reason = str(error).splitlines()[0] if isinstance(error, LabError) else describe_error(error)
    # torch's words for a batch norm that has one value to take the variance of
    is_norm = "more than 1 value per channel" in reason
    needs = "batch norm needs two or more" if is_norm else "a full batch can be trained on"
    return LabError(
        f"the smallest batch of an epoch has {examples}, and the model cannot be trained on it: {reason}",
        where=f"{size} training examples, batch_size={learner.batch_size}",
        hint=f"{needs}; choose another batch_size, or leave the rest out: sampler=use('shuffle', drop_last=True)",
    )


@contextmanager
def _described(learner: Learner, batch: Any, moment: str) -> Iterator[None]:
    """Add the structure of batch and output to a failure in torch or in a component."""
    outputs: list[Any] = []
    handle = learner.model.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        known = f"batch {describe_structure(batch)}" + (
            f", output {describe_structure(outputs[-1])}" if outputs else ""
        )
        raise type_of_failure(error, f"the first {moment}: {known}", batch, outputs) from error
    finally:
        handle.remove()


def type_of_failure(error: Exception, where: str, batch: Any, outputs: Sequence[Any]) -> LabError:
    """Return the error with its place and, for unusual batches and outputs, a hint."""
    is_plain = isinstance(batch, (tuple, list)) and (not outputs or isinstance(outputs[-1], Tensor))
    hint = None if is_plain else "a stepper computes the loss of such a batch: write one (docs/training.md)"
    return LabError(describe_error(error), where=where, hint=hint)


def _evaluate(run: Run, learner: Learner, valid: Pass, *, tolerant: bool) -> list[str]:
    """Validate one batch, its two parts and the smallest batch with every metric, and return notes."""
    indices = list(range(min(len(learner.data.split("valid")), learner.valid_batch_size)))
    can_be_cut = not extra_state(learner.model)
    notes = []
    with learner.evaluating():
        moved = _moves(learner)
        if run.experiment.component("loss").is_foreign:
            # apart from the step that is measured: what a loss declares of itself would be hidden
            with _loss_keeps_arguments(run, learner):
                _valid_step(learner, indices[:CUT])
        whole = _valid_step(learner, indices)
        if not tolerant and float(whole.weight):
            _check_finite(float(whole.loss), "the validation loss is {} after two training steps", learner)
        _try_metrics(learner, [(indices, whole)])
        if can_be_cut and len(indices) > 1:
            # 32 examples show a dependence as well as 1,024 do, and keep the rehearsal below two steps
            if len(indices) > CUT:
                indices = indices[:CUT]
                whole = _valid_step(learner, indices)
            halves = [(part, _valid_step(learner, part)) for part in halves_of(indices)]
            _try_metrics(learner, halves)
            _check_resets(run, learner, (indices, whole), halves[0])
            differing = depends_on_the_cut(learner, whole, [half for _, half in halves])
            if differing is not None:
                # what lab brings is known to give one loss for one batch
                parts = [run.experiment.component(slot) for slot in ("architecture", "stepper", "loss")]
                again = _valid_step(learner, indices) if any(part.is_foreign for part in parts) else whole
                is_same = _same(whole.loss.detach(), again.loss.detach())
                notes.append(_cut_note(run, learner, *differing) if is_same else _random_note(parts, whole, again))
        if can_be_cut and len(valid.smallest) < min(len(part) for part in halves_of(indices)):
            _try_metrics(learner, [(valid.smallest, _valid_step(learner, valid.smallest))])
        if moved():
            raise LabError(
                "the validation step changes weights of the model",
                where=f"stepper '{type(learner.stepper).__name__}', with the model and the loss that it calls",
                hint="valid_step computes a loss and an output, without a step of the optimizer",
            ).blaming("stepper", "architecture", "loss")
    return notes


@contextmanager
def _loss_keeps_arguments(run: Run, learner: Learner) -> Iterator[None]:
    """Raise if the loss writes into the output or the target inside the block: metrics judge them after it."""
    loss, component = learner.loss, run.experiment.component("loss")
    given: list[tuple[Tensor, Tensor]] = []

    def keep(*arguments: Any) -> None:
        given[:] = [(each, each.detach().clone()) for each in _tensors(arguments)]

    def compare() -> None:
        if not all(_same(each.detach(), copy) for each, copy in given):
            text = f"{component.label} changes the output or the target, by which metrics judge after it"
            raise DataError(text, hint=_COPY).blaming("loss")

    def guarded(*arguments: Any, **options: Any) -> Any:
        keep(*arguments)
        found = loss(*arguments, **options)
        compare()
        return found

    handles = []
    # a module stays: steppers may read its weight or its parameters
    if isinstance(loss, nn.Module):
        handles = [
            loss.register_forward_pre_hook(lambda _, arguments: keep(*arguments)),
            loss.register_forward_hook(lambda *_: compare()),
        ]
    else:
        learner.loss = guarded
    try:
        yield
    finally:
        _put_loss_back(learner, loss, handles)


def _put_loss_back(learner: Learner, loss: Any, handles: Iterable[Any]) -> None:
    """Undo what a guard of the loss or the model has put in its place."""
    learner.loss = loss
    for handle in handles:
        handle.remove()


def _random_note(parts: Sequence[Component], first: Evaluation, second: Evaluation) -> str:
    foreign = ", ".join(f"{part.label}{_at(part)}" for part in parts if part.is_foreign)
    return (
        f"valid_loss of one batch is {float(first.loss):.4g} and, computed again, {float(second.loss):.4g}: dropout, "
        f"or a state that changes, in evaluation mode{': ' if foreign else ''}{foreign}"
    )


def _cut_note(run: Run, learner: Learner, whole: float, mean: float) -> str:
    loss = learner.loss
    name = getattr(getattr(loss, "func", loss), "__name__", type(loss).__name__)
    stepper = run.experiment.component("stepper")
    if stepper.is_foreign:
        name += f", as {stepper.label} calls it{_at(stepper)},"
    return (
        f"valid_loss depends on how batches are cut: {name} gives {whole:.4g} for a batch and {mean:.4g} as the "
        "mean of two parts of it; a loss that is not a mean over its targets must declare over what (lab.mean_over), "
        "and arms with another valid_batch_size have another yardstick"
    )


def _valid_step(learner: Learner, indices: Sequence[int]) -> Evaluation:
    batch = _batch(learner, "valid", indices)
    before = {id(each): (each, each.clone()) for each in _tensors(batch)}
    with _described(learner, batch, "validation step"):
        result = learner.stepper.valid_step(batch)
    if not isinstance(result, Evaluation) or not isinstance(result.loss, Tensor) or result.loss.numel() != 1:
        raise ShapeError(
            f"the validation step gives {describe_structure(result)}, not an Evaluation with a scalar loss",
            where=f"stepper '{type(learner.stepper).__name__}'",
            hint="valid_step returns Evaluation(loss, output, target, weight)",
        ).blaming("stepper")
    targets = [before[id(each)] for each in _tensors(result.target) if id(each) in before]
    if not all(_same(each, copy) for each, copy in targets):
        raise DataError(
            "the validation step changes its targets, by which metrics judge",
            where=f"stepper '{type(learner.stepper).__name__}', with the model and the loss that it calls",
            hint=_COPY,
        ).blaming("stepper", "architecture", "loss")
    return result


def _same(one: Tensor, other: Tensor) -> bool:
    # NaN is not equal to itself, and a padded output may hold some
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _tensors(structure: Any) -> list[Tensor]:
    leaves = tree_leaves(structure)
    return [each for each in leaves if isinstance(each, Tensor) and each.layout is torch.strided]


def _try_metrics(learner: Learner, results: Sequence[tuple[Sequence[int], Evaluation]]) -> None:
    """Update, compute and reset every metric."""
    for name, metric in learner.metrics.items():
        try:
            metric.reset()
            for indices, result in results:
                given = [(each, each.clone()) for each in _tensors((result.output, result.target))]
                _update_metric(learner, name, metric, indices, result)
                if not all(_same(each, copy) for each, copy in given):
                    text = f"metric '{name}' changes the output or the target, by which the metrics after it judge"
                    raise DataError(text, hint=_COPY)
            score_of(name, metric)
            metric.reset()
        except LabError:
            raise
        except Exception as error:
            last = results[-1][1]
            raise LabError(
                f"metric '{name}' fails: {describe_error(error)}",
                where=f"output {describe_structure(last.output)}, target {describe_structure(last.target)}",
            ) from error


def _check_resets(
    run: Run, learner: Learner, first: tuple[Sequence[int], Evaluation], second: tuple[Sequence[int], Evaluation]
) -> None:
    """Raise if a metric that is not part of ``lab`` scores otherwise after a reset than a fresh one does.

    Raises:
        LabError: it does: the scores of later epochs would hold those of earlier ones.
    """
    foreign = {each.alias: each for each in run.experiment.components("metrics") if each.is_foreign}
    for name, component in foreign.items():
        metric = learner.metrics[name]
        try:
            fresh = copy.deepcopy(metric)
        except Exception:
            # some hold what cannot be copied, such as a process
            continue
        scores = []
        for each, results in ((metric, [first, second]), (fresh, [second])):
            for indices, result in results:
                each.reset()
                _update_metric(learner, name, each, indices, result)
                score, _ = score_of(name, each)
            scores.append(score)
            each.reset()
        if not math.isclose(*scores, rel_tol=1e-6, abs_tol=1e-9) and not all(map(math.isnan, scores)):
            raise LabError(
                f"metric '{name}' gives {scores[0]:.4g} after a reset, and {scores[1]:.4g} when it is new",
                where=component.place or None,
                hint="reset() must forget everything: later epochs would count earlier ones",
            )


def _update_metric(learner: Learner, name: str, metric: Any, indices: Sequence[int], result: Evaluation) -> None:
    if name in learner.metrics_with_batch:
        metric.update(result.output, result.target, batch=_batch(learner, "valid", indices))
    else:
        metric.update(result.output, result.target)


def _selection_notes(learner: Learner, compare: str) -> list[str]:
    """Return a note if the best epoch is chosen on the split that is reported."""
    split = f"{compare.partition('_')[0]}_"
    rules = [each for each in learner.callbacks if isinstance(each, Checkpoint) and each.select == "best"]
    return [
        f"the best epoch is chosen by {rule.monitor}, on the split that {compare} is reported on"
        for rule in rules
        if rule.monitor.startswith(split)
    ]


# --- weights ----------------------------------------------------------------------------------------------------------


def _check_model(run: Run, learner: Learner) -> None:
    """Raise if a model that is not part of ``lab`` differs when it is built again: no key would tell the two apart.

    Raises:
        LabError: weights of other shapes or values, as of a model that counts its instances, or draws by itself.
    """
    architecture = run.experiment.component("architecture")
    numbers = sum(weight.numel() for weight in learner.model.parameters())
    if not architecture.is_foreign or numbers > MAX_BUILT_TWICE:
        return
    weights, again = (
        {name: each.detach() for name, each in model.named_parameters()}
        for model in (learner.model, build_model(run.experiment, run.data, run.seed))
    )
    what = ""
    if {name: each.shape for name, each in weights.items()} != {name: each.shape for name, each in again.items()}:
        what = f"{numbers:,} weights, and then {sum(each.numel() for each in again.values()):,}"
    elif other := [name for name, each in weights.items() if not _same(each.cpu(), again[name].cpu())]:
        what = f"another '{other[0]}'"
    if what:
        raise LabError(
            f"{architecture.label} gives another model when it is built again: {what}",
            where=architecture.place or None,
            hint="draw initial weights with torch alone, and keep nothing from one model to the next",
        ).blaming("architecture")


def _check_rates(run: Run, learner: Learner) -> None:
    """Raise if an optimizer that is not part of ``lab`` has none of the learning rates that it was given.

    Raises:
        LabError: it has others.
    """
    optimizer = run.experiment.component("optimizer")
    groups = learner.optimizer.param_groups
    rates = {float(group["lr"]) for group in groups if isinstance(group.get("lr"), (int, float))}
    if not optimizer.is_foreign or not rates or not rates.isdisjoint(map(float, learner.learning_rates())):
        return
    raise LabError(
        f"{optimizer.label} trains with the learning rate {min(rates):g}, not with the {learner.learning_rates()[0]:g} "
        "that it is given",
        where=optimizer.place or None,
        hint="pass `lr` and the groups on to torch.optim.Optimizer",
    ).blaming("optimizer")


def _check_optimizer(run: Run, learner: Learner) -> None:
    """Raise if a trainable weight is not in the optimizer.

    The reasons are layers that ``layer_groups`` leaves out, layers that the first forward pass made or replaced, and
    weights of the loss. A model or a stepper that trains weights in another way names them in ``untrained``.
    """
    held = {id(weight) for group in learner.optimizer.param_groups for weight in group["params"]}
    declared = [*getattr(learner.model, "untrained", ()), *getattr(learner.stepper, "untrained", ())]
    missing = [
        name for name, weight in _trainable(learner) if id(weight) not in held and not _is_declared(name, declared)
    ]
    if missing:
        optimizer, loss = (run.experiment.component(slot) for slot in ("optimizer", "loss"))
        of_loss = all(name.startswith("loss.") for name in missing)
        hints = [
            "layer_groups() must name every layer, and layers must be made in __init__ (several in nn.ModuleList, "
            "not in a list); freeze what is not to be trained (requires_grad_(False)), or name it in the attribute "
            "`untrained` of the model or the stepper"
        ]
        if of_loss:
            hints = [f"an optimizer gets the weights of the model alone: make them part of it, not of {loss.label}"]
        elif optimizer.is_foreign:
            hints.append(f"or {optimizer.label} leaves them out{_at(optimizer)}")
        raise LabError(
            f"the optimizer does not hold weights that require a gradient: {_listed(missing)}",
            where=loss.label if of_loss else type(learner.model).__name__,
            hint="\n".join(hints),
        )


def _trainable(learner: Learner) -> Iterator[tuple[str, nn.Parameter]]:
    named = [("", learner.model)]
    if isinstance(learner.loss, nn.Module):
        named.append(("loss.", learner.loss))
    for prefix, module in named:
        for name, weight in module.named_parameters():
            if weight.requires_grad:
                yield f"{prefix}{name}", weight
        for name, weight in _unregistered(module):
            if weight.requires_grad:
                yield f"{prefix}{name}", weight


def _unregistered(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the weights of layers in plain lists, tuples and dictionaries, which PyTorch neither trains nor saves."""
    for path, module in model.named_modules():
        for attribute, value in vars(module).items():
            # its own tables begin with "_"
            if attribute.startswith("_") or not isinstance(value, (list, tuple, dict)):
                continue
            for place, item in value.items() if isinstance(value, dict) else enumerate(value):
                name = f"{path}.{attribute}.{place}".removeprefix(".")
                if isinstance(item, nn.Parameter):
                    yield name, item
                elif isinstance(item, nn.Module):
                    yield from ((f"{name}.{inner}", weight) for inner, weight in item.named_parameters())


def _is_declared(name: str, declared: Sequence[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in declared)


def _check_checkpoint(learner: Learner) -> None:
    """Save and load a checkpoint in memory."""
    # a sharded checkpoint needs collectives on all ranks; one rank alone would wait for the others
    if learner.distributed.world_size > 1:
        return
    try:
        rehearse_checkpoint(learner)
    except LabError:
        raise
    except Exception as error:
        raise LabError(
            f"a checkpoint of this arm cannot be loaded: {describe_error(error)}",
            hint="state_dict and load_state_dict, and get_extra_state and set_extra_state, must fit each other",
        ) from error

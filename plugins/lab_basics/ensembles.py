"""Ensembles: means of the predictions of several trained models, on a split and as an arm of a study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.errors import LabError, ParameterError, ShapeError, StudyError, UnknownNameError
from lab.training.callback import Callback
from lab.training.data import to_device
from lab.training.stepper import Evaluation, Stepper, Supervised
from lab.training.structure import describe_structure

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.results import Results
    from lab.study.store import Store
    from lab.study.study import Arm, Study
    from lab.training.learner import Learner

__all__ = [
    "AVERAGES",
    "KINDS",
    "Average",
    "EnsembleScores",
    "EvaluateOnly",
    "MeanOf",
    "MembersFromRuns",
    "average_for",
    "check_average",
    "ensemble",
    "mean_prediction",
    "next_arms",
    "outputs_of",
    "score_ensemble",
]

Average = Literal["classes", "binary", "values"]
AVERAGES: tuple[str, ...] = get_args(Average)

_OF_LOSS: dict[str, Average] = {
    **dict.fromkeys(("cross_entropy", "nll", "sequence_nll", "last_only", "seq2seq_loss"), "classes"),
    "bce": "binary",
    **dict.fromkeys(("mse", "l1"), "values"),
}
_MEANS = {
    "classes": "the mean of softmax probabilities",
    "binary": "the mean of sigmoid probabilities",
    "values": "the mean of outputs",
}
KINDS: dict[str, str] = {"classes": "logits of classes", "binary": "logits of yes or no", "values": "values"}
RULE = "ensemble"
ENSEMBLE = "ensemble"
_WHERE = "ensemble"


def average_for(loss: str) -> Average:
    """Return what is averaged of models that were trained with a loss, by its registered name.

    Raises:
        ParameterError: the loss does not say whether outputs are logits of classes, of yes or no, or values.
    """
    if loss not in _OF_LOSS:
        raise ParameterError(
            f"loss '{loss}' does not say what the outputs of a model are",
            where=_WHERE,
            hint="say what is averaged: classes (softmax probabilities), binary (sigmoid probabilities) or values",
        )
    return _OF_LOSS[loss]


def outputs_of(loss: str, otherwise: Average = "values") -> Average:
    """Return what the outputs of models are by their loss, or ``otherwise`` of a loss of one's own."""
    return _OF_LOSS.get(loss, otherwise)


def check_average(average: Average, loss: str) -> None:
    """Raise if what is averaged contradicts the loss of the models; of a loss of one's own, nothing is known.

    ``values`` goes with logits too: their mean is the geometric mean of the probabilities, normalized.

    Raises:
        ParameterError: probabilities of another kind than the loss's, or of values.
    """
    wanted = outputs_of(loss, average)
    if average not in (wanted, "values"):
        raise ParameterError(
            f"average '{average}' is {_MEANS[average]}, but with loss '{loss}' outputs are {KINDS[wanted]}",
            where=_WHERE,
            hint=f"average '{wanted}'" + ("" if wanted == "values" else ", or 'values' for the mean of the logits"),
        )


def mean_prediction(outputs: Sequence[Tensor], average: Average) -> Tensor:
    """Return the mean of predictions, in the form of one output, so that losses and metrics take it.

    Of ``classes`` the mean of the softmax probabilities, as its logarithm: the softmax of that is the mean again. Of
    ``binary`` the mean of the sigmoid probabilities, as a logit. Of ``values`` the mean. Computed in float64, since the
    logarithm of small probabilities is taken.

    Shapes:
        outputs: each of the same shape, classes last -> the same shape.

    Raises:
        ShapeError: an output is not a tensor, or the shapes differ.

    >>> halves = [torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.2, 0.8]]).log()]
    >>> mean_prediction(halves, "classes").softmax(-1)
    tensor([[0.5500, 0.4500]])
    """
    for output in outputs:
        if not isinstance(output, Tensor):
            raise ShapeError(
                f"an ensemble averages outputs that are one tensor each, not {describe_structure(output)}",
                where=_WHERE,
                hint="average the files of predictions instead: lab predict KEY... TABLE",
            )
    # compared as they are: sizes that are traced for an export cannot be hashed
    if any(output.shape != outputs[0].shape for output in outputs):
        raise ShapeError(
            "the outputs of the members have different shapes: "
            + ", ".join(str(tuple(output.shape)) for output in outputs),
            where=_WHERE,
            hint="members predict the same targets: the same classes in the same order",
        )
    kind = outputs[0].dtype
    stacked = torch.stack([output.double() for output in outputs])
    if average == "values":
        return stacked.mean(0).to(kind)
    if average == "classes":
        return (stacked.log_softmax(-1).logsumexp(0) - math.log(len(outputs))).to(kind)
    # the number of members cancels
    yes, no = functional.logsigmoid(stacked).logsumexp(0), functional.logsigmoid(-stacked).logsumexp(0)
    return (yes - no).to(kind)


# --- several finished runs on a split ---------------------------------------------------------------------------------


@attrs.frozen
class EnsembleScores:
    """Scores of an ensemble beside those of its members.

    Attributes:
        members: key → scores on the split, such as ``{"valid_loss": 0.4, "valid_accuracy": 0.9}``.
        mean: scores of the mean prediction.
        average: what was averaged.
        examples: number of examples in the split.
    """

    members: Mapping[str, Mapping[str, float]]
    mean: Mapping[str, float]
    average: str
    examples: int


def score_ensemble(learners: Mapping[str, Learner], split: str, average: Average) -> EnsembleScores:
    """Score the mean of the predictions of several learners on a split, and each learner alone.

    Every learner reads its own data, so that members may see an example in another form, such as a text from its end;
    the targets of the split must be the same, in the same order. Loss and metrics are those of the first learner.

    Args:
        learners: key → trained learner, at least two.
        split: ``valid`` or ``test``.
        average: what is averaged.

    Raises:
        LabError: fewer than two learners, no such split, other examples or targets, or outputs that have no mean.
    """
    if len(learners) < 2:
        raise LabError("an ensemble has at least two members", where=_WHERE, hint="give the keys of several runs")
    (first, leader), *others = learners.items()
    sizes = {}
    for key, learner in learners.items():
        examples = getattr(learner.data, split, None)
        if examples is None:
            raise LabError(f"run {key} has no {split} split", where=_WHERE, hint="--split valid")
        sizes[key] = len(examples)
    for key, _ in others:
        if sizes[key] != sizes[first]:
            raise _other_data(first, key, f"{sizes[first]:,} and {sizes[key]:,} examples in the split {split}")
    members = {key: learner.validate(split) for key, learner in learners.items()}
    # the order of batches, and their size, are the leader's in all members
    batches = leader.valid_batches(split)
    own = leader.stepper
    leader.stepper = _TogetherStepper(dict(learners), own, split, batches, average)
    leader.stepper.attach(leader)
    try:
        # one batch of indices after the other, in the leader's order, as `validate` reads them
        mean = leader.validate(split)
    finally:
        leader.stepper = own
    return EnsembleScores(members, mean, average, sizes[first])


class _TogetherStepper(Stepper):
    """Stepper that evaluates the mean prediction of several learners, each on its own form of the batch."""

    def __init__(
        self,
        learners: Mapping[str, Learner],
        own: Stepper,
        split: str,
        batches: Sequence[Sequence[int]],
        average: Average,
    ) -> None:
        self.own, self.average = own, average
        self.first, *_ = learners
        self.others = {key: learner for key, learner in learners.items() if key != self.first}
        self.batches = {key: iter(_batches(learner, split, batches)) for key, learner in self.others.items()}

    def valid_step(self, batch: Any) -> Evaluation:
        found = {self.first: self.own.valid_step(batch)}
        for key, learner in self.others.items():
            with learner.evaluating():
                found[key] = learner.stepper.valid_step(to_device(next(self.batches[key]), learner.device))
        leader = found[self.first]
        for key, each in found.items():
            if not _same(leader.target, each.target):
                raise _other_data(self.first, key, "the targets of the same examples differ")
        mean = mean_prediction([each.output for each in found.values()], self.average)
        return self.own.evaluation(mean, leader.target)


def _batches(learner: Learner, split: str, batches: Sequence[Sequence[int]]) -> Iterator[Any]:
    yield from learner.data.loader(learner.data.split(split), batches)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool((one == other.to(one.device)).all())
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _other_data(first: str, key: str, what: str) -> LabError:
    return LabError(
        f"runs {first} and {key} are of other data, so their predictions have no mean",
        where=what,
        hint="members predict the same targets of the same examples: the same dataset, split and fold",
    )


# --- an arm that is the mean of others --------------------------------------------------------------------------------


class MeanOf(nn.Module):
    """Mean of the predictions of several models that take the same inputs.

    Trained as it is, all members learn together, from the loss of their mean; ``members_from_runs`` gives them the
    weights of finished runs instead, as ``Study.ensemble`` does.

    Args:
        members: architectures, at least two. Parts of the same name start with the same weights, so members of one
            architecture start equal, and differ only by dropout, until they get weights of their own.
        average: ``classes`` averages softmax probabilities, ``binary`` sigmoid probabilities, ``values`` the outputs.

    Shapes:
        inputs of the members -> their output: the logarithm of the mean probabilities, its logit, or the mean value.

    Raises:
        ParameterError: there are fewer than two members.
    """

    def __init__(self, *, members: Sequence[nn.Module] = (), average: Average = "classes") -> None:
        super().__init__()
        if len(members) < 2:
            raise ParameterError(
                f"a mean needs at least two members, not {len(members)}",
                where="architecture 'mean_of'",
                hint="mean_of(members=['mlp', use('mlp', hidden_size=64)])",
            )
        self.members, self.average = nn.ModuleList(members), average

    def forward(self, *inputs: Any) -> Tensor:
        """Return the mean of the predictions, in the form of one output."""
        return mean_prediction([member(*inputs) for member in self.members], self.average)


class EvaluateOnly(Supervised):
    """Steps that only evaluate: no weight is changed, and the model stays in evaluation mode.

    For models that are trained already, and for baselines that are not trained at all. The training loss is that of the
    model as it is; training stops after one epoch, whatever the number of epochs.

    Args:
        stepper: evaluates batches.
    """

    def __init__(self, *, stepper: Stepper | None = None) -> None:
        self.inner = stepper or Supervised()

    def attach(self, learner: Any) -> None:
        super().attach(learner)
        self.inner.attach(learner)

    def train_step(self, batch: Any) -> Tensor:
        from lab.training.state import CancelFit

        if self.learner.position.epoch > 0:
            raise CancelFit
        with self.learner.evaluation_mode():
            return self.inner.valid_step(batch).loss.detach()

    def valid_step(self, batch: Any) -> Evaluation:
        return self.inner.valid_step(batch)


class MembersFromRuns(Callback):
    """Give the members of ``mean_of`` the weights of finished runs, before training.

    Args:
        keys: keys of the runs, one per member, in their order.
        runs: folder of runs; None for that of this run.

    Raises:
        ParameterError: the architecture is not ``mean_of``, or there are more or fewer keys than members.
        LabError: a run is gone or not finished, or its weights do not fit.
    """

    reads_metrics = False
    # a plan does not know the folder of runs
    rehearse = False

    @classmethod
    def check_runs(cls, params: Mapping[str, Any], store: Store) -> None:
        """Raise if a run is not there or not finished; a plan calls it before it reads data."""
        from lab.study.needed import check_run

        for key in params["keys"]:
            check_run({**params, "run": key}, store)

    def __init__(self, *, keys: Sequence[str] = (), runs: str | None = None) -> None:
        self.keys, self.runs = list(keys), runs

    def check(self, learner: Learner) -> None:
        if not isinstance(learner.model, MeanOf):
            raise ParameterError(
                f"members_from_runs needs the architecture mean_of, not {type(learner.model).__name__}",
                where="callback 'members_from_runs'",
            )
        if len(self.keys) != len(learner.model.members):
            raise ParameterError(
                f"{len(self.keys)} keys for {len(learner.model.members)} members",
                where="callback 'members_from_runs'",
                hint="one key per member, in their order",
            )

    def before_fit(self, learner: Learner) -> None:
        if learner.position.step:
            # a resumed run has its weights already
            return
        from lab.study.rebuild import finished_run
        from lab.study.store import Store
        from lab.training.weights import load_weights

        model = learner.model
        assert isinstance(model, MeanOf)
        store = Store(self._folder(learner))
        for key, member in zip(self.keys, model.members, strict=True):
            record = finished_run(store, key)
            load_weights(member, record.path(_selected(record)))

    def _folder(self, learner: Learner) -> Path:
        if self.runs is not None:
            return Path(self.runs)
        # runs/.store/KEY
        stored = None if learner.folder is None else learner.folder.resolve().parent
        if stored is None or stored.name != ".store":
            raise LabError(
                "the folder of runs is not known", where="callback 'members_from_runs'", hint="name it: runs='runs'"
            )
        return stored.parent


def _selected(record: Any) -> str:
    name = str(record.result.get("selected"))
    # from a fixed list, since the name comes from a store and becomes a path
    from lab.study.run import LAST
    from lab.training.checkpoint import BEST

    if name not in (BEST, LAST):
        raise LabError(f"run {record.key} has no weights to load", where=f"it selected {name!r}")
    return name


def ensemble(study: Study, groups: Mapping[str, Sequence[str]], *, average: Average | None = None) -> Study:
    """Return the study with arms that are means of the predictions of other arms.

    Once the runs of the members are finished, the mean of those with the same seed is evaluated; nothing is trained
    again. The row is paired with the base by seed, as any arm, and its budget counts the parameters of all members.

    Args:
        study: the study, with all of its arms.
        groups: name of the new arm → names of its members, ``base`` among them or not, at least two each.
        average: what is averaged: ``classes`` (softmax probabilities), ``binary`` (sigmoid probabilities) or
            ``values``; None decides by the loss of the base.

    Raises:
        StudyError: an unknown arm, one member, a name that is taken, an average that contradicts the loss, or a study
            of another kind.
    """
    from lab.registry.component import as_use
    from lab.study.checks import name_problem, shown
    from lab.study.experiment import Experiment

    problems: list[str] = []
    known = [arm.name for arm in study.all_arms]
    if not isinstance(study.base, Experiment):
        problems.append("ensemble: lab has no model of a training function; average its predictions in it")
    if study.searching is not None or study.rules:
        problems.append("ensemble goes with arms of swap, remove and grid alone: no search, folds, tune or across")
    if not isinstance(groups, Mapping) or not groups:
        problems.append(f"ensemble takes {{name: [arm, arm, ...]}}, not {shown(groups)}")
        groups = {}
    for name, members in groups.items():
        problems += name_problem("an arm", name)
        if name in known:
            problems.append(f"there is an arm '{name}' already: give the ensemble another name")
        if isinstance(members, str) or not isinstance(members, Sequence) or len(members) < 2:
            problems.append(f"ensemble '{name}' needs at least two arms, not {shown(members)}")
            continue
        hint = f"arms: {', '.join(known)}"
        problems += [
            str(UnknownNameError.among("arm", str(each), known, hint=hint)) for each in members if each not in known
        ]
    if average is not None and average not in AVERAGES:
        problems.append(f"average is one of {', '.join(AVERAGES)}, not {shown(average)}")
    if average is None and not problems:
        assert isinstance(study.base, Experiment)
        try:
            average = average_for(as_use(study.base.loss).name)
        except ParameterError as error:
            problems.append(str(error))
    elif not problems:
        assert isinstance(study.base, Experiment)
        assert average is not None
        try:
            check_average(average, as_use(study.base.loss).name)
        except ParameterError as error:
            problems.append(str(error))
    if problems:
        raise StudyError(problems)
    rule = {"groups": {name: list(members) for name, members in groups.items()}, "average": average}
    return attrs.evolve(study, rules={**study.rules, RULE: rule})


def next_arms(study: Study, results: Results, catalog: Catalog) -> list[Arm]:
    """Return an arm for every ensemble and seed of which all members finished; nothing once they are there."""
    rule = study.rules.get(RULE)
    if rule is None or any(arm.trial is not None for arm in study.arms):
        return []
    keys: dict[str, dict[int, str]] = {}
    for run in results.runs:
        if run.status == "finished":
            keys.setdefault(run.arm, {})[run.seed] = run.key
    arms = {arm.name: arm for arm in study.all_arms}
    return [
        _mean_arm(study, name, [arms[each] for each in members], seed, keys, rule["average"], catalog)
        for name, members in rule["groups"].items()
        # arms that --arms left out have no runs
        for seed in study.seed_list
        if all(seed in keys.get(each, {}) for each in members)
    ]


def _mean_arm(
    study: Study,
    name: str,
    members: Sequence[Arm],
    seed: int,
    keys: Mapping[str, Mapping[int, str]],
    average: str,
    catalog: Catalog,
) -> Arm:
    """Return the arm of one seed: its members' architectures with the weights of their runs, evaluated only."""
    from lab.registry.component import use
    from lab.study.study import Arm, Trial

    changed = []
    for arm in members:
        experiment = study.base
        for path, value in arm.changes.items():
            experiment = experiment.changed(path, value, catalog)
        changed.append(experiment)
    first, *others = changed
    for other, arm in zip(others, members[1:], strict=True):
        if other.dataset != first.dataset:
            raise LabError(
                f"ensemble '{name}': arms '{members[0].name}' and '{arm.name}' have other datasets",
                where="Study.ensemble",
                hint="a mean needs the same inputs; lab ensemble KEY... reads the data of each run",
            )
    chosen = [keys[arm.name][seed] for arm in members]
    changes: dict[str, Any] = {
        **{path: value for path, value in members[0].changes.items() if path.partition(".")[0] in ("dataset", "loss")},
        "architecture": use("mean_of", members=[each.architecture for each in changed], average=average),
        "stepper": use("evaluate_only", stepper=first.stepper),
        "callbacks": [use("members_from_runs", keys=chosen)],
        # nothing is stepped, so the optimizer is the plainest, with one rate for all layer groups
        "optimizer": "sgd",
        "lr": 1.0,
        "epochs": 1,
    }
    # a trial of a later rung is compared, and the study stays the same variant
    return Arm(f"{name}, seed {seed}", changes, trial=Trial(0, 1, {ENSEMBLE: name}), seeds=(seed,), row=name)

"""What cannot change a number gives no new key and trains nothing again."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from lab import Callback, Study, use
from lab.registry.closure import closure_of
from lab.registry.definition import modules_of
from lab.registry.plugins import load_catalog
from lab.report.terminal import print_plan
from lab.study import keys as keys_module
from lab.study.execute import run_study
from lab.study.experiment import checked
from lab.study.keys import FINGERPRINTED_MODULES, key_content, key_of
from lab.study.preflight import plan_study
from lab.study.workspace import Workspace
from tests.kernel.toys import Line, experiment


@pytest.fixture
def key(catalog):
    def key(**changes):
        return key_of(checked(experiment(**changes), catalog), 0, "data", "cpu")

    return key


class Logging(Callback):
    observer = True


class Scaling(Callback):
    reads_metrics = False

    def __init__(self, *, by: float = 1.0) -> None:
        self.by = by


class Stopping(Callback):
    pass


class WithSet(Line):
    def __init__(self, features: int, *, skipped: frozenset = frozenset({"b", "a", "c"})) -> None:
        super().__init__(features)


@pytest.mark.parametrize(
    "change",
    [
        {"callbacks": [Logging]},
        {"checkpoint": use("checkpoint", every_minutes=3)},
        {"checkpoint": use("checkpoint", every_steps=3, every_epochs=2)},
        {"metrics": ["worst"]},
    ],
)
def test_observers_checkpoints_and_metrics_change_no_key(key, change):
    assert key(**change) == key()


def test_the_order_of_callbacks_changes_no_key_and_no_number(key, catalog, tmp_path):
    one, other = [use(Scaling, by=2.0), Stopping], [Stopping, use(Scaling, by=2.0)]
    assert key(callbacks=one) == key(callbacks=other) != key(callbacks=[Stopping])


def test_a_metric_that_a_callback_may_read_while_training_changes_the_key(key):
    assert key(callbacks=[Stopping], metrics=["worst"]) != key(callbacks=[Stopping])
    assert key(callbacks=[Scaling], metrics=["worst"]) == key(callbacks=[Scaling])


def test_a_metric_that_chooses_the_weights_changes_the_key(key):
    best = use("checkpoint", select="best", monitor="valid_worst")
    assert key(checkpoint=best, metrics=["worst"]) != key(checkpoint=use("checkpoint", select="best"))


def test_a_set_as_a_default_has_the_same_key_in_every_process(key):
    first = key(architecture=WithSet)
    assert first == key(architecture=use(WithSet, skipped=frozenset(["c", "b", "a"])))


def test_the_version_of_a_plugin_is_not_in_the_key(catalog, monkeypatch):
    resolved = checked(experiment(), catalog)
    assert "toys 1.0" not in json.dumps(key_content(resolved, 0, "data", "cpu")["experiment"])
    assert "toys 1.0" in json.dumps(resolved.to_json())


def test_no_component_is_made_of_commands_reports_tables_of_contents_or_checks():
    catalog = load_catalog()
    found = {}
    for registry in catalog.registries.values():
        if registry.spec.name in ("executors", "searchers"):
            continue
        for entry in registry.entries():
            factory = entry.load() if not hasattr(entry.target, "params") else None
            if factory is not None and not getattr(factory, "observer", False):
                found[entry.label] = closure_of(modules_of(factory)).modules
    apart = ("plugin", "commands", "conformance", "report")
    guilty = {label: [m for m in modules if m.rpartition(".")[2] in apart] for label, modules in found.items()}
    assert {label: modules for label, modules in guilty.items() if modules} == {}


def test_of_the_kernel_only_what_trains_is_in_the_key():
    rooms = {name.partition("/")[0] for name in FINGERPRINTED_MODULES}
    assert rooms == {"training", "study"}
    assert not {"training/tools/summary.py", "training/tools/lr_finder.py", "registry/hookspecs.py"} & {
        *FINGERPRINTED_MODULES
    }
    assert all((keys_module.KERNEL / name).is_file() for name in FINGERPRINTED_MODULES)


# --- a finished run that is asked for more ----------------------------------------------------------------------------


class Sum:
    """A metric whose parameter changes its value."""

    higher_is_better = True

    def __init__(self, *, factor: float = 1.0) -> None:
        self.factor = factor
        self.reset()

    def reset(self) -> None:
        self.total = 0.0

    def update(self, output, target) -> None:
        self.total += self.factor * float(output.sum())

    def compute(self) -> float:
        return self.total


def small(**changes) -> Study:
    return Study(experiment(**changes), seeds=2, name="small")


@pytest.fixture
def answer(tmp_path, catalog):
    def answer(**changes):
        return run_study(small(**changes), runs=tmp_path / "runs", catalog=catalog)

    return answer


def trained(results) -> set[float]:
    return {(run.folder / "metrics.jsonl").stat().st_mtime_ns for run in results.runs}


def test_another_metric_is_computed_from_the_weights_of_a_finished_run(answer, tmp_path, catalog):
    before = trained(answer())
    after = answer(metrics=[use(Sum)])
    assert trained(after) == before
    anew = run_study(small(metrics=[use(Sum)]), runs=tmp_path / "anew", catalog=catalog)
    assert [run.metrics["valid_Sum"] for run in after.runs] == [run.metrics["valid_Sum"] for run in anew.runs]


def test_a_metric_with_another_parameter_is_computed_again(answer):
    one = answer(metrics=[use(Sum)])
    before = trained(one)
    two = answer(metrics=[use(Sum, factor=2.0)])
    assert trained(two) == before
    assert [run.metrics["valid_Sum"] for run in two.runs] == [2 * run.metrics["valid_Sum"] for run in one.runs]


class Reading(Sum):
    def __init__(self, path: str) -> None:
        super().__init__(factor=float(Path(path).read_text()))


def test_a_metric_is_computed_again_when_a_file_that_it_is_given_changes(answer, tmp_path):
    (tmp_path / "factor.txt").write_text("1")
    one = answer(metrics=[use(Reading, path=str(tmp_path / "factor.txt"))])
    (tmp_path / "factor.txt").write_text("2")
    two = answer(metrics=[use(Reading, path=str(tmp_path / "factor.txt"))])
    assert trained(two) == trained(one)
    assert [r.metrics["valid_Reading"] for r in two.runs] == [2 * r.metrics["valid_Reading"] for r in one.runs]


def test_a_metric_that_fails_on_a_finished_run_loses_nothing(answer, monkeypatch):
    before = trained(answer())

    def fails(*_):
        raise ValueError("late")

    with monkeypatch.context() as patch:
        patch.setattr("lab.study.run.complete", fails)
        after = answer(metrics=[use(Sum)])
    assert [run.status for run in after.runs] == ["failed", "failed"]
    assert "ValueError: late" in after.runs[0].result["error"]
    assert trained(answer()) == before


class Farewell(Callback):
    observer = True

    def after_fit(self, learner) -> None:
        learner.artefact("farewell.txt").write_text(f"{len(learner.history)} epochs")


def test_an_observer_that_acts_at_the_end_acts_on_a_finished_run(answer):
    before = trained(answer())
    after = answer(callbacks=[Farewell])
    assert trained(after) == before
    assert {(run.folder / "artefacts" / "farewell.txt").read_text() for run in after.runs} == {"2 epochs"}


def test_the_plan_says_which_finished_runs_lack_something_and_trains_none_of_them(answer, tmp_path, catalog):
    answer()
    plan = plan_study(small(metrics=[use(Sum)]), Workspace.open(tmp_path / "runs", catalog))
    assert (plan.to_train, plan.found, len(plan.completed)) == ([], frozenset(), len(plan.runs))
    console = Console(file=io.StringIO(), width=100)
    print_plan(plan, console)
    assert f"nothing to train, {len(plan.runs)} found" in console.file.getvalue()
    assert f"from what they stored: {len(plan.runs)}" in console.file.getvalue()


class Swapping(Callback):
    """Validates with other weights, which a finished run does not keep."""

    reads_metrics = False

    def before_eval_weights(self, learner) -> None:
        self.kept = {name: value.clone() for name, value in learner.model.state_dict().items()}
        with torch.no_grad():
            for weight in learner.model.parameters():
                weight.mul_(1 + learner.position.step)

    def after_eval_weights(self, learner) -> None:
        learner.model.load_state_dict(self.kept)


def test_a_run_whose_weights_do_not_give_its_loss_is_trained_again(answer):
    before = trained(answer(callbacks=[Swapping]))
    after = answer(callbacks=[Swapping], metrics=[use(Sum)])
    assert not trained(after) & before
    assert all("valid_Sum" in run.metrics for run in after.runs)


def test_a_worst_that_is_known_is_not_computed_again(answer, monkeypatch):
    first = answer(metrics=["worst"])
    monkeypatch.setattr("lab.study.run.complete", lambda run, record: pytest.fail("nothing is missing"))
    assert [run.metrics for run in answer(metrics=["worst"]).runs] == [run.metrics for run in first.runs]

"""``body_from``: a model begins with the weights of another run."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import torch
from click.testing import CliRunner
from lab_basics.points import MLP
from lab_basics.pretraining import copy_body
from torch import Tensor, nn

from lab import Experiment, Study, use
from lab.cli.main import cli
from lab.errors import LabError, StudyError


class WithBody(nn.Module):
    """A body and a head."""

    def __init__(self, input_size: int, output_size: int, *, body: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body or MLP(input_size, 3, hidden_size=8)
        self.head = nn.Linear(3, output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(self.body(inputs))
        return output


def pretraining() -> Experiment:
    """Six classes."""
    return Experiment(
        dataset=use("points", classes=6),
        architecture=use("mlp", hidden_size=8),
        loss="cross_entropy",
        batch_size=16,
        epochs=2,
    )


def study(architecture: Any = "mlp", *, classes: int = 6, **changes: Any) -> Study:
    settings = {
        "dataset": use("points", classes=classes),
        "architecture": use(architecture, hidden_size=8) if architecture == "mlp" else use(architecture),
        "loss": "cross_entropy",
        "callbacks": [use("body_from", pretraining=pretraining)],
        "metrics": ["accuracy"],
        # A rate so small that the run ends with what it began with.
        "optimizer": use("sgd"),
        "lr": 1e-30,
        "batch_size": 16,
        "epochs": 1,
    }
    return Study(Experiment(**{**settings, **changes}), seeds=1, name="question")


def weights(runs, key):
    from safetensors.torch import load_file

    return load_file(runs / ".store" / key / "model.safetensors")


def pretrained_key(runs, own):
    [key] = {path.parent.name for path in runs.glob(".store/*/result.json")} - {own}
    return key


def test_a_model_of_the_same_architecture_begins_with_all_weights_of_the_pretraining(tmp_path):
    [run] = study().run(runs=tmp_path).runs
    source, own = weights(tmp_path, pretrained_key(tmp_path, run.key)), weights(tmp_path, run.key)
    assert all(torch.equal(own[name], source[name]) for name in source)


def test_a_last_layer_for_other_classes_keeps_its_initial_weights_and_this_is_logged(tmp_path, caplog):
    [run] = study(classes=2).run(runs=tmp_path).runs
    source, own = weights(tmp_path, pretrained_key(tmp_path, run.key)), weights(tmp_path, run.key)
    assert torch.equal(own["hidden.0.weight"], source["hidden.0.weight"])
    assert own["output.weight"].shape != source["output.weight"].shape
    assert "output is for other classes and keeps its initial weights" in caplog.text


def test_a_model_with_a_body_takes_the_weights_for_that(tmp_path):
    [run] = study(WithBody).run(runs=tmp_path).runs
    source, own = weights(tmp_path, pretrained_key(tmp_path, run.key)), weights(tmp_path, run.key)
    assert torch.equal(own["body.hidden.0.weight"], source["hidden.0.weight"])
    assert own["body.output.weight"].shape == (3, 8)


def test_of_a_run_whose_model_has_a_body_the_body_is_taken():
    source, model = WithBody(4, 2), MLP(4, 3, hidden_size=8)
    count, kept = copy_body(model, source)
    assert (count, kept) == (4 * 8 + 8 + 8 * 3 + 3, [])
    assert torch.equal(model.output.weight, source.body.output.weight)


def test_the_pretraining_is_trained_once_for_all_arms_that_begin_with_it(tmp_path):
    two = study().swap("lr", {"fast": 0.1})
    two.run(runs=tmp_path)
    assert len(list(tmp_path.glob(".store/*/result.json"))) == 3


def test_what_the_pretraining_does_is_told_epoch_by_epoch(tmp_path, caplog):
    study().run(runs=tmp_path)
    told = [line for line in caplog.messages if line.startswith("pretraining")]
    assert "pretraining · seed 0 · is trained first, as run" in told[0]
    assert [line.split("train_loss")[0] for line in told[1:]] == [
        f"pretraining · seed 0 · epoch {epoch}  " for epoch in (1, 2)
    ]


def test_the_arm_without_it_begins_with_the_same_numbers_as_without_any_pretraining(tmp_path):
    [plain] = study(callbacks=[]).run(runs=tmp_path / "plain").runs
    found = study().remove("callbacks.body_from").run(runs=tmp_path / "both").runs
    [without] = [run for run in found if run.arm == "no body_from"]
    first, second = (
        json.loads((each.folder / "result.json").read_text())["metrics"]["valid_loss"] for each in (plain, without)
    )
    assert first == second


def test_the_body_of_another_architecture_is_refused_and_nothing_is_copied():
    model, source = MLP(4, 3, hidden_size=8), MLP(4, 3, hidden_size=9)
    before = model.hidden[0].weight.clone()
    with pytest.raises(LabError, match="the MLP cannot begin with the weights of a MLP") as caught:
        copy_body(model, source)
    assert "'hidden.0.weight' is (9, 4) there and (8, 4) here" in str(caught.value.hint)
    assert torch.equal(model.hidden[0].weight, before)


def test_a_run_with_more_layers_is_refused():
    with pytest.raises(LabError) as caught:
        copy_body(MLP(4, 3, hidden_size=8), MLP(4, 3, hidden_size=8, layers=2))
    assert "the run has weights 'hidden.3.weight' that are not here" in str(caught.value.hint)


def test_a_model_that_is_a_last_layer_alone_has_nothing_to_take():
    class Only(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.fc = nn.Linear(4, classes)

    with pytest.raises(LabError) as caught:
        copy_body(Only(2), Only(3))
    assert "no weights but its last layer" in str(caught.value.hint)


def test_a_plan_says_that_the_pretraining_comes_first(tmp_path):
    (tmp_path / "question.py").write_text(QUESTION)
    told = CliRunner().invoke(cli, ["run", str(tmp_path / "question.py"), "--plan", "--runs", str(tmp_path / "runs")])
    assert "the pretraining 'classes' is trained first, once for each seed" in " ".join(told.output.split())


# --- a wrong pretraining is told by the plan --------------------------------------------------------------------------


QUESTION = '''"""Does a pretraining help?"""
from lab import Experiment, Study, use


def classes():
    return Experiment(dataset="points", architecture="mlp", loss="cross_entropy", epochs=1)


base = Experiment(
    dataset="points",
    architecture="mlp",
    loss="cross_entropy",
    callbacks=[use("body_from", pretraining=classes)],
    epochs=1,
)
study = Study(base, seeds=1)
'''


def unknown_architecture() -> Experiment:
    return attrs.evolve(pretraining(), architecture="mpl")


def failing() -> Experiment:
    raise ZeroDivisionError("no reason")


def not_an_experiment() -> Any:
    return 5


def begins_with_itself() -> Experiment:
    return attrs.evolve(pretraining(), callbacks=[use("body_from", pretraining=begins_with_itself)])


def needs_a_run() -> Experiment:
    return attrs.evolve(pretraining(), callbacks=[use("body_from", run="nonsense")])


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (unknown_architecture, "unknown architecture 'mpl'"),
        (failing, "the pretraining 'failing' fails: ZeroDivisionError: no reason"),
        (begins_with_itself, "the pretraining 'begins_with_itself' begins with itself"),
        (needs_a_run, "no run's key begins with 'nonsense'"),
        (not_an_experiment, "the pretraining 'not_an_experiment' returns int, not Experiment"),
    ],
)
def test_a_wrong_pretraining_is_a_problem_of_the_plan(function, told, tmp_path):
    with pytest.raises(StudyError) as caught:
        study(callbacks=[use("body_from", pretraining=function)]).run(runs=tmp_path)
    assert told in str(caught.value)
    assert f"the pretraining '{function.__name__}'" in str(caught.value)
    assert not list(tmp_path.glob(".store/*"))


def test_a_pretraining_that_is_no_function_is_told(tmp_path):
    with pytest.raises(StudyError, match="a pretraining is a function that returns an experiment, not Experiment"):
        study(callbacks=[use("body_from", pretraining=pretraining())]).run(runs=tmp_path)

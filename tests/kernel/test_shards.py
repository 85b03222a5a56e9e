"""Several processes of which each keeps a part of the weights: what one process sees, they see together."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from lab.training.distributed.fsdp import units_of
from tests.kernel.kill_study import finish, start
from tests.kernel.several_processes import (
    alike,
    alone_and_together,
    ended,
    stop_after_a_checkpoint,
    train_together,
    write_study,
)

SHARD = ("--set", "executor.shard=true")

LEARNER = """
from lab.training.distributed.setup import sharded
from lab_basics.averaging import EMA

class Net(nn.Module):
    # one weight is used in two places, and training calls a method of its own
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.body = nn.Sequential(nn.Sequential(nn.Linear(16, 16), nn.ReLU()), nn.BatchNorm1d(16), nn.Linear(16, 8))
        self.last = nn.Linear(16, 3)
    def score(self, x):
        features = self.body(torch.relu(self.first(x)))
        return self.last(torch.relu(features @ self.first.weight.t()))
    forward = score

class BySteps(Supervised):
    def train_loss(self, batch):
        return self.learner.loss(self.learner.model.score(batch[0]), batch[1])

net = Net()
net.body[1] = nn.Identity() if sys.argv[2] == "units" else nn.LayerNorm(16)
if sys.argv[2] == "one unit":
    net.shard_units = list
stepper = BySteps(accumulate=2, clip=0.5)
with sharded():
    learner = Learner(net, data, nn.functional.cross_entropy, lr=1e-2, batch_size=19, progress=False,
                      metrics={"accuracy": Accuracy(), "f1": F1()}, stepper=stepper, callbacks=[EMA(decay=0.9)])
kept = [weight.to_local() if hasattr(weight, "to_local") else weight for weight in net.parameters()]
learner.fit(2)
net.first.requires_grad_(False)
history = learner.fit(1)
moments = [value for state in learner.optimizer.state.values() for value in state.values() if value.dim()]
sizes = [sum(w.numel() for w in kept), sum(w.numel() for w in net.parameters()),
         sum((m.to_local() if hasattr(m, "to_local") else m).numel() for m in moments)]
found = {"history": without_seconds(history), "predicted": learner.predict(x[:4]).tolist(),
         "norm": float(stepper.gradient_norm), "sizes": sizes}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path, seeds=1)


@pytest.mark.parametrize("units", ["one unit", "units"])
def test_sharded_weights_give_the_curve_of_whole_ones_and_each_process_keeps_half(tmp_path: Path, units: str) -> None:
    expected, found = alone_and_together(tmp_path, LEARNER, units)
    assert found["history"] == [pytest.approx(row, abs=1e-5) for row in expected["history"]]
    assert found["predicted"] == [pytest.approx(row, abs=1e-4) for row in expected["predicted"]]
    assert found["norm"] == pytest.approx(expected["norm"], abs=1e-5)
    kept, parameters, moments = found["sizes"]
    assert parameters == expected["sizes"][0]
    assert kept <= 0.55 * parameters
    assert moments <= 0.55 * expected["sizes"][2]


def test_a_sharded_study_that_was_killed_goes_on_and_has_the_figures_of_one_process(
    study: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    checkpoint = stop_after_a_checkpoint(train_together(study, killed, *SHARD), killed)
    assert (checkpoint / "model.safetensors").is_file()
    ended(train_together(study, killed, *SHARD))
    finish(start(study, tmp_path / "peaceful"))
    alike(tmp_path / "peaceful", killed)


def test_a_wrong_parameter_of_torchrun_is_told_before_anything_is_read(study: Path, tmp_path: Path) -> None:
    process = train_together(study, tmp_path / "runs", "--set", "executor.shards=true")
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "unexpected parameter 'shards'\n  did you mean: shard?" in errors


def test_units_are_the_elements_of_the_outermost_sequences() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model = nn.Sequential(inner, nn.ReLU(), nn.Linear(2, 2))
    assert units_of(model) == [inner, model[2]]


def test_what_shares_a_weight_with_the_rest_is_no_unit() -> None:
    model = nn.ModuleDict({"body": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "head": nn.Linear(2, 2)})
    model["head"].weight = model["body"][0].weight
    assert units_of(model) == [model["body"][1]]


def test_a_model_may_name_its_units() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2)

        def shard_units(self) -> list[nn.Module]:
            return [self.head]

    model = Named()
    assert units_of(model) == [model.head]

"""``lab runs why``: what differs between the keys of two runs."""

from __future__ import annotations

import pytest
from lab_runs.why import differing

STUDY = """
import torch
from lab import Experiment, Study, use


class Net(torch.nn.Module):
    def __init__(self, *, hidden_size: int = 4) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, hidden_size), torch.nn.Linear(hidden_size, 10))

    def forward(self, inputs):
        return self.layers(inputs)


base = Experiment(dataset=use("points", count=40), architecture=Net, loss="cross_entropy", batch_size=20)
study = Study(base, seeds=2).swap("architecture.hidden_size", {"wide": 8}).swap("optimizer", ["sgd"])
"""


@pytest.fixture
def keys(lab, tmp_path):
    """(arm, seed) → key."""
    (tmp_path / "q.py").write_text(STUDY)
    assert lab("run", "q.py", "--quiet", "--workers", "1").code == 0

    def keys():
        import csv

        with (tmp_path / "runs" / "q" / "runs.csv").open() as file:
            return {(row["arm"], int(row["seed"])): row["key"] for row in csv.DictReader(file)}

    return keys


def test_why_names_the_seed_the_parameter_the_component_and_the_source_that_differ(lab, keys, tmp_path):
    first = keys()
    assert lab("runs", "why", first["base", 0], first["base", 1]).out == "seed: 0 and 1\n"
    assert lab("runs", "why", first["base", 0], first["wide", 0]).out == "architecture.hidden_size: 4 and 8\n"
    assert lab("runs", "why", first["base", 0], first["sgd", 0]).out == "optimizer: adam and sgd\n"
    assert lab("runs", "why", first["base", 0], first["base", 0]).out == "nothing differs: the two are one run\n"
    (tmp_path / "q.py").write_text(STUDY.replace("self.layers(inputs)", "2 * self.layers(inputs)"))
    assert lab("run", "q.py", "--quiet", "--workers", "1").code == 0
    found = lab("runs", "why", first["base", 0], keys()["base", 0]).out
    assert found == "architecture: Net has another definition or other defaults\nsource of study: differs\n"


def test_what_only_one_of_two_keys_has_is_told():
    one = {"packages": {"numpy": "2.1"}, "experiment": {"callbacks": [{"component": "ema", "params": {}}]}}
    other = {"packages": {}, "experiment": {"callbacks": []}, "processes": 2}
    assert differing(one, other) == [
        "callbacks.ema: only in the first",
        "version of numpy: only in the first",
        "number of processes: only in the second",
    ]

"""The model keeps the contract of architectures, its steps agree with ``forward``, and a study decodes with it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from lab_stepwise.model import Stepwise

from lab import use
from lab.study.execute import run_study
from lab.study.load import load_study
from lab.testing import ArchitectureConformance

STUDY = Path(__file__).parents[1] / "experiments" / "stepwise.py"


class TestStepwise(ArchitectureConformance):
    component = use("stepwise", width=8, heads=2)


def test_steps_compute_what_forward_computes() -> None:
    model = Stepwise(11, 13, 0, 1, 2, 6, width=8, heads=2, layers=2).eval()
    source, prefix = torch.randint(3, 11, (5, 4)), torch.randint(3, 13, (6, 4))
    state, logits = model.start(source), []
    for tokens in prefix:
        each, state, weights = model.step(tokens, state)
        logits.append(each)
        torch.testing.assert_close(weights.sum(0), torch.ones(4))
    torch.testing.assert_close(torch.stack(logits), model(source, prefix))


def test_a_study_translates_with_it(tmp_path: Path) -> None:
    results = run_study(load_study(STUDY), runs=tmp_path / "runs")
    (run,) = [run for run in results.runs if (run.arm, run.seed) == ("stepwise", 0)]
    lines = (run.folder / "artefacts" / "translations.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line) for line in lines)
    assert 0 <= run.metrics["valid_bleu"] <= 100

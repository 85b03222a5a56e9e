"""A run begins with the modules of the user as their import left them, whatever ran before it in the process."""

from __future__ import annotations

import logging
import textwrap
from pathlib import Path

from lab import run_study
from lab.study.load import load_study

STUDY = """
import random
import numpy as np
import torch
import lab
from lab import Study, use

NUMPY = np.random.default_rng(0)
LEGACY = np.random.RandomState(0)
PYTHON = random.Random(0)
TORCH = torch.Generator().manual_seed(0)
CALLS = 0


def train(*, scale: float = 1.0, run: lab.TaskRun) -> dict[str, float]:
    {count}
    drawn = [NUMPY.random(), LEGACY.rand(), PYTHON.random(), float(torch.rand((), generator=TORCH))]
    return {{"valid_accuracy": scale * sum(drawn)}}


study = Study(use(train), seeds=2, compare="valid_accuracy", higher_is_better=True)
"""


def test_generators_of_a_module_begin_anew_in_every_run(tmp_path):
    results = run_study(load_study(_written(tmp_path)), runs=tmp_path / "runs")
    first, second = (run.metrics["valid_accuracy"] for run in results.runs)
    assert first == second


def test_a_run_that_changes_a_number_of_its_module_is_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "lab"):
        run_study(load_study(_written(tmp_path, "global CALLS; CALLS += 1")), runs=tmp_path / "runs")
    assert "changed CALLS of the study file" in caplog.text


def test_a_run_that_leaves_its_module_alone_is_not_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "lab"):
        run_study(load_study(_written(tmp_path)), runs=tmp_path / "runs")
    assert caplog.text == ""


def _written(folder: Path, count: str = "pass") -> Path:
    file = folder / "modules_study.py"
    file.write_text(textwrap.dedent(STUDY.format(count=count)))
    return file

"""Fixtures of the tests of images and words."""

from __future__ import annotations

import os

import pytest

from lab import Experiment, Study, use


@pytest.fixture
def lab_data():
    folder = os.environ.get("LAB_DATA")
    if not folder:
        pytest.skip("LAB_DATA is not set: the real pictures and vectors are not here")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished study on digits and their names, and its folder."""
    runs = tmp_path_factory.mktemp("devise") / "runs"
    base = Experiment(
        dataset=use("devise", images=use("digits"), held_out=["seven"]),
        architecture=use("course_net", widths=[16, 32], stem=3, norm="batch"),
        loss="cos_loss", callbacks=["one_cycle", use("search_page", count=3)], metrics=["hit"], lr=1e-2, epochs=12,
        batch_size=32,
    )  # fmt: skip
    return Study(base, seeds=1, name="named").run(runs=runs), runs


@pytest.fixture(scope="session")
def learner(finished):
    from lab.study.rebuild import load

    results, runs = finished
    return load(results.runs[0].key, runs)

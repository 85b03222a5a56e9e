"""``lab tensorboard``: which events it opens, and under which names."""

from __future__ import annotations

import attrs
import pytest
from click.testing import CliRunner
from lab_basics.tensorboard_command import events_of, link_events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lab import Experiment, Study
from lab.cli.main import cli
from lab.errors import LabError
from tests.kernel.stored_study import store_study


def test_runs_are_named_after_arm_and_seed_and_those_without_events_are_left_out(tmp_path):
    folders = {}
    for name in ("base/seed 0", "lr: 3e-3/seed 1", "none/seed 0"):
        folders[name] = tmp_path / "runs" / str(len(folders))
        events = folders[name] / "artefacts" / "tensorboard"
        events.mkdir(parents=True)
        if not name.startswith("none"):
            (events / "events.out.tfevents.1").write_text(name)
    link_events(tmp_path / "links", events_of(folders))
    found = {path.parent.relative_to(tmp_path / "links").as_posix(): path.read_text() for path in
             (tmp_path / "links").rglob("*tfevents*")}  # fmt: skip
    assert found == {"base/seed 0": "base/seed 0", "lr_ 3e-3/seed 1": "lr: 3e-3/seed 1"}


def test_an_arm_called_like_the_folder_above_stays_inside(tmp_path):
    events = tmp_path / "run"
    events.mkdir()
    (events / "events.out.tfevents.1").write_text("points")
    link_events(tmp_path / "links", {"../seed 0": events})
    assert list((tmp_path / "links").rglob("*tfevents*")) == [
        tmp_path / "links" / "arm" / "seed 0" / "events.out.tfevents.1"
    ]


def test_events_are_copied_where_no_links_are_permitted(tmp_path, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise OSError("a privilege is missing")

    monkeypatch.setattr("os.symlink", refuse)
    events = tmp_path / "run"
    events.mkdir()
    (events / "events.out.tfevents.1").write_text("points")
    link_events(tmp_path / "links", {"base/seed 0": events})
    assert (tmp_path / "links" / "base" / "seed 0" / "events.out.tfevents.1").read_text() == "points"


def test_a_study_without_events_is_told_how_to_get_them(tmp_path):
    store_study(tmp_path)
    with pytest.raises(LabError, match="no run of 'toy' has events") as caught:
        CliRunner().invoke(cli, ["tensorboard", "toy", "--runs", str(tmp_path)], catch_exceptions=False)
    assert "callbacks=[..., 'tensorboard']" in str(caught.value)


def test_a_finished_study_gets_the_events_of_its_history_without_training(tmp_path):
    base = Experiment(dataset="points", architecture="mlp", loss="cross_entropy", epochs=2)
    before = Study(base, seeds=1).run(runs=tmp_path)
    [run] = Study(attrs.evolve(base, callbacks=["tensorboard"]), seeds=1).run(runs=tmp_path).runs
    assert (run.key, run.metrics) == (before.runs[0].key, before.runs[0].metrics)
    events = EventAccumulator(str(run.folder / "artefacts" / "tensorboard"))
    events.Reload()
    assert [point.value for point in events.Scalars("loss/valid")] == pytest.approx(
        [row["valid_loss"] for row in run.history()]
    )

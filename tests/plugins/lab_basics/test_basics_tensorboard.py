from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from lab_basics.tensorboard import write_hyper_parameters


@attrs.define
class Record:
    folder: Path

    def experiment(self) -> dict:
        return json.loads((self.folder / "experiment.json").read_text())


@attrs.define
class Run:
    """What the hook is given, as far as it is used."""

    arm: str
    seed: int
    folder: Path
    status: str = "finished"
    metrics: dict = attrs.field(factory=lambda: {"train_loss": 0.5, "valid_loss": 0.25})

    @property
    def record(self) -> Record:
        return Record(self.folder)


@attrs.define
class Study:
    name: str = "toy"


@pytest.fixture
def make_run(tmp_path: Path):
    def make_run(arm: str, seed: int, *, has_events: bool = True, **changes) -> Run:
        from torch.utils.tensorboard import SummaryWriter

        folder = tmp_path / ".store" / f"{arm}{seed}".replace("/", "")
        folder.mkdir(parents=True)
        optimizer = {"component": changes.pop("optimizer", "adam"), "plugin": "p", "params": {"eps": 0.1}}
        callbacks = [{"component": name, "plugin": "p", "params": {}} for name in changes.pop("callbacks", [])]
        experiment = {"optimizer": optimizer, "callbacks": callbacks, "lr": 0.01, "batch_size": None, **changes}
        (folder / "experiment.json").write_text(json.dumps({"experiment": experiment}))
        if has_events:
            with SummaryWriter(str(folder / "artefacts" / "tensorboard")) as writer:
                writer.add_scalar("loss/valid", 0.3, 0)
        return Run(arm, seed, folder)

    return make_run


def trials(folder: Path) -> tuple[dict, list[str]]:
    """The hyper-parameters that TensorBoard reads from a run, and its scalars."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    events = EventAccumulator(str(folder))
    events.Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = metadata.parse_session_start_info_plugin_data(content)
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    return values, events.Tags()["scalars"]


def test_a_run_has_its_arm_its_seed_and_what_differs_between_runs(make_run, tmp_path: Path) -> None:
    runs = [make_run("base", 0), make_run("sgd", 1, optimizer="sgd", callbacks=["one_cycle"])]
    write_hyper_parameters(Study(), runs)
    values, scalars = trials(runs[1].folder / "artefacts" / "tensorboard")
    assert values == {
        "arm": "sgd",
        "seed": 1.0,
        "optimizer": "sgd",
        "callbacks.one_cycle": "one_cycle",
    }
    assert set(scalars) == {"loss/valid", "final/loss/train", "final/loss/valid"}


def test_the_studys_folder_names_runs_by_arm_and_seed(make_run, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.io_wrapper import GetLogdirSubdirectories

    write_hyper_parameters(Study(), [make_run("base", 0), make_run("a/../b", 1)])
    found = {str(Path(path).relative_to(tmp_path)) for path in GetLogdirSubdirectories(str(tmp_path / "toy"))}
    assert found == {"toy/tensorboard/base/seed-0", "toy/tensorboard/a_.._b/seed-1"}


def test_finishing_a_study_twice_changes_nothing(make_run, tmp_path: Path) -> None:
    run = make_run("base", 0)
    for _ in range(2):
        write_hyper_parameters(Study(), [run])
    assert len(list(run.folder.glob("artefacts/tensorboard/*.hparams"))) == 1
    assert trials(tmp_path / "toy" / "tensorboard" / "base" / "seed-0")[0] == {"arm": "base", "seed": 0.0}


def test_runs_that_failed_or_wrote_no_events_are_left_alone(make_run, tmp_path: Path) -> None:
    failed = attrs.evolve(make_run("base", 0), status="failed")
    write_hyper_parameters(Study(), [failed, make_run("quiet", 0, has_events=False)])
    assert not (tmp_path / "toy").exists()
    assert not list(tmp_path.rglob("*.hparams"))

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import attrs
import pytest
from lab_basics.tensorboard import write_artefacts, write_hyper_parameters


@attrs.define
class Run:
    """What the hook is given, as far as it is used."""

    arm: str
    seed: int
    folder: Path
    status: str = "finished"
    metrics: dict = attrs.field(factory=lambda: {"train_loss": 0.5, "valid_loss": 0.25})

    def experiment(self) -> dict:
        return json.loads((self.folder / "experiment.json").read_text())


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


# --- pictures and texts -----------------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def run_with_artefacts(make_run) -> Run:
    run = make_run("base", 0)
    attention = run.folder / "artefacts" / "attention"
    attention.mkdir()
    (attention / "01.png").write_bytes(png(6, 4))
    (attention / "maps.json").write_text("[]")
    (run.folder / "artefacts" / "translations.txt").write_text("source:  où ?\n*prediction*: <b>where</b>\n")
    return run


def events_of(run: Run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run.folder / "artefacts" / "tensorboard")).Reload()


def text_of(events, tag: str) -> list[str]:
    return [part.decode() for event in events.Tensors(f"{tag}/text_summary") for part in event.tensor_proto.string_val]


def test_every_picture_among_the_artefacts_is_shown_as_it_is(run_with_artefacts: Run) -> None:
    write_artefacts(run_with_artefacts.folder, step=4)
    events = events_of(run_with_artefacts)
    assert events.Tags()["images"] == ["attention/01"]
    (image,) = events.Images("attention/01")
    assert (image.step, image.width, image.height) == (4, 6, 4)
    assert image.encoded_image_string == png(6, 4)


def test_every_text_among_the_artefacts_is_shown_line_by_line(run_with_artefacts: Run) -> None:
    write_artefacts(run_with_artefacts.folder, step=4)
    events = events_of(run_with_artefacts)
    assert text_of(events, "translations") == ["    source:  où ?\n    *prediction*: <b>where</b>"]


def test_the_scalars_of_the_run_stay(run_with_artefacts: Run) -> None:
    write_artefacts(run_with_artefacts.folder)
    write_hyper_parameters(Study(), [run_with_artefacts])
    assert "loss/valid" in events_of(run_with_artefacts).Tags()["scalars"]
    assert events_of(run_with_artefacts).Tags()["images"] == ["attention/01"]


def test_writing_artefacts_twice_changes_nothing(run_with_artefacts: Run) -> None:
    for _ in range(2):
        write_artefacts(run_with_artefacts.folder)
    assert len(list(run_with_artefacts.folder.rglob("*.artefacts"))) == 1


def test_what_only_ends_like_a_picture_is_left_out(run_with_artefacts: Run) -> None:
    (run_with_artefacts.folder / "artefacts" / "broken.png").write_bytes(b"\x89PNG, cut")
    write_artefacts(run_with_artefacts.folder)
    assert events_of(run_with_artefacts).Tags()["images"] == ["attention/01"]


def test_a_long_text_is_cut(run_with_artefacts: Run) -> None:
    (run_with_artefacts.folder / "artefacts" / "translations.txt").write_text("é" * 100_001)
    write_artefacts(run_with_artefacts.folder)
    (text,) = text_of(events_of(run_with_artefacts), "translations")
    assert text.endswith("é\n    … (100,001 characters)")
    assert len(text) < 100_100


def test_a_run_without_events_or_without_artefacts_is_left_alone(make_run) -> None:
    quiet, bare = make_run("quiet", 0, has_events=False), make_run("bare", 0)
    for run in (quiet, bare):
        write_artefacts(run.folder)
    assert not (quiet.folder / "artefacts").exists()
    assert not list(bare.folder.rglob("*.artefacts"))


def test_a_run_leaves_them_when_it_ends(run_with_artefacts: Run) -> None:
    from lab_basics import plugin

    from lab.study.store import RunRecord

    folder = run_with_artefacts.folder
    (folder / "metrics.jsonl").write_text('{"epoch": 0}\n{"epoch": 1}\n')
    plugin.lab_run_finished(run_with_artefacts, RunRecord("key", folder, "finished", {}))
    assert [image.step for image in events_of(run_with_artefacts).Images("attention/01")] == [1]

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import lab
from lab.cli.main import cli

ROWS = {"resnet": [0.81, 0.82, 0.80], "vit": [0.85, 0.865, 0.85]}
PAIRS = [(arm, seed, value) for arm, values in ROWS.items() for seed, value in enumerate(values)]
EXPECTED = "vit: better by 0.045 ± 0.012 (3 of 3 seeds)"

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["compare", *map(str, arguments)])


def verdict(result: Result) -> str:
    assert result.exit_code == 0, result.output or result.exception
    return next(line for line in result.output.splitlines() if line.startswith("vit: "))


def write_csv(name: str, rows: list[dict[str, object]]) -> None:
    with open(name, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_csv_export_of_wandb_table(run: Run) -> None:
    """Made by hand after W&B's documentation of the export of a table of runs; the software was not tried."""
    rows = [
        {
            "Name": f"{arm}-seed{seed}",
            "State": "finished",
            "Notes": "-",
            "User": "me",
            "Tags": "",
            "Created": "2026-01-01T00:00:00.000Z",
            "Runtime": "12",
            "Sweep": "",
            "arch": arm,
            "seed": seed,
            "valid/acc": value,
        }
        for arm, seed, value in PAIRS
    ]
    rows.append({**rows[-1], "Name": "vit-seed3", "State": "crashed", "seed": 3, "valid/acc": ""})
    write_csv("wandb_export.csv", rows)
    asked = ("wandb_export.csv", "--metric", "valid/acc", "--higher-is-better")
    found = verdict(run(*asked, "--arm", "arch"))
    assert found == "vit: no verdict: not the same seeds failed in both arms; 3 of 4 finished"
    assert verdict(run(*asked, "--names", "{arm}-seed{seed}")) == found


def test_csv_that_wandb_api_script_writes(run: Run) -> None:
    """Made by hand after the script in W&B's guide to its public API, whose columns hold Python dictionaries."""
    rows = [
        {
            "": i,
            "summary": {"acc": value, "loss": float("nan")},
            "config": {"arch": arm, "seed": seed},
            "name": f"run-{i}",
        }
        for i, (arm, seed, value) in enumerate(PAIRS)
    ]
    write_csv("project.csv", rows)
    assert verdict(run("project.csv", "--arm", "arch", "--metric", "acc", "--higher-is-better")) == EXPECTED


def test_csv_export_of_mlflow(run: Run) -> None:
    """Made by hand with the columns that MLflow 3.17.2 wrote from ``search_runs``, as its command does."""
    rows = [
        {
            "run_id": f"{i:032x}",
            "experiment_id": "0",
            "status": "FINISHED",
            "artifact_uri": "file:///mlruns/0",
            "metrics.acc": value,
            "params.arch": arm,
            "params.seed": seed,
            "tags.mlflow.source.name": "train.py",
            "tags.mlflow.runName": f"{arm}_{seed}",
        }
        for i, (arm, seed, value) in enumerate(PAIRS)
    ]
    write_csv("runs.csv", rows)
    assert verdict(run("runs.csv", "--arm", "arch", "--metric", "acc", "--higher-is-better")) == EXPECTED
    assert verdict(run("runs.csv", "--names", "{arm}_{seed}", "--metric", "acc", "--higher-is-better")) == EXPECTED


def test_mlflow_file_store(run: Run) -> None:
    """Made by hand, since MLflow is no dependency; a store that MLflow 3.17.2 wrote was read in the same way."""
    (Path("mlruns") / "7").mkdir(parents=True)
    Path("mlruns/7/meta.yaml").write_text("artifact_location: x\nexperiment_id: '7'\nname: depth\n")
    for i, (arm, seed, value) in enumerate([*PAIRS, ("vit", 0, 0.0)]):
        folder = Path("mlruns/7") / f"{i:032x}"
        for name in ("metrics/valid", "params", "tags"):
            (folder / name).mkdir(parents=True)
        stage = "deleted" if i == len(PAIRS) else "active"
        (folder / "meta.yaml").write_text(
            f"experiment_id: '7'\nlifecycle_stage: {stage}\nrun_id: {i:032x}\nrun_name: {arm}-{seed}\n"
            "status: 3\ntags: []\n"
        )
        # Steps are not in order, since several processes may write.
        (folder / "metrics" / "valid" / "acc").write_text(
            f"1700000000001 0.1 0\n1700000000003 {value} 2\n1700000000002 0.2 1\n"
        )
        (folder / "params" / "arch").write_text(arm)
        (folder / "params" / "seed").write_text(str(seed))
        (folder / "tags" / "mlflow.runName").write_text(f"{arm}-{seed}")
    asked = ("--arm", "arch", "--metric", "valid/acc", "--higher-is-better")
    assert verdict(run("mlruns", *asked)) == EXPECTED
    assert verdict(run("mlruns/7", *asked, "--where", "experiment=depth")) == EXPECTED
    assert verdict(run(".", "--names", "{arm}-{seed}", *asked[2:])) == EXPECTED


def test_mlflow_database(run: Run) -> None:
    """Made by hand, since MLflow is no dependency; a database that MLflow 3.17.2 wrote was read in the same way."""
    with closing(sqlite3.connect("mlflow.db")) as database:
        database.executescript(
            "CREATE TABLE experiments (experiment_id INTEGER, name TEXT);"
            "CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, lifecycle_stage TEXT, experiment_id INTEGER,"
            " start_time INTEGER);"
            "CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);"
            "CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);"
            "CREATE TABLE latest_metrics (key TEXT, value REAL, is_nan BOOLEAN, run_uuid TEXT);"
            "INSERT INTO experiments VALUES (1, 'depth');"
        )
        for i, (arm, seed, value) in enumerate(PAIRS):
            key = f"{i:032x}"
            database.execute("INSERT INTO runs VALUES (?, ?, 'FINISHED', 'active', 1, ?)", (key, f"{arm}-{seed}", i))
            database.execute("INSERT INTO params VALUES ('arch', ?, ?)", (arm, key))
            database.execute("INSERT INTO params VALUES ('seed', ?, ?)", (str(seed), key))
            # the last epoch was worse than the one that the run selected
            database.execute("INSERT INTO latest_metrics VALUES ('acc', ?, 0, ?)", (value - seed * 0.1, key))
            database.execute("INSERT INTO latest_metrics VALUES ('final/acc', ?, 0, ?)", (value, key))
        database.commit()
    assert verdict(run("mlflow.db", "--arm", "arch", "--metric", "acc", "--higher-is-better")) == EXPECTED


@pytest.mark.parametrize("name", ["{arm}/seed{seed}", "{arm}_seed{seed}", "{arm}-{seed}", "{arm}/version_{seed}"])
def test_folder_of_tensorboard_events(run: Run, name: str) -> None:
    writers = pytest.importorskip("torch.utils.tensorboard")
    for arm, seed, value in PAIRS:
        with writers.SummaryWriter(str(Path("events", name.format(arm=arm, seed=seed)))) as writer:
            for step in range(3):
                writer.add_scalar("valid/acc", value - (2 - step) * 0.1, step)
    asked = ("events", "--metric", "valid/acc", "--higher-is-better")
    assert verdict(run(*asked)) == EXPECTED
    assert verdict(run(*asked, "--names", name)) == EXPECTED
    if "version" in name:
        done = run(*asked, "--names", "{arm}/seed{seed}")
        assert "names of runs do not fit '{arm}/seed{seed}': resnet/version_0" in str(done.exception)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_optuna_study(run: Run, kind: str) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = "sqlite:///trials.db"
    if kind == "journal":
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("trials.log"))
    study = optuna.create_study(storage=storage, study_name="arch", direction="maximize")
    for arm, seed, value in PAIRS:
        levels = {
            "arch": optuna.distributions.CategoricalDistribution(list(ROWS)),
            "lr": optuna.distributions.FloatDistribution(0.0, 1.0),
        }
        study.add_trial(
            optuna.create_trial(
                params={"arch": arm, "lr": 0.1}, distributions=levels, user_attrs={"seed": seed}, value=value
            )
        )
    sources = ("trials.db", storage) if kind == "sqlite" else ("trials.log",)
    for source in sources:
        # The study says that it maximizes; no metric and no direction must be named.
        assert verdict(run(source, "--arm", "arch")) == EXPECTED


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sqlite:///nowhere.db", "there is no file 'nowhere.db'"),
        ("text.db", "no database of SQLite"),
        ("text.log", "there are no runs"),
        ("folder", "neither TensorBoard events nor runs of MLflow"),
        ("nothing.csv", "there is no file 'nothing.csv'"),
        ("text.xyz", "nothing reads files that end in '.xyz'"),
        ("text.parquet", "not Parquet"),
        ("text.jsonl", "line 1 is not JSON: Expecting value (column 1)"),
        ("text.json", "the file is not JSON"),
    ],
)
def test_what_cannot_be_read_is_named(run: Run, tmp_path: Path, source: str, message: str) -> None:
    for name in ("text.db", "text.log", "text.xyz", "text.parquet", "text.jsonl", "text.json"):
        Path(name).write_text("hello, this is text\n")
    Path("folder").mkdir()
    done = run(source, "--metric", "acc", "--higher-is-better")
    assert isinstance(done.exception, lab.LabError), done.exception
    assert message in str(done.exception)
    assert not Path("nowhere.db").exists()


def test_a_database_of_something_else_is_left_as_it_is(run: Run) -> None:
    with closing(sqlite3.connect("app.db")) as database:
        database.execute("CREATE TABLE users (name TEXT)")
        database.commit()
    before = Path("app.db").read_bytes()
    for source in ("app.db", "sqlite:///app.db"):
        assert "no storage of Optuna" in str(run(source, "--metric", "value", "--arm", "x").exception)
    assert Path("app.db").read_bytes() == before

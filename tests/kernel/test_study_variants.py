"""Variants of a study live side by side: other settings, arms, seeds, files of one name, two commands at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab_runs.listing import users_of

from lab import Experiment, Study
from lab.errors import UnknownNameError
from lab.study.execute import run_study
from lab.study.record import add_variant, content_of, read_study, record_of, write_study
from lab.study.store import Store
from lab.study.variants import all_variants, labels, merged, name_variant, read_content
from tests.kernel.toys import experiment

STUDY = '''"""Does the size matter?"""
import torch
from torch import nn
from torch.utils.data import TensorDataset
from lab import Data, Experiment, Study, use


def coins() -> Data:
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    split = TensorDataset(x, (x[:, 0] > 0).long())
    return Data(split, split, fingerprint="coins")


class Net(nn.Module):
    def __init__(self, *, width: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, x):
        return self.layers(x)


base = Experiment(dataset=coins, architecture=Net, loss="cross_entropy", epochs=2)
study = Study(base, seeds=2).swap("architecture.width", {"wide": 8, "wider": 16})
'''


@pytest.fixture
def run(lab: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """``lab run`` of the study, with what is given besides."""
    (tmp_path / "net.py").write_text(STUDY)

    def run(*arguments: str, file: str = "net.py") -> Any:
        done = lab("run", file, "--quiet", "--workers", "1", *arguments)
        assert done.code == 0, done.err
        return done

    return run


def keys_of(lab: Callable[..., Any]) -> set[str]:
    return set(lab("runs", "--keys").out.split())


def test_a_short_try_does_not_replace_the_whole_study(run: Any, lab: Callable[..., Any], tmp_path: Path) -> None:
    run()
    run("--epochs", "1", "--seeds", "1")
    assert len(keys_of(lab)) == 9
    assert lab("runs", "prune", "--yes").out == "every run belongs to a study\n"
    latest = lab("compare", "net", "--format", "csv")
    assert "seeds=1" in latest.err
    other = latest.err.split("--variant ")[1].split()[0]
    chosen = lab("compare", "net", "--format", "csv", "--variant", other)
    assert [line.split(",")[1] for line in latest.out.splitlines()[1:]] == ["1"] * 3
    assert [line.split(",")[1] for line in chosen.out.splitlines()[1:]] == ["2"] * 3


def test_every_variant_has_a_report(run: Any, lab: Callable[..., Any], tmp_path: Path) -> None:
    run()
    whole = (tmp_path / "runs" / "net" / "report.html").read_text()
    first = read_study(Store(tmp_path / "runs"), "net").variant
    run("--seeds", "1", "--arms", "wide")
    second = read_study(Store(tmp_path / "runs"), "net").variant
    folder = tmp_path / "runs" / "net"
    assert (folder / f"report-{first}.html").read_text() == whole
    assert (folder / f"report-{second}.html").read_text() == (folder / "report.html").read_text()
    assert len((folder / f"runs-{first}.csv").read_text().splitlines()) == 7
    assert lab("report", "net", "--variant", first).out.strip().endswith(f"report-{first}.html")


def test_runs_of_variants_are_told_apart_in_the_list(run: Any, lab: Callable[..., Any]) -> None:
    run("--seeds", "1", "--arms", "wide")
    assert "variant" not in lab("runs").out.splitlines()[0]
    run("--seeds", "1", "--arms", "wider")
    lines = lab("runs").out.splitlines()
    assert lines[0].endswith("variant")
    assert sum("arms=wide," in line or line.endswith("arms=wide") for line in lines) == 2  # the base is of both
    assert sum("arms=wider" in line for line in lines) == 2


def test_a_study_that_grew_is_one_variant(run: Any, tmp_path: Path) -> None:
    run("--seeds", "1", "--arms", "wide")
    run("--seeds", "1")
    run("--seeds", "2")
    assert len(all_variants(read_content(tmp_path / "runs" / "net"))) == 1


def test_changed_code_makes_no_new_variant_and_frees_its_runs(
    run: Any, lab: Callable[..., Any], tmp_path: Path
) -> None:
    run("--seeds", "1")
    (tmp_path / "net.py").write_text(STUDY.replace("nn.ReLU", "nn.Tanh"))
    run("--seeds", "1")
    dry = lab("runs", "prune", "--dry-run").out
    assert dry.splitlines()[-1] == "made for net (3 runs), no longer used by any study"
    assert lab("runs", "prune", "--yes").out.splitlines()[-1] == "3 runs removed"


def test_only_the_variant_run_last_counts_when_asked_for(run: Any, lab: Callable[..., Any]) -> None:
    run("--seeds", "2")
    run("--seeds", "1", "--epochs", "1")
    assert lab("runs", "prune", "--yes", "--last-variants").out.splitlines()[-1] == "6 runs removed"


def test_two_files_of_one_name_are_two_variants(run: Any, lab: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text(STUDY.replace('"wide"', f'"wide{name}"'))
        run("--seeds", "1", file=f"{name}/net.py")
    told = lab("compare", "net").err
    assert "file=B/net.py" in told
    assert "file=A/net.py" in told
    assert lab("runs", "prune", "--yes").out == "every run belongs to a study\n"


def test_an_unknown_variant_lists_those_that_are_there(run: Any, lab: Callable[..., Any]) -> None:
    run("--seeds", "1", "--arms", "wide")
    run("--seeds", "1", "--arms", "wider")
    done = lab("compare", "net", "--variant", "zzz")
    assert done.code == 2
    assert "no variant of 'net' is called 'zzz'" in done.err
    assert "arms=wide\n" in done.err


def test_a_report_is_made_of_the_plan_that_was_run_whatever_was_run_meanwhile(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab.study import execute

    run("--seeds", "1", "--arms", "wider")
    other = (tmp_path / "runs" / "net" / "study.json").read_bytes()
    original = execute.gather

    def meanwhile(*arguments: Any) -> Any:
        (tmp_path / "runs" / "net" / "study.json").write_bytes(other)
        return original(*arguments)

    monkeypatch.setattr(execute, "gather", meanwhile)
    done = run("--seeds", "1", "--arms", "wide")
    report = next(line for line in done.out.splitlines() if line.startswith("report: ")).removeprefix("report: ")
    arms = {line.split(",")[0] for line in Path(report).with_name("runs.csv").read_text().splitlines()[1:]}
    own = {line.split(",")[0] for line in _rows(Path(report))}
    assert own == {"base", "wide"}
    assert arms <= {"base", "wider"}  # the other one was run last, so its rows stay where they are


def _rows(report: Path) -> list[str]:
    return report.with_name(report.name.replace("report", "runs").replace(".html", ".csv")).read_text().splitlines()[1:]


def test_what_is_found_needs_no_store_that_can_be_written(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--seeds", "1")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    monkeypatch.setattr(Store, "can_write", lambda self: False)
    monkeypatch.setattr(Store, "prepare", lambda self: pytest.fail("it is to be written"))
    done = run("--seeds", "1")
    assert "no report is written" in done.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before


# --- in one process ---------------------------------------------------------------------------------------------------


def plan(catalog: Any, store: Store, **changes: Any) -> Any:
    from lab.study.preflight import plan_study
    from lab.study.workspace import Workspace

    options = {"seeds": 1, "name": "toy", **changes}
    base: Experiment = options.pop("base", experiment())
    return plan_study(Study(base, **options).swap("lr", {"large": 0.1}), Workspace(catalog, store))


def test_records_written_at_the_same_time_are_all_kept(catalog: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    folder = store.study_folder("toy")
    contents = [content_of(plan(catalog, store, base=experiment(epochs=epochs))) for epochs in range(1, 9)]
    threads = [threading.Thread(target=add_variant, args=(store, folder, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(all_variants(read_content(tmp_path / "toy"))) == 8
    assert len(users_of(tmp_path)) == 16


def test_a_damaged_record_is_set_aside_and_told(catalog: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "study.json").write_text("{")
    with pytest.warns(UserWarning, match="is kept as"):
        write_study(plan(catalog, store), store)
    assert (tmp_path / "toy" / "study.json.damaged").read_text() == "{"
    assert read_study(store, "toy").study.name == "toy"


def test_a_plan_is_reported_from_memory(catalog: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = record_of(plan(catalog, store), store)
    assert [arm.name for arm in record.arms] == ["base", "large"]
    assert not (tmp_path / "toy").exists()


def test_a_variant_that_another_covers_is_that_one_grown() -> None:
    def variant(seeds: list[int], arms: list[str], lr: float = 0.1) -> dict[str, Any]:
        content = {"file": "s.py", "base": {"lr": lr}, "seeds": seeds, "search": None}
        content["arms"] = {arm: {"difference": {"x": [0, arm]}, "factors": {}} for arm in arms}
        return {**content, "variant": name_variant(content)}

    small, grown, other = variant([0], ["a"]), variant([0, 1], ["a", "b"]), variant([0], ["a"], lr=0.2)
    assert "variants" not in merged([small], grown)
    assert merged([grown], small)["variants"] == [grown]
    assert merged([other], grown)["variants"] == [other]
    assert labels([other, grown]) == {
        other["variant"]: "arms=, seeds=1, lr=0.2",
        grown["variant"]: "arms=b, seeds=2, lr=0.1",
    }


def test_a_record_of_an_older_version_has_one_variant(tmp_path: Path) -> None:
    from tests.kernel.stored_study import store_study

    folder = store_study(tmp_path)
    assert "variant" not in json.loads((folder / "study.json").read_text())
    record = read_study(Store(tmp_path), "toy")
    assert (record.label, dict(record.others), record.is_last) == ("", {}, True)
    assert read_study(Store(tmp_path), "toy", record.variant[:4]).study.name == "toy"
    with pytest.raises(UnknownNameError):
        read_study(Store(tmp_path), "toy", "nothing")


def test_a_study_in_a_notebook_and_its_try_are_two_variants(catalog: Any, tmp_path: Path) -> None:
    study = Study(experiment(epochs=1), seeds=1, name="toy").swap("lr", {"large": 0.1})
    run_study(study, runs=tmp_path, catalog=catalog)
    run_study(Study(experiment(epochs=1, lr=0.5), seeds=1, name="toy"), runs=tmp_path, catalog=catalog)
    assert len(all_variants(read_content(tmp_path / "toy"))) == 2

"""A study in one file: packed, unpacked beside others, and refused where it would leave the folder of runs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from lab_runs.packing import pack, unpack

from lab.errors import LabError
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.stored_study import key_of, store_study

SEEDS = 4


def scores(root: Path, name: str = "toy") -> dict[str, dict[int, float]]:
    store = Store(root)
    found = read_study(store, name).results(store)
    return {arm: dict(found.scores(arm, "valid_accuracy")) for arm in ("base", "wide", "sgd")}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    store_study(tmp_path / "runs")
    path = tmp_path / "toy.zip"
    assert pack(Store(tmp_path / "runs"), "toy", path).runs == 3 * SEEDS
    return path


def test_a_packed_study_is_compared_elsewhere_as_it_was_here(tmp_path, packed):
    found = unpack(packed, Store(tmp_path / "theirs"))
    assert (found.study, found.added, found.known) == ("toy", 3 * SEEDS, 0)
    assert scores(tmp_path / "theirs") == scores(tmp_path / "runs")


def test_a_packed_study_that_is_unzipped_by_hand_is_a_folder_of_runs(tmp_path, packed):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "unzipped")
    assert scores(tmp_path / "unzipped") == scores(tmp_path / "runs")


def test_runs_that_are_there_already_stay_as_they_are(tmp_path, packed):
    result = tmp_path / "runs" / ".store" / key_of("base", 0) / "result.json"
    written = result.stat().st_mtime_ns
    found = unpack(packed, Store(tmp_path / "runs"))
    assert (found.added, found.known) == (0, 3 * SEEDS)
    assert result.stat().st_mtime_ns == written


def test_a_study_of_the_same_name_keeps_its_own_variant(tmp_path, packed):
    other = tmp_path / "other"
    store_study(other, figures={"base": [0.1, 0.2], "narrow": [0.3, 0.4]})
    unpack(packed, Store(other))
    record = read_study(Store(other), "toy")
    assert [arm.name for arm in record.arms] == ["base", "wide", "sgd"]
    [variant] = record.others
    assert [arm.name for arm in read_study(Store(other), "toy", variant).arms] == ["base", "narrow"]


def test_runs_that_are_not_finished_are_named_and_left_out(tmp_path):
    store_study(tmp_path / "runs", failed=("wide",), missing=("sgd",))
    packed = pack(Store(tmp_path / "runs"), "toy", tmp_path / "toy.zip")
    assert packed.runs == SEEDS
    assert packed.missing == [f"{arm} · seed {seed}" for arm in ("wide", "sgd") for seed in range(SEEDS)]


def test_weights_may_be_left_out(tmp_path):
    store_study(tmp_path / "runs")
    weights = tmp_path / "runs" / ".store" / key_of("base", 0) / "extra.safetensors"
    weights.write_bytes(b"0" * 100)
    for wanted in (True, False):
        pack(Store(tmp_path / "runs"), "toy", tmp_path / "toy.zip", weights=wanted)
        with zipfile.ZipFile(tmp_path / "toy.zip") as archive:
            assert any(name.endswith("extra.safetensors") for name in archive.namelist()) == wanted


def test_an_unknown_study_is_told_and_writes_nothing(tmp_path):
    store_study(tmp_path / "runs")
    with pytest.raises(LabError, match="did you mean: toy"):
        pack(Store(tmp_path / "runs"), "toi", tmp_path / "toi.zip")
    assert not (tmp_path / "toi.zip").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../outside.txt", "would lie outside the folder of runs"),
        ("/tmp/outside.txt", "would lie outside the folder of runs"),
        ("toy/../../outside.txt", "would lie outside the folder of runs"),
        ("C:\\outside.txt", "would lie outside the folder of runs"),
        (".store/bad.key/result.json", "is not the file of a run"),
        ("second/study.json", "it holds no study.json"),
    ],
)
def test_a_file_that_would_lie_elsewhere_is_refused_and_nothing_is_written(tmp_path, packed, name, message):
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(LabError) as caught:
        unpack(packed, Store(tmp_path / "theirs"))
    assert message in str(caught.value)
    assert list((tmp_path / "theirs").rglob("*.*")) == [tmp_path / "theirs" / ".store"]
    assert not (tmp_path / "outside.txt").exists()


def test_a_link_in_the_file_is_refused(tmp_path, packed):
    link = zipfile.ZipInfo("toy/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(LabError, match="outside the folder of runs"):
        unpack(packed, Store(tmp_path / "theirs"))


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_what_is_no_zip_is_told(tmp_path, content):
    (tmp_path / "toy.zip").write_bytes(content)
    with pytest.raises(LabError, match="this is no packed study"):
        unpack(tmp_path / "toy.zip", Store(tmp_path / "theirs"))


def test_a_damaged_run_in_the_file_is_told_as_damaged_and_the_others_are_read(tmp_path, packed):
    with zipfile.ZipFile(packed) as archive, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for entry in archive.infolist():
            content = archive.read(entry)
            is_it = entry.filename == f".store/{key_of('wide', 1)}/result.json"
            bad.writestr(entry.filename, content[:-5] if is_it else content)
    unpack(tmp_path / "bad.zip", Store(tmp_path / "theirs"))
    assert scores(tmp_path / "theirs")["wide"] == {0: 0.7, 2: 0.7, 3: 0.75}

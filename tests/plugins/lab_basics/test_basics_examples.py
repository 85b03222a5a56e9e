"""``lab examples``: the studies that come with lab, listed and copied."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.cli.main import cli
from lab.errors import LabError
from lab.study.load import load_study


def test_every_study_is_listed_with_its_question():
    lines = CliRunner().invoke(cli, ["examples"]).stdout.splitlines()
    assert len(lines) > 50
    for line in lines:
        name, _, question = line.partition(" ")
        assert question.strip(), name


def test_a_copied_study_loads_and_is_not_written_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(cli, ["examples", "bidir_vs_attn"], catch_exceptions=False).stdout
    assert said.endswith("lab run bidir_vs_attn.py\n")
    assert load_study(Path("bidir_vs_attn.py")).name == "bidir_vs_attn"
    with pytest.raises(LabError, match="this file is there already, and stays as it is"):
        CliRunner().invoke(cli, ["examples", "bidir_vs_attn"], catch_exceptions=False)
    CliRunner().invoke(cli, ["examples", "heads", "positions.py", "-o", "studies"], catch_exceptions=False)
    assert sorted(path.name for path in Path("studies").iterdir()) == ["heads.py", "positions.py"]


def test_an_unknown_example_is_told_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LabError, match="there is no example 'bidir_vs_atn'\n  did you mean: bidir_vs_attn"):
        CliRunner().invoke(cli, ["examples", "heads", "bidir_vs_atn"], catch_exceptions=False)
    assert not list(tmp_path.iterdir())

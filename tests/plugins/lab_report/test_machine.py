from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lab_report.claim_command import parse_claim

import lab
from lab.cli.main import cli
from tests.kernel import machine_documents
from tests.kernel.stored_study import FIGURES, store_study

ASKED = ("--arm", "model", "--metric", "acc", "--higher-is-better")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [*map(str, arguments)])


def document(result: Result, schema: str) -> Any:
    """What was printed to stdout."""
    return machine_documents.document(result.stdout, schema)


def every_null_has_a_reason(value: Any) -> None:
    if isinstance(value, dict):
        if "unknown" in value:
            nulls = {name for name, each in value.items() if each is None} - {"is_better"}
            assert nulls == set(value["unknown"])
        for each in value.values():
            every_null_has_a_reason(each)
    elif isinstance(value, list):
        for each in value:
            every_null_has_a_reason(each)


def test_a_study_gives_a_document_of_the_schema(run: Run, tmp_path: Path) -> None:
    store_study(tmp_path / "runs", figures={**FIGURES, "lost": [0.1] * 4}, failed=("lost",))
    found = document(run("compare", "toy", "--format", "json"), "compare")
    assert [arm["name"] for arm in found["arms"]] == ["base", "wide", "sgd", "lost"]
    base, wide, _, lost = found["arms"]
    assert base["comparison"] is None
    assert base["metrics"]["valid_accuracy"]["mean"] == pytest.approx(0.515)
    assert wide["comparison"]["with"] == "base"
    assert wide["comparison"]["is_better"] is True
    assert wide["comparison"]["unknown"] == {}
    assert lost["outcomes"] == {"failed": 4}
    assert lost["comparison"]["difference"] is None
    assert "no seed in which both" in lost["comparison"]["unknown"]["difference"]
    assert "finished: lost 0 of 4 (4 failed)" in found["notes"][0]
    steps = document(run("compare", "toy", "--format", "json", "--stepwise"), "compare")
    assert [arm["comparison"]["with"] for arm in steps["arms"][1:]] == ["base", "wide", "sgd"]


@pytest.mark.parametrize(
    "rows",
    [
        ["a,0,1", "b,0,2"],
        ["a,0,1", "a,1,1", "b,0,2", "b,1,3"],
        ["a,0,1", "a,1,1", "a,2,1", "b,0,2", "b,1,2", "b,2,2"],
        ["a,0,1", "a,1,1", "a,2,1", "b,0,1", "b,1,1", "b,2,1"],
        ["a,0,1", "a,1,nan", "a,2,1", "b,0,inf", "b,1,2", "b,2,2"],
        ["a,0,1", "a,1,nan", "b,1,nan", "b,2,2"],
    ],
)
def test_every_null_is_explained(run: Run, rows: list[str]) -> None:
    Path("f.csv").write_text("\n".join(["model,seed,acc", *rows]))
    found = document(run("compare", "f.csv", *ASKED, "--format", "json"), "compare")
    every_null_has_a_reason(found)


def test_effects_stand_in_the_document(run: Run) -> None:
    rows = [f"{w},{n},{s},{w + s * 0.1 * w}" for w in (1, 2) for n in "xy" for s in range(3)]
    Path("f.csv").write_text("\n".join(["width,norm,seed,loss", *rows]))
    found = document(
        run("compare", "f.csv", "--factors", "width,norm", "--metric", "loss", "--format", "json"), "compare"
    )
    assert [effect["name"] for effect in found["effects"]] == ["width=2", "y", "width=2 × y"]
    assert found["arms"][3]["factors"] == {"width": "width=2", "norm": "y"}
    every_null_has_a_reason(found)


# --- claims -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "code", "sentence"),
    [
        ("wide better", 0, "shown: wide, valid_accuracy against base: better by 0.207"),
        ("wide is better", 0, "shown: "),
        ("wide different", 0, "shown: "),
        ("wide worse", 1, "not shown: wide, valid_accuracy against base: better by 0.207"),
        ("sgd better", 1, "not shown: sgd, valid_accuracy against base: no difference shown"),
        ("sgd different", 1, "not shown: "),
        ("base worse than wide", 0, "shown: base, valid_accuracy against wide: worse by 0.207"),
        ("sgd different from wide", 0, "shown: "),
    ],
)
def test_exit_code_says_whether_a_claim_is_shown(
    run: Run, tmp_path: Path, claim: str, code: int, sentence: str
) -> None:
    store_study(tmp_path / "runs")
    done = run("check-claim", "toy", claim)
    assert (done.exit_code, done.output.startswith(sentence)) == (code, True), done.output
    assert done.output.count("\n") == 1
    found = document(run("check-claim", "toy", claim, "--format", "json"), "claim")
    assert found["holds"] is (code == 0)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("wyde better", "did you mean: wide?"),
        ("wide better than nothing", "unknown arm 'nothing'"),
        ("base better", "'base' is the arm that the others are compared with"),
        ("wide", "cannot read the claim 'wide'"),
        ("", "cannot read the claim ''"),
    ],
)
def test_wrong_questions_end_with_2(run: Run, tmp_path: Path, claim: str, message: str) -> None:
    store_study(tmp_path / "runs")
    done = run("check-claim", "toy", claim)
    assert isinstance(done.exception, lab.LabError)
    assert done.exception.exit_code == 2
    assert message in str(done.exception)
    assert done.stdout == ""


def test_files_can_be_gates(tmp_path: Path) -> None:
    rows = ["a,0,1", "a,1,1.1", "a,2,1", "b,0,2", "b,1,2", "b,2,2"]
    (tmp_path / "f.csv").write_text("\n".join(["model,seed,acc", *rows]))

    def gate(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lab", "check-claim", "f.csv", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert gate("b better", *ASKED).returncode == 0
    assert gate("b worse", *ASKED).returncode == 1
    wrong = gate("c better", *ASKED, "--format", "json")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "unknown arm 'c'" in wrong.stderr


def test_claims_name_arms_that_hold_the_words_of_claims() -> None:
    arms = ["base", "no worse than before", "much better", "wide + deep"]
    for text, arm, relation, base in [
        ("no worse than before better", "no worse than before", "better", ""),
        ("much better worse than no worse than before", "much better", "worse", "no worse than before"),
        ("wide + deep is better than much better", "wide + deep", "better", "much better"),
    ]:
        found = parse_claim(text, arms)
        assert (found.arm, found.relation, found.base) == (arm, relation, base)

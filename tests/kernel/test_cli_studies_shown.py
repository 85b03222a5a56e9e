"""``lab show FILE`` and ``lab find-lr FILE``: a study looked at before anything is trained."""

from __future__ import annotations

import pytest

STUDY = '''"""Does a schedule help?"""
from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=64), architecture="mlp", loss="cross_entropy", lr=0.1, batch_size=8, epochs=4
)
study = Study(base, seeds=2).swap("callbacks", {
    "one_cycle": ["one_cycle"], "warm": [use("warmup", epochs=1), use("multistep", milestones=(2,))]
})
'''


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "schedules.py"
    path.write_text(STUDY)
    return path


def test_show_tells_a_studys_question_recipe_and_arms(lab, study):
    result = lab("show", str(study))
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Does a schedule help?\n\nschedules: 2 seeds, compared by valid_loss\n")
    assert "  optimizer: adam\n" in result.out
    assert "  arm one_cycle\n" in result.out


def test_show_draws_the_schedules_of_every_arm_that_has_one(lab, study, tmp_path):
    picture = tmp_path / "pictures" / "schedules.png"
    result = lab("show", str(study), "--schedule", "-o", str(picture))
    assert (result.code, result.err) == (0, "")
    assert "learning rate" in result.out
    assert "momentum" in result.out
    assert "one_cycle" in result.out
    assert "warm" in result.out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_schedule_that_does_not_fit_is_told_instead_of_drawn(lab, study):
    result = lab("show", str(study), "--schedule", "--set", "epochs=1")
    assert result.code == 2
    assert "milestone 2 is after the last epoch of a run of 1" in result.err


def test_a_study_without_schedules_says_so(lab, study):
    study.write_text(
        STUDY.replace('swap("callbacks"', 'swap("sampler"')
        .replace('["one_cycle"]', '"sequential"')
        .replace('[use("warmup", epochs=1), use("multistep", milestones=(2,))]', '"full_batch"')
    )
    result = lab("show", str(study), "--schedule")
    assert result.code == 2
    assert result.err.startswith("lab: no arm has a schedule")


def test_options_of_a_study_are_refused_for_a_component(lab):
    result = lab("show", "adam", "--schedule")
    assert result.code == 2
    assert result.err == (
        "lab: --schedule, --batch, --set and --output are for a study\n  lab show FILE.py --schedule\n"
    )


def test_a_picture_of_an_unknown_form_is_refused(lab, study, tmp_path):
    result = lab("show", str(study), "-o", str(tmp_path / "picture.xyz"))
    assert result.code == 2
    assert "no picture can be written as 'picture.xyz'" in result.err


def test_find_lr_draws_and_suggests(lab, study, tmp_path):
    result = lab("find-lr", str(study), "--arm", "one_cycle", "--steps", "30", "-o", str(tmp_path / "sweep.png"))
    assert (result.code, result.err) == (0, "")
    assert "the middle of the longest stretch over which the smoothed loss falls" in result.out
    assert f"try it:  lab run {study} --set lr=" in result.out
    assert result.out.count("suggestion") >= 1
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_find_lr_of_an_unknown_arm_names_the_arms(lab, study):
    result = lab("find-lr", str(study), "--arm", "one_cycel")
    assert result.code == 2
    assert "unknown arm 'one_cycel'" in result.err
    assert "did you mean: one_cycle?" in result.err

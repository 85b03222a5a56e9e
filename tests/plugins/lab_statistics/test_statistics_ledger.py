"""What was tried for a question is told, and whether a study kept to its plan."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result
from lab_statistics import ledger
from lab_statistics.ledger import Look, add_look, error_of_looks, read_ledger, remarks
from lab_statistics.preregistration import FILE, departures, read_preregistration

from lab.cli.main import cli
from lab.errors import LabError, StoreError
from tests.kernel.stored_study import store_study


def look(metric: str = "valid_loss", seeds: int = 3, arms: str = "base a b", *, is_planned: bool = False) -> Look:
    return Look("2026-01-01T00:00:00Z", metric, dict.fromkeys(arms.split(), seeds), is_planned)


@pytest.mark.parametrize(("seeds", "error"), [((3, 5), 0.078), ((3, 5, 10), 0.130), (tuple(range(3, 11)), 0.159)])
def test_the_error_of_looks_is_that_of_simulated_studies(seeds: tuple[int, ...], error: float) -> None:
    assert error_of_looks(seeds) == pytest.approx(error, abs=0.012)


def test_one_look_has_the_error_of_one_test() -> None:
    assert error_of_looks((5,)) == error_of_looks((2, 5)) == 0.05


def test_a_third_look_says_its_error() -> None:
    looks = [look(seeds=3), look(seeds=5), look(seeds=10)]
    (text,) = remarks(looks, looks[-1])
    assert text.startswith(
        "third look at valid_loss (at 3, 5, 10 seeds): the error of a verdict is up to 12% instead of 5%"
    )


def test_planned_looks_are_corrected_and_not_told() -> None:
    looks = [look(seeds=3, is_planned=True), look(seeds=5, is_planned=True)]
    assert remarks(looks, looks[-1]) == []


def test_planned_looks_count_where_a_later_look_is_not_planned() -> None:
    planned = attrs.evolve(look(seeds=7, is_planned=True), planned=(3, 4, 5, 6, 7))
    now = look(seeds=10)
    (text,) = remarks([planned, now], now)
    assert text.startswith("6th look at valid_loss (at 3 to 7, 10 seeds): the error of a verdict is up to ")
    assert f"up to {error_of_looks((3, 4, 5, 6, 7, 10)):.0%} instead of 5%" in text
    assert text.endswith("it is not among the looks that until_decided planned")
    # the study's own table is corrected for all of them
    assert remarks([planned, now], planned) == []
    # looks were planned at the primary metric alone
    assert not any("look at" in text for text in remarks([planned, now], look("valid_f1", seeds=5)))


def test_a_look_that_was_not_planned_is_told_at_the_planned_look_that_follows_it() -> None:
    early, later = look(seeds=3), attrs.evolve(look(seeds=5, is_planned=True), planned=(4, 5))
    (text,) = remarks([early, later], later)
    assert text == (
        "a look at valid_loss (at 3 seeds) came before and was not among those that until_decided planned and corrects "
        "for: the error of a verdict is up to 10% instead of 5%"
    )
    (text,) = remarks([early, look(seeds=4), later], later)
    assert text.startswith("looks at valid_loss (at 3, 4 seeds) came before and were not among those that")
    # the same table shown again says the same; another metric has looks of its own
    assert remarks([early, later, look(seeds=9)], later) == remarks([early, later], later)
    assert not any("came before" in text for text in remarks([look("valid_f1", seeds=3), later], later))


def test_other_ways_of_comparing_are_looks_and_are_told(tmp_path: Path) -> None:
    add_look(tmp_path, look())
    add_look(tmp_path, attrs.evolve(look(), how="not paired"))
    looks = add_look(tmp_path, attrs.evolve(look(), how="not paired"))
    assert [each.how for each in looks] == ["", "not paired"]
    (text,) = remarks(looks, looks[-1])
    assert text == (
        "arms were compared in 2 ways (as the study asks; not paired); if one was chosen by its verdict, the error is "
        "up to 10% instead of 5%"
    )


def test_commands_count_another_base_unpaired_steps_margins_and_claims(lab, tmp_path: Path) -> None:
    store_study(tmp_path / "runs")
    told = {
        ("compare", "toy"): "",
        ("compare", "toy", "--unpaired"): "2 ways (as the study asks; not paired)",
        ("compare", "toy", "--base", "wide"): "3 ways (as the study asks; not paired; against wide)",
        ("compare", "toy", "--stepwise"): "4 ways",
        ("compare", "toy", "--margin", "0.5"): "5 ways",
        ("check-claim", "toy", "wide better"): "5 ways",
        ("check-claim", "toy", "wide better than sgd"): "6 ways",
        ("compare", "toy", "--base", "base"): "6 ways",
    }
    for command, text in told.items():
        result = lab(*command)
        assert text in result.stderr, command
        assert bool(text) == ("ways" in result.stderr), command


def test_a_metric_that_a_study_does_not_have_is_no_look(lab, tmp_path: Path) -> None:
    store_study(tmp_path / "runs")
    assert "unknown metric" in str(lab("compare", "toy", "--metric", "seconds").exception)
    assert "metrics were compared" not in lab("compare", "toy").stderr


@pytest.mark.parametrize("option", [("--unpaired",), ("--margin", "1")])
def test_effects_are_paired_and_have_no_margin(lab, tmp_path: Path, option: tuple[str, ...]) -> None:
    store_study(tmp_path / "runs")
    result = lab("compare", "toy", "--effects", *option)
    assert result.exit_code == 2
    assert f"--effects and {option[0]} exclude each other" in result.stderr


def test_a_comparison_by_example_is_another_look(lab, file: Path) -> None:
    lab("run", str(file), "--quiet", "--arms", "fast")
    told = lab("by-example", "pts").stderr
    assert "arms were compared in 2 ways (as the study asks; loss example by example)" in told


def test_planned_looks_are_kept_and_the_same_runs_without_a_plan_are_another_look(tmp_path: Path) -> None:
    planned = attrs.evolve(look(seeds=4, is_planned=True), planned=(3, 4))
    add_look(tmp_path, look(seeds=4))
    assert [each.all_seeds for each in add_look(tmp_path, planned)] == [{4}, {3, 4}]
    assert [tuple(each.planned) for each in read_ledger(tmp_path)] == [(), (3, 4)]
    # a ledger of an earlier version has no planned looks
    line = {name: value for name, value in attrs.asdict(planned).items() if name != "planned"}
    (tmp_path / ledger.FILE).write_text(json.dumps(line) + "\n")
    assert [each.all_seeds for each in read_ledger(tmp_path)] == [{4}]


def test_arms_that_are_not_shown_are_told() -> None:
    now = look(arms="base best")
    (text,) = remarks([look(arms="base best c d e f g h i"), now], now)
    assert text.startswith("9 arms were tried, 2 are shown (not: c, d, e, f, g, h and 1 more)")
    assert "up to 34% instead of 5%" in text


def test_other_metrics_are_told() -> None:
    now = look("valid_f1")
    (text,) = remarks([look("valid_loss"), look("valid_accuracy"), now], now)
    assert "3 metrics were compared (valid_loss, valid_accuracy, valid_f1)" in text
    assert "up to 14%" in text


def test_the_ledger_has_each_look_once_and_skips_damaged_lines(tmp_path: Path) -> None:
    add_look(tmp_path, look())
    add_look(tmp_path, look())
    with (tmp_path / ledger.FILE).open("a") as file:
        file.write("rubbish\n")
    assert len(add_look(tmp_path, look(seeds=4))) == 2
    assert [each.seeds for each in read_ledger(tmp_path)] == [3, 4]


@pytest.fixture
def lab(tmp_path: Path):
    def lab(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, [*arguments, "--runs", str(tmp_path / "runs")])
        if result.exception is not None and not isinstance(result.exception, (SystemExit, LabError)):
            raise result.exception
        return result

    return lab


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pts.py"
    path.write_text(
        '"""Does the rate matter?"""\n'
        "from lab import Experiment, Study, use\n"
        'base = Experiment(dataset=use("points", count=100), architecture="mlp", loss="cross_entropy", epochs=1)\n'
        'study = Study(base, seeds=3).swap("lr", {"fast": 0.05, "slow": 1e-4})\n'
    )
    return path


def test_a_plan_that_was_kept_to_and_a_look_with_more_seeds_and_fewer_arms(lab, file: Path, tmp_path: Path) -> None:
    output = lab("preregister", str(file)).output
    assert "arms: base, fast, slow" in output
    registered = read_preregistration(tmp_path / "runs" / "pts")
    assert registered is not None
    assert registered["sha256"] in output
    first = lab("run", str(file), "--quiet").output
    assert f"(sha256 {registered['sha256'][:12]}); kept to it" in first
    assert "What was tried" not in first
    more = lab("run", str(file), "--quiet", "--seeds", "5", "--arms", "fast").output
    assert "departs from it: the seeds [0, 1, 2] → [0, 1, 2, 3, 4]; arms left out: slow" in more
    assert "second look at valid_loss (at 3, 5 seeds)" in more
    assert "3 arms were tried, 2 are shown (not: slow)" in more
    shown = lab("compare", "pts", "--metric", "train_loss")
    assert "2 metrics were compared (valid_loss, train_loss)" in shown.stderr
    assert "2 metrics" not in shown.stdout


def test_a_look_beside_those_of_until_decided_is_told(lab, file: Path) -> None:
    # within such a margin every arm is equivalent at the first look
    rule = 'until_decided(smallest=3, largest=5), margin=100.0, name="ud"'
    text = file.read_text().replace("seeds=3", f"seeds={rule}")
    file.write_text(text.replace("from lab import", "from lab_statistics import until_decided\nfrom lab import"))
    first = lab("run", str(file), "--quiet")
    assert "seeds: base 3, fast 3, slow 3" in first.output
    assert "look at" not in first.output
    told = "second look at valid_loss (at 3, 5 seeds): the error of a verdict is up to "
    assert told in lab("run", str(file), "--quiet", "--seeds", "5").output
    assert told in lab("compare", "ud").stderr


def test_a_plan_is_registered_once(lab, file: Path) -> None:
    first = lab("preregister", str(file)).output
    assert lab("preregister", str(file)).output == first
    file.write_text(file.read_text().replace("seeds=3", "seeds=4"))
    error = lab("preregister", str(file)).exception
    assert "was preregistered on" in str(error)
    assert "the seeds [0, 1, 2] → [0, 1, 2, 3]" in str(error)


def test_runs_that_were_finished_before_are_told(lab, file: Path) -> None:
    lab("run", str(file), "--quiet")
    result = lab("preregister", str(file))
    assert "9 of its runs were finished already" in result.output
    assert "when 9 of its runs were finished already; kept to it" in lab("run", str(file), "--quiet").output


def test_a_plan_that_was_changed_does_not_fit_its_hash(lab, file: Path, tmp_path: Path) -> None:
    lab("preregister", str(file))
    path = tmp_path / "runs" / "pts" / FILE
    content = json.loads(path.read_text())
    content.pop("digest", None)
    content["plan"]["seeds"] = [7]
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="its plan does not fit its hash"):
        read_preregistration(path.parent)


def test_departures_name_what_differs() -> None:
    planned = {"metric": "a", "seeds": [0], "arms": {"base": {}, "x": {"lr": 1}}, "base": {"lr": 1}}
    done = {"metric": "b", "seeds": [0], "arms": {"base": {}, "x": {"lr": 2}, "y": {}}, "base": {"lr": 2}}
    assert departures(planned, done) == [
        "the metric a → b",
        "the base has other settings",
        "arms added: y",
        "arms changed: x",
    ]
    assert departures(planned, planned) == []


def test_looks_that_can_show_nothing_do_not_count(tmp_path: Path) -> None:
    for empty in (look(metric="nope", seeds=0), look(seeds=2)):
        assert add_look(tmp_path, empty) == []
    assert remarks([look(seeds=3)], look(seeds=1)) == []

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from lab_report.charts import curves_chart, difference_chart, figures_of, histories_of, scores_chart
from lab_report.html import render_report, write_report
from scipy import stats

from lab import Section
from lab.errors import StoreError, UnknownNameError
from lab.study.record import StudyRecord, read_study
from lab.study.results import Results
from lab.study.store import Store
from tests.kernel.stored_study import FIGURES, key_of, store_study


def read(root: Path, name: str = "toy") -> tuple[StudyRecord, Results]:
    store = Store(root)
    record = read_study(store, name)
    return record, record.results(store)


class Outline(HTMLParser):
    """The tags of a page, and its text without scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._skipped = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skipped = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._skipped = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._skipped else f" {data}"


@pytest.fixture
def page(tmp_path: Path) -> Outline:
    store_study(tmp_path, failed=("sgd",))
    return Outline(render_report(*read(tmp_path), [Section("Samples", "a <plain> text")]))


def test_what_a_verdict_rests_on_stands_in_the_page(tmp_path: Path) -> None:
    store_study(tmp_path)
    for arm, seed in (("wide", 1), ("wide", 2)):
        folder = tmp_path / ".store" / key_of(arm, seed)
        (folder / "result.json").unlink()
        kind = "NonFiniteLossError" if seed == 1 else "ValueError"
        (folder / "failure.json").write_text(json.dumps({"kind": kind, "error": "no"}))
    for arm, examples in (("base", "a"), ("wide", "a"), ("sgd", "b")):
        for path in (tmp_path / ".store" / key_of(arm, seed) / "result.json" for seed in range(4)):
            if path.exists():
                content = json.loads(path.read_text())
                content["yardstick"] = {"splits": {"valid": examples}, "parts": [arm]}
                path.write_text(json.dumps(content))
    text = Outline(render_report(*read(tmp_path))).text
    assert "no verdict: not the same seeds failed in both arms; 2 of 4 (base: 4 of 4) finished" in text
    assert "not comparable: other validation examples" in text
    assert "finished: wide 2 of 4 (1 diverged, 1 failed)" in text
    assert "initial weights are not paired with those of base: wide, sgd" in text


@pytest.mark.parametrize("value", [1e308, float("inf"), float("nan")])
def test_any_score_can_be_reported(tmp_path: Path, value: float) -> None:
    store_study(tmp_path, figures={"base": [value, 0.5, value], "wide": [0.5, value, value]})
    page = render_report(*read(tmp_path))
    assert page.count("<section") > 3


@pytest.mark.parametrize(
    "said",
    [
        "Does width matter?",
        "3 arms · 4 seeds · 8 of 12 runs finished",
        "higher is better",
        "better by 0.207",
        "none of its 4 runs finished",
        "architecture.width",
        "0.515 ± 0.013",
        "a <plain> text",
        "ValueError: <b>too</b> many",
        "losses.py:7",
        "packages torch",
        "2.13.0",
        "lab run experiments/toy.py",
        "lab compare toy",
        "wide is better, and had 4.00 × the parameters",
    ],
)
def test_the_page_says_it(page: Outline, said: str) -> None:
    assert said in re.sub(r"\s+", " ", page.text)


def test_every_run_has_a_row_with_its_key(page: Outline) -> None:
    assert all(key_of(arm, seed) in page.text for arm, values in FIGURES.items() for seed in range(len(values)))


def test_the_page_refers_to_nothing_outside_itself(page: Outline) -> None:
    addresses = [attrs.get(name) or "" for _, attrs in page.tags for name in ("src", "href", "action", "data")]
    assert all(address.startswith(("#", "data:")) for address in addresses if address)


def test_the_page_forbids_its_own_scripts_the_network(page: Outline) -> None:
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy


def test_markup_in_names_and_questions_stays_text(tmp_path: Path) -> None:
    bad = "<script>bad()</script>"
    store_study(tmp_path, question=f"Is {bad} harmless?", figures={"base": [1.0, 2.0], bad: [2.0, 3.5]})
    page = render_report(*read(tmp_path))
    assert bad not in page
    assert f"Is {bad} harmless?" in Outline(page).text


def test_what_a_plugin_gives_as_html_stands_as_html(tmp_path: Path) -> None:
    store_study(tmp_path)
    page = Outline(render_report(*read(tmp_path), [Section("Maps", "", html='<p data-map="1">map</p>')]))
    assert ("p", {"data-map": "1"}) in page.tags


def test_commands_in_a_question_keep_their_lines(tmp_path: Path) -> None:
    store_study(
        tmp_path, question="Does it?\n\nIn its size:\n\n    lab run a.py \\\n        --epochs 20\n\nWe think so."
    )
    assert "<pre>lab run a.py \\\n    --epochs 20</pre>" in render_report(*read(tmp_path))


def test_a_long_question_is_no_heading(tmp_path: Path) -> None:
    question = "Does it matter " + "very " * 40 + "much?\n\nWe think so."
    store_study(tmp_path, question=question)
    page = render_report(*read(tmp_path))
    assert "<h1>toy</h1>" in page
    assert "<p>We think so.</p>" in page


def test_one_seed_shows_numbers_and_concludes_nothing(tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [0.5], "wide": [0.7]})
    text = Outline(render_report(*read(tmp_path))).text
    assert "one seed: nothing can be concluded" in text
    assert "+0.2" in text


def test_a_study_without_any_finished_run_has_a_report(tmp_path: Path) -> None:
    store_study(tmp_path, missing=tuple(FIGURES))
    text = Outline(render_report(*read(tmp_path))).text
    assert "0 of 12 runs finished" in text
    assert "not run yet" in text


def test_a_study_of_the_base_alone_has_a_report(tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [0.5, 0.6]})
    assert "no arm besides the base" in Outline(render_report(*read(tmp_path))).text


def test_environments_that_differ_are_told_with_their_runs(tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [0.5, 0.6, 0.7]})
    path = tmp_path / ".store" / key_of("base", 1) / "environment.json"
    path.write_text(json.dumps({"packages": {"torch": "2.12.0"}}))
    assert "2.13.0 (2 runs), 2.12.0 (1 runs)" in Outline(render_report(*read(tmp_path))).text


def test_a_report_is_written_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    folder = store_study(tmp_path)
    path = write_report(*read(tmp_path))
    assert path == folder / "report.html"
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "runs.csv", "study.json"]


def test_a_report_that_cannot_be_made_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store_study(tmp_path)
    (folder / "report.html").write_text("old")
    monkeypatch.setattr("lab_report.html.render_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(*read(tmp_path))
    assert (folder / "report.html").read_text() == "old"
    assert not list(folder.glob(".*"))


def test_runs_csv_has_the_right_types_in_pandas(tmp_path: Path) -> None:
    folder = store_study(tmp_path)
    write_report(*read(tmp_path))
    frame = pd.read_csv(folder / "runs.csv")
    kinds = {name: frame[name].dtype.kind for name in ("seed", "parameters", "steps", "valid_loss", "seconds")}
    assert kinds == {"seed": "i", "parameters": "i", "steps": "i", "valid_loss": "f", "seconds": "f"}
    assert list(frame.columns[:4]) == ["arm", "seed", "key", "status"]
    assert frame.groupby("arm").valid_accuracy.mean()["wide"] == pytest.approx(0.7225)


def test_runs_csv_leaves_the_figures_of_a_failed_run_empty(tmp_path: Path) -> None:
    folder = store_study(tmp_path, failed=("sgd",))
    write_report(*read(tmp_path))
    rows = list(csv.DictReader((folder / "runs.csv").read_text().splitlines()))
    assert {(row["status"], row["valid_loss"]) for row in rows if row["arm"] == "sgd"} == {("failed", "")}


# --- charts -----------------------------------------------------------------------------------------------------------


def test_the_difference_chart_tells_its_content_in_words(tmp_path: Path) -> None:
    store_study(tmp_path)
    chart = difference_chart(read(tmp_path)[1].compare(), {}, "valid_accuracy")
    assert chart is not None
    assert "wide: +0.207 (from +0.176 to +0.239), better by" in chart["description"]


def test_the_deciding_figure_comes_first_and_times_come_last(tmp_path: Path) -> None:
    store_study(tmp_path)
    assert figures_of(histories_of(read(tmp_path)[1].runs), "valid_accuracy") == [
        "valid_accuracy",
        "valid_loss",
        "train_loss",
    ]


def test_curves_hold_every_epoch_of_every_run(tmp_path: Path) -> None:
    store_study(tmp_path)
    chart = curves_chart(histories_of(read(tmp_path)[1].runs), list(FIGURES), ["valid_loss"])
    assert chart is not None
    rows = list(csv.DictReader(chart["data"]["values"].splitlines()))
    assert len(rows) == 12 * 3
    assert rows[0] == {"arm": "base", "seed": "0", "epoch": "1", "f0": "1.1"}


def test_without_history_there_are_no_curves(tmp_path: Path) -> None:
    store_study(tmp_path, missing=tuple(FIGURES))
    assert curves_chart(histories_of(read(tmp_path)[1].runs), list(FIGURES), []) is None


# --- the record -------------------------------------------------------------------------------------------------------


def test_a_study_is_found_by_its_name_and_by_its_file(tmp_path: Path) -> None:
    store_study(tmp_path)
    assert read(tmp_path, "experiments/toy.py")[0].study.name == "toy"


def test_an_unknown_study_gives_close_matches(tmp_path: Path) -> None:
    store_study(tmp_path)
    with pytest.raises(UnknownNameError) as caught:
        read(tmp_path, "tpy")
    assert str(caught.value) == f"unknown study 'tpy'\n  {tmp_path}\n  did you mean: toy?\n  studies: toy"


def test_a_damaged_record_is_told_with_its_file(tmp_path: Path) -> None:
    path = store_study(tmp_path) / "study.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(StoreError, match="the record of the study 'toy' cannot be read") as caught:
        read(tmp_path)
    assert str(path) in str(caught.value)


def test_a_record_names_the_components_of_the_base(tmp_path: Path) -> None:
    store_study(tmp_path)
    base = read(tmp_path)[0].study.base
    assert base.architecture.name == "mlp"
    assert base.architecture.params == {"width": 2}
    assert [callback.name for callback in base.callbacks] == ["one_cycle"]


def test_the_margin_is_a_band_in_the_difference_chart(tmp_path: Path) -> None:
    store_study(tmp_path)
    results = read(tmp_path)[1].with_margin(0.05)
    chart = difference_chart(results.compare(), {}, "valid_accuracy", results.margin)
    assert chart is not None
    assert chart["layer"][0]["mark"]["type"] == "rect"
    assert chart["layer"][0]["data"]["values"] == [{"from": -0.05, "to": 0.05}]
    assert "within ± 0.05 do not matter" in chart["description"]


def test_every_run_is_a_point_beside_mean_and_interval(tmp_path: Path) -> None:
    store_study(tmp_path)
    chart = scores_chart({**FIGURES, "two runs": [0.1, 0.2], "nothing": []}, "valid_accuracy")
    assert chart is not None
    points, intervals, means = (layer["data"]["values"] for layer in chart["layer"])
    assert len(points) == sum(map(len, FIGURES.values())) + 2
    assert [mean["arm"] for mean in means] == [*FIGURES, "two runs"]
    found = next(mean for mean in intervals if mean["arm"] == "wide")
    assert (found["low"], found["high"]) == pytest.approx(
        stats.t.interval(0.95, 3, np.mean(FIGURES["wide"]), stats.sem(FIGURES["wide"]))
    )
    assert "two runs" not in {mean["arm"] for mean in intervals}


def curves_of(arms: int) -> list[dict]:
    runs = [SimpleNamespace(arm=f"arm {number}", seed=0) for number in range(arms)]
    return curves_chart([(run, [{"epoch": 0, "loss": 1.0}]) for run in runs], [run.arm for run in runs], ["loss"])[
        "layer"
    ]


def test_arms_of_one_color_have_other_lines_and_points():
    _, lines, points = curves_of(12)
    assert lines["encoding"]["strokeDash"]["scale"]["range"][8:10] == [[1, 0], [8, 4]]
    assert points["encoding"]["shape"]["scale"]["range"][8:10] == ["circle", "square"]


def test_a_few_arms_have_whole_lines():
    assert "strokeDash" not in curves_of(2)[1]["encoding"]

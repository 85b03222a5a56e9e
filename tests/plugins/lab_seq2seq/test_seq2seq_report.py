"""Report sections of translations, from artifacts, without training."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lab_report.html import render_report
from lab_seq2seq import plugin
from lab_seq2seq.callbacks import Translations
from lab_seq2seq.losses import Seq2SeqLoss
from lab_seq2seq.metrics import Bleu, ChrF
from lab_seq2seq.report import attention_section, sections, translations_section
from lab_seq2seq.steppers import TeacherForcing

from lab import Section
from lab.registry.plugins import Catalog
from lab.report.section import sections_of
from lab.study.record import StudyRecord, read_study
from lab.study.results import Results
from lab.study.store import RunRecord, Store
from lab.training import Learner
from tests.kernel.stored_study import key_of, store_study
from tests.plugins.lab_seq2seq.conftest import PAD, ToyTranslation, small_model

BAD = "</script><script>document.title = 'ran'</script>"
FIGURES = {"base": [0.5, 0.6], "attn": [0.7, 0.8]}
SENTENCES = [
    ("où ?", "where ?"),
    ("qui ?", "who ?"),
    ("quand ?", "when ?"),
    ("pourquoi ?", "why ?"),
    ("quoi ?", "what ?"),
]
MAP = {
    "source": ["où", "sont", "_eos_"],
    "target": ["where", "_eos_"],
    "reference": "where are",
    "weights": [[0.9, 0.07, 0.03], [0.0, 0.25, 0.75]],
}
Leave = Callable[..., Path]


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., tuple[StudyRecord, Results]]:
    """A study whose runs have trained, and left nothing yet."""

    def stored(**options: Any) -> tuple[StudyRecord, Results]:
        store_study(tmp_path, **{"figures": FIGURES, **options})
        store = Store(tmp_path)
        record = read_study(store, "toy")
        return record, record.results(store)

    return stored


@pytest.fixture
def leave(tmp_path: Path) -> Leave:
    """Leave artefacts in a run: ``leave("base", 0, translations=rows, maps=maps, signatures=signatures)``."""

    def leave(arm: str, seed: int, *, translations: Any = None, maps: Any = None, signatures: Any = None) -> Path:
        folder = tmp_path / ".store" / key_of(arm, seed) / "artefacts"
        (folder / "attention").mkdir(parents=True, exist_ok=True)
        if translations is not None:
            lines = "".join(json.dumps(row) + "\n" for row in translations)
            (folder / "translations.jsonl").write_text(lines, encoding="utf-8")
        if maps is not None:
            (folder / "attention" / "maps.json").write_text(json.dumps(maps), encoding="utf-8")
        if signatures is not None:
            (folder / "signatures.json").write_text(json.dumps(signatures), encoding="utf-8")
        return folder

    return leave


def translated(prediction: str, sentences: Sequence[tuple[str, str]] = SENTENCES) -> list[dict[str, str]]:
    return [{"source": source, "reference": reference, "prediction": prediction} for source, reference in sentences]


def only(runs: Sequence[RunRecord], title: str) -> Section:
    return next(section for section in sections(runs) if section.title == title)


def blocks(text: str) -> list[list[list[str]]]:
    """Blocks, lines, columns."""
    return [[re.split("  +", line) for line in block.splitlines()] for block in text.split("\n\n")]


# --- sample translations ----------------------------------------------------------------------------------------------


def test_the_same_sentences_of_every_arm_stand_side_by_side(stored: Any, leave: Leave) -> None:
    _, results = stored()
    leave("base", 0, translations=translated("the the"))
    folder = leave("attn", 0, translations=translated("where ?"))
    found = blocks(only(results.runs, "Sample translations").text)
    assert found[0] == [["source", "où ?"], ["reference", "where ?"], ["base", "the the"], ["attn", "where ?"]]
    assert [block[0][1] for block in found[:3]] == ["où ?", "qui ?", "pourquoi ?"]
    assert found[3][0] == ["all 5 sentences, seed 0:"]
    assert found[3][2] == ["attn", str(folder / "translations.txt")]
    assert len(found) == 4


def test_the_seed_is_the_first_of_those_that_most_arms_have(stored: Any, leave: Leave) -> None:
    _, results = stored()
    leave("base", 0, translations=translated("seed 0"))
    for arm in FIGURES:
        leave(arm, 1, translations=translated("seed 1"))
    section = only(results.runs, "Sample translations")
    assert "seed 1" in section.text
    assert "seed 0" not in section.text + section.html


def test_runs_that_did_not_finish_show_nothing(stored: Any, leave: Leave) -> None:
    _, results = stored(failed=("attn",))
    for arm in FIGURES:
        leave(arm, 0, translations=translated(f"by {arm}"))
    assert "by base" in only(results.runs, "Sample translations").text
    assert "by attn" not in only(results.runs, "Sample translations").text


def test_arms_with_other_sentences_are_shown_with_their_own(stored: Any, leave: Leave) -> None:
    _, results = stored()
    leave("base", 0, translations=translated("a", SENTENCES[:3]))
    leave("attn", 0, translations=translated("b", SENTENCES[1:]))
    found = blocks(only(results.runs, "Sample translations").text)
    assert [row[0] for row in found[0]] == ["source", "reference", "base", "attn"]
    assert found[0][0] == ["source", "qui ?"]
    assert found[-1][0] == ["all 5 sentences, seed 0:"]


def test_a_translation_that_is_the_reference_is_marked(stored: Any, leave: Leave) -> None:
    _, results = stored()
    leave("base", 0, translations=translated("where ?"))
    assert only(results.runs, "Sample translations").html.count('aria-label="identical to the reference"') == 1


def test_signatures_say_how_scores_were_made(stored: Any, leave: Leave) -> None:
    _, results = stored()
    for arm in FIGURES:
        signatures = {"bleu": "nrefs:1|tok:13a", "chrf": f"of {arm}"}
        leave(arm, 0, translations=translated("x"), signatures=signatures)
    section = only(results.runs, "Sample translations")
    assert blocks(section.text)[-1] == [
        ["signatures (sacrebleu):"],
        ["bleu", "nrefs:1|tok:13a"],
        ["chrf", "of base (base)"],
        ["chrf", "of attn (attn)"],
    ]
    assert "<code>nrefs:1|tok:13a</code>" in section.html


def test_a_run_leaves_the_signatures_of_its_metrics(data: ToyTranslation, tmp_path: Path) -> None:
    learner = Learner(
        small_model(data),
        data,
        Seq2SeqLoss(PAD),
        stepper=TeacherForcing(PAD),
        callbacks=[Translations(count=2)],
        metrics={"bleu": Bleu(data, lowercase=True), "letters": ChrF(data)},
        folder=tmp_path,
        progress=False,
    )
    learner.fit(1)
    found = json.loads((tmp_path / "artefacts" / "signatures.json").read_text(encoding="utf-8"))
    assert found["bleu"].startswith("nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:")
    assert "|nc:6|nw:0|" in found["letters"]


def test_the_page_links_to_the_files_in_the_store(stored: Any, leave: Leave) -> None:
    record, results = stored()
    folder = leave("base", 0, translations=translated("x"), maps=[MAP])
    for section in sections(results.runs):
        for address in re.findall(r'href="([^"]+)"', section.html):
            assert (record.folder / address).resolve().is_relative_to(folder.resolve())


# --- attention --------------------------------------------------------------------------------------------------------


def test_the_terminal_says_where_the_maps_are(stored: Any, leave: Leave) -> None:
    _, results = stored()
    folder = leave("attn", 0, maps=[MAP, MAP])
    assert only(results.runs, "Attention").text == f"attn  {folder / 'attention'} (2 pictures)"


def test_a_map_is_told_in_words_too(stored: Any, leave: Leave) -> None:
    _, results = stored()
    leave("attn", 0, maps=[MAP])
    html = only(results.runs, "Attention").html
    assert '<th scope="row" dir="auto">where</th><td>où 90 %, sont 7 %</td>' in html
    assert '<th scope="row" dir="auto">_eos_</th><td>_eos_ 75 %, sont 25 %</td>' in html


def test_the_data_of_the_map_can_be_read_back_from_the_page(stored: Any, leave: Leave) -> None:
    _, results = stored()
    awkward = {**MAP, "source": ["où", BAD, "<!--"], "target": ["'\"&", "\u2028"]}
    leave("attn", 0, maps=[MAP, awkward])
    html = only(results.runs, "Attention").html
    text = re.search(r'<script type="application/json" id="attention-data">(.*?)</script>', html, re.DOTALL)
    assert text is not None
    maps = [{**one, "views": []} for one in (MAP, awkward)]
    assert json.loads(text.group(1)) == [{"arm": "attn", "maps": maps}]


# --- whatever there may be --------------------------------------------------------------------------------------------


def test_without_artefacts_there_is_no_section(stored: Any, leave: Leave) -> None:
    _, results = stored()
    assert sections(results.runs) == []
    leave("base", 0, translations=[], maps=[])
    assert sections(results.runs) == []


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        '{"source": 1}',
        '[{"source": ["a"], "target": ["b"], "weights": [[0.5, 0.5]]}]',
        '[{"source": ["a"], "target": ["b"], "weights": [["x"]]}]',
        '[{"source": ["a"], "target": ["b"], "weights": null}]',
        "\udcff",
    ],
)
def test_artefacts_that_say_something_else_are_not_shown(stored: Any, leave: Leave, content: str) -> None:
    _, results = stored()
    folder = leave("base", 0)
    for name in ("translations.jsonl", "attention/maps.json", "signatures.json"):
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert sections(results.runs) == []


def test_whatever_comes_from_data_is_escaped(stored: Any, leave: Leave) -> None:
    _, results = stored(figures={"base": [0.5], BAD: [0.6]})
    bad_map = {**MAP, "source": [BAD] * 3, "target": [BAD] * 2, "reference": BAD}
    leave(BAD, 0, translations=translated(BAD, [(BAD, BAD)]), maps=[bad_map], signatures={BAD: BAD})
    for section in (translations_section(results.runs), attention_section(results.runs)):
        assert section is not None
        assert "<script>document" not in section.html
        assert section.html.count("</script>") == section.html.count("<script")


def test_both_sections_stand_in_the_report_of_a_study(stored: Any, leave: Leave) -> None:
    record, results = stored()
    leave("attn", 0, translations=translated("x"), maps=[MAP])
    catalog = Catalog(strict=True)
    catalog.add_module(plugin, "lab_seq2seq", "0.1.0")
    found = sections_of(results, catalog)
    assert [section.title for section in found] == ["Sample translations", "Attention"]
    page = render_report(record, results, found)
    assert page.count('class="added"') == 2
    assert "où 90 %, sont 7 %" in page


def test_without_the_plugin_the_report_of_its_runs_is_made_all_the_same(stored: Any, leave: Leave) -> None:
    record, results = stored()
    leave("attn", 0, translations=translated("x"), maps=[MAP])
    found = sections_of(results, Catalog(strict=True))
    assert found == []
    assert "où" not in render_report(record, results, found)


def test_views_of_layers_and_heads_reach_the_page(stored: Any, leave: Leave) -> None:
    _, results = stored()
    weights = {"source": ["où", "?"], "target": ["where"], "weights": [[0.9, 0.1]]}
    view = {"name": "encoder, layer 1, head 2", **weights}
    leave("attn", 0, maps=[{**weights, "reference": "where", "views": [view]}])
    assert "encoder, layer 1, head 2" in only(results.runs, "Attention").html
    leave("attn", 0, maps=[{**weights, "views": [{**view, "target": []}]}])
    assert not [section for section in sections(results.runs) if section.title == "Attention"]

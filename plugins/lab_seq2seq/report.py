"""Report sections of translation studies: sample sentences and attention maps.

Everything is read from the artifacts of the callbacks ``translations`` and ``attention_maps``; missing and damaged ones
are skipped. Each arm is represented by one seed, the first of those that most arms have.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lab.report.cells import arm_color
from lab.report.section import Section

if TYPE_CHECKING:
    from jinja2 import Environment

    from lab.study.store import RunRecord

__all__ = ["alignment_section", "attention_section", "sections", "translations_section"]

TRANSLATIONS, MAPS, SIGNATURES = "translations.jsonl", "attention/maps.json", "signatures.json"
ERRORS = "aer.json"
SENTENCES_IN_TERMINAL = 3
SENTENCES_UNFOLDED = 4
# Smaller weights are left out of the text.
LEAST_WEIGHT = 0.05

FoundT = TypeVar("FoundT")


class Translation(NamedTuple):
    """A sentence, its reference translation and a model's."""

    source: str
    reference: str
    prediction: str


class AttentionMap(NamedTuple):
    """One sentence's attention: S source and T target tokens, and T rows of S weights in [0, 1].

    ``views`` are further maps of the sentence, each with a ``name``, ``source``, ``target`` and ``weights``: those of a
    Transformer's layers and heads.
    """

    source: list[str]
    target: list[str]
    reference: str
    weights: list[list[float]]
    views: list[dict[str, Any]]


class Shown(NamedTuple):
    """Run that represents an arm, what was read from it, and the number of the arm's color."""

    run: RunRecord
    found: Any
    colour: int


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return the sections for which these runs have data."""
    found = (translations_section(runs), attention_section(runs), alignment_section(runs))
    return [section for section in found if section is not None]


# --- what runs left ---------------------------------------------------------------------------------------------------


def _shown(runs: Sequence[RunRecord], read: Callable[[Path], FoundT | None]) -> list[Shown]:
    """Return one run per arm that has data, of the seed that most arms have."""
    arms = list(dict.fromkeys(run.arm for run in runs))
    found = {(run.arm, run.seed): (run, read(run.folder / "artefacts")) for run in runs if run.status == "finished"}
    # Empty files count as missing.
    found = {place: (run, left) for place, (run, left) in found.items() if left}
    # One seed for all arms, so that the sentences are comparable.
    seeds = Counter(seed for _, seed in found)
    if not seeds:
        return []
    seed = max(seeds, key=lambda seed: seeds[seed])  # of equals the first
    return [Shown(*found[arm, seed], arm_color(at)) for at, arm in enumerate(arms) if (arm, seed) in found]


def _tolerant(read: Callable[[Path], FoundT]) -> Callable[[Path], FoundT | None]:
    """Return a reader of artifacts that returns None for missing and for invalid files."""

    def read_or_none(artefacts: Path) -> FoundT | None:
        try:
            return read(artefacts)
        # A damaged artifact hides its section; the rest of the report is still useful.
        except (OSError, ValueError, KeyError, TypeError):
            return None

    return read_or_none


@_tolerant
def _read_translations(artefacts: Path) -> list[Translation]:
    lines = (artefacts / TRANSLATIONS).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return [Translation(*(str(row[name]) for name in Translation._fields)) for row in rows]


@_tolerant
def _read_maps(artefacts: Path) -> list[AttentionMap]:
    maps = [_parse_map(one) for one in json.loads((artefacts / MAPS).read_text(encoding="utf-8"))]
    return [one for one in maps if one.source and one.target]


def _parse_map(content: Mapping[str, Any]) -> AttentionMap:
    whole = _parse_weights(content)
    views = [{"name": str(view["name"])} | _parse_weights(view) for view in content.get("views", [])]
    return AttentionMap(**whole, reference=str(content.get("reference", "")), views=views)


def _parse_weights(content: Mapping[str, Any]) -> dict[str, Any]:
    source, target = [str(word) for word in content["source"]], [str(word) for word in content["target"]]
    # Clamped: files of runs are not trusted, and the page draws the values.
    weights = [[round(min(1.0, max(0.0, float(weight))), 3) for weight in row] for row in content["weights"]]
    if len(weights) != len(target) or any(len(row) != len(source) for row in weights):
        raise ValueError("weights and tokens differ in number")
    return {"source": source, "target": target, "weights": weights}


@_tolerant
def _read_signatures(artefacts: Path) -> dict[str, str]:
    content = json.loads((artefacts / SIGNATURES).read_text(encoding="utf-8"))
    return {str(name): str(signature) for name, signature in content.items()}


# --- sample translations ----------------------------------------------------------------------------------------------


class Sentence(NamedTuple):
    """A sentence with the prediction of each arm."""

    source: str
    reference: str
    predictions: dict[str, str]


def translations_section(runs: Sequence[RunRecord]) -> Section | None:
    """Return the same sentences in every arm, side by side; None if no run saved any."""
    shown = _shown(runs, _read_translations)
    if not shown:
        return None
    sentences, signatures = _sentences(shown), _signatures(shown)
    html = _render(
        "translations.html.j2",
        shown=shown,
        colours={run.arm: colour for run, _, colour in shown},
        parts=[sentences[:SENTENCES_UNFOLDED], sentences[SENTENCES_UNFOLDED:]],
        signatures=signatures,
        seed=shown[0].run.seed,
    )
    return Section("Sample translations", _translations_text(shown, sentences, signatures), html, weight=10)


def _sentences(shown: Iterable[Shown]) -> list[Sentence]:
    """Return all sentences of all arms, each once, those of most arms first."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for run, translations, _ in shown:
        for one in translations:
            found.setdefault((one.source, one.reference), {})[run.arm] = one.prediction
    sentences = [Sentence(*texts, predictions) for texts, predictions in found.items()]
    # Stable: sentences keep the order of the split.
    return sorted(sentences, key=lambda sentence: -len(sentence.predictions))


def _translations_text(
    shown: Sequence[Shown], sentences: Sequence[Sentence], signatures: Sequence[tuple[str, str]]
) -> str:
    width = max(len(name) for name in ("reference", *(run.arm for run, _, _ in shown)))
    count = min(SENTENCES_IN_TERMINAL, len(sentences))
    chosen = [sentences[number * len(sentences) // count] for number in range(count)]
    blocks = [_sentence_text(sentence, width) for sentence in chosen]
    files = _aligned([(run.arm, str(run.folder / "artefacts" / "translations.txt")) for run, _, _ in shown], width)
    blocks.append("\n".join([f"all {len(sentences)} sentences, seed {shown[0].run.seed}:", *files]))
    if signatures:
        blocks.append("\n".join(["signatures (sacrebleu):", *_aligned(signatures, width)]))
    return "\n\n".join(blocks)


def _sentence_text(sentence: Sentence, width: int) -> str:
    rows = [("source", sentence.source), ("reference", sentence.reference), *sentence.predictions.items()]
    return "\n".join(_aligned(rows, width))


def _aligned(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    return [f"{name:<{width}}  {' '.join(text.split())}" for name, text in rows]


def _signatures(shown: Sequence[Shown]) -> list[tuple[str, str]]:
    """Return pairs (metric, signature), with the arms if the signature is not that of all."""
    users: dict[tuple[str, str], list[str]] = {}
    for run, _, _ in shown:
        for pair in (_read_signatures(run.folder / "artefacts") or {}).items():
            users.setdefault(pair, []).append(run.arm)
    return [
        (name, signature if len(arms) == len(shown) else f"{signature} ({', '.join(arms)})")
        for (name, signature), arms in users.items()
    ]


# --- attention --------------------------------------------------------------------------------------------------------


def attention_section(runs: Sequence[RunRecord]) -> Section | None:
    """Return an interactive attention map of every sentence; None if no run saved any."""
    shown = _shown(runs, _read_maps)
    if not shown:
        return None
    width = max(len(run.arm) for run, _, _ in shown)
    rows = [(run.arm, f"{run.folder / 'artefacts' / 'attention'} ({len(maps)} pictures)") for run, maps, _ in shown]
    html = _render(
        "attention.html.j2",
        shown=shown,
        data=[{"arm": run.arm, "maps": [one._asdict() for one in maps]} for run, maps, _ in shown],
        seed=shown[0].run.seed,
    )
    return Section("Attention", "\n".join(_aligned(rows, width)), html, weight=20)


def _looks_at(words: Sequence[str], weights: Sequence[float]) -> str:
    """Return a row of attention in words, the greatest first.

    >>> _looks_at(["où", "sont", "?"], [0.07, 0.9, 0.03])
    'sont 90 %, où 7 %'
    """
    ranked = sorted(zip(weights, words, strict=True), key=lambda pair: -pair[0])
    named = [f"{word} {weight:.0%}".replace("%", " %") for weight, word in ranked if weight >= LEAST_WEIGHT]
    return ", ".join(named) or "all words evenly"


# --- alignment errors -------------------------------------------------------------------------------------------------


@_tolerant
def _read_errors(artefacts: Path) -> list[dict[str, Any]]:
    rows = json.loads((artefacts / ERRORS).read_text(encoding="utf-8"))
    return [
        {
            "layer": int(row["layer"]),
            "head": None if row["head"] is None else int(row["head"]),
            "aer": float(row["aer"]),
        }
        for row in rows
    ]


def alignment_section(runs: Sequence[RunRecord]) -> Section | None:
    """Return the alignment error rate of each layer and head; None if no run has any."""
    shown = _shown(runs, _read_errors)
    if not shown:
        return None
    tables = []
    for run, rows, _ in shown:
        heads = sorted({row["head"] for row in rows if row["head"] is not None})
        layers = sorted({row["layer"] for row in rows})
        errors = {(row["layer"], row["head"]): f"{row['aer']:.3f}" for row in rows}
        cells = [[errors.get((layer, head), "") for head in (*heads, None)] for layer in layers]
        tables.append({"run": run, "heads": heads, "rows": list(zip(layers, cells, strict=True))})
    text = [
        f"{table['run'].arm}, layer {layer}: {', '.join(cells[:-1])}; mean of the heads {cells[-1]}"
        for table in tables
        for layer, cells in table["rows"]
    ]
    html = _render("alignment.html.j2", tables=tables, seed=shown[0].run.seed)
    return Section("Alignment error rate", "\n".join(text), html, weight=25)


# --- pages ------------------------------------------------------------------------------------------------------------


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@lru_cache
def _environment() -> Environment:
    """Return the template environment, with escaping for all values from data."""
    import jinja2

    # Autoescape: sentences and arm names are text from data.
    loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["link"] = _link
    environment.globals["looks_at"] = _looks_at
    return environment


def _link(run: RunRecord, artefact: str) -> str:
    """Return the path of an artifact, relative to the study's ``report.html``."""
    return f"../{run.folder.parent.name}/{run.folder.name}/artefacts/{artefact}"

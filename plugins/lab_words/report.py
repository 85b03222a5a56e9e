"""Report sections: neighbors of words, answers to analogies, and a map, per arm."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab_words.callbacks import NEIGHBORS

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]


WIDTH, HEIGHT, MARGIN = 640, 400, 40
CHARACTER, LINE = 6.2, 12.0
"""Width of a character, and height of a line, of the words on a map."""


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return neighbors, answers to analogies and a map of the first seed of each arm, or none if no run kept any."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run.arm not in found and (content := _kept(run)):
            found[run.arm] = content
    if not found:
        return []
    made = [_neighbors(found)]
    if answered := {arm: content["answers"] for arm, content in found.items() if content.get("answers")}:
        made.append(_answers(answered))
    if mapped := {arm: content["map"] for arm, content in found.items() if content.get("map")}:
        made.append(_maps(mapped))
    return made


def _neighbors(found: Mapping[str, Mapping[str, Any]]) -> Section:
    lines, rows = [], []
    for arm, content in found.items():
        coverage = ", ".join(
            f"{name}: {known:,} of {total:,} known" for name, (known, total) in content["coverage"].items()
        )
        lines.append(f"{arm} ({coverage})")
        rows.append(f"<tr><th colspan='2'>{html.escape(arm)} ({html.escape(coverage)})</th></tr>")
        for word, near in content["neighbors"].items():
            shown = ", ".join(f"{other} {cosine:.2f}" for other, cosine in near)
            lines.append(f"  {word}: {shown}")
            rows.append(f"<tr><th scope='row'>{html.escape(word)}</th><td>{html.escape(shown)}</td></tr>")
        if content.get("unknown"):
            unknown = f"not in the vocabulary: {', '.join(content['unknown'])}"
            lines.append(f"  {unknown}")
            rows.append(f"<tr><td colspan='2'>{html.escape(unknown)}</td></tr>")
    return Section("Nearest neighbors", "\n".join(lines), f"<table><tbody>{''.join(rows)}</tbody></table>", weight=10)


def _answers(answered: Mapping[str, Sequence[Sequence[str]]]) -> Section:
    """Return a table of questions with the answer of each arm; right ones are marked."""
    lines, rows = [], []
    for arm, questions in answered.items():
        lines.append(arm)
        rows.append(f"<tr><th colspan='3'>{html.escape(arm)}</th></tr>")
        for a, b, c, d, answer in questions:
            question, mark = f"{a} : {b} = {c} : {d}", "✓" if answer == d else "✗"
            lines.append(f"  {mark} {question}, answer {answer}")
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in (mark, question, answer))
            rows.append(f"<tr>{cells}</tr>")
    head = "<thead><tr><th></th><th>question</th><th>answer</th></tr></thead>"
    return Section(
        "Answers to analogies", "\n".join(lines), f"<table>{head}<tbody>{''.join(rows)}</tbody></table>", weight=11
    )


def _maps(mapped: Mapping[str, Sequence[Sequence[Any]]]) -> Section:
    """Return one picture per arm: words at the two principal components of their unit vectors."""
    text = "Frequent words at the two principal components of their vectors: see the page."
    figures = [
        f"<figure><figcaption>{html.escape(arm)}</figcaption>{_map(arm, words)}</figure>"
        for arm, words in mapped.items()
    ]
    note = "<p>Frequent words at the two principal components of their vectors, scaled to length 1.</p>"
    return Section("Map of words", text, note + "".join(figures), weight=12)


def _map(arm: str, words: Sequence[Sequence[Any]]) -> str:
    xs, ys = [float(x) for _, x, _ in words], [float(y) for _, _, y in words]
    marks: list[str] = []
    placed: list[tuple[float, float, float]] = []
    for word, x, y in zip((str(word) for word, *_ in words), xs, ys, strict=True):
        left = MARGIN + (WIDTH - 2 * MARGIN) * _share(x, xs)
        top = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * _share(y, ys)
        half = CHARACTER * len(word) / 2
        # the most frequent words come first; one without room for its name is a point, named where the mouse is
        if any(abs(left - x) < half + other and abs(top - y) < LINE for x, y, other in placed):
            name = html.escape(word)
            marks.append(f"<circle cx='{left:.1f}' cy='{top:.1f}' r='2' opacity='.5'><title>{name}</title></circle>")
            continue
        placed.append((left, top, half))
        marks.append(f"<text x='{left:.1f}' y='{top:.1f}'>{html.escape(word)}</text>")
    label = html.escape(f"map of {len(words)} words, {arm}", quote=True)
    return (
        f"<svg role='img' aria-label='{label}' viewBox='0 0 {WIDTH} {HEIGHT}' font-size='11' text-anchor='middle' "
        f"fill='currentColor' style='max-width:{WIDTH}px;width:100%'>{''.join(marks)}</svg>"
    )


def _share(value: float, values: Sequence[float]) -> float:
    """Return the place of a value between the least and the greatest, from 0 to 1."""
    least, most = min(values), max(values)
    return (value - least) / (most - least) if most > least else 0.5


def _kept(run: RunRecord) -> dict[str, Any]:
    try:
        content = json.loads((run.folder / "artefacts" / NEIGHBORS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and {"coverage", "neighbors"} <= content.keys() else {}

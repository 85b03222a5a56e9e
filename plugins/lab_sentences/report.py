"""Report sections of runs on texts: confusion matrix, most confident mistakes, alignments."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab_basics.notes import counted

from lab import Section
from lab.report.pieces import arms_html, first_of_each_arm
from lab_sentences.callbacks import ARTEFACT

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]

_IN_TERMINAL = 2
_MOST_CLASSES = 20
_MOST_WORDS = 120
# Alignments of long texts would not fit the page.
_LONGEST_ALIGNED = 30


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return one section with the first run of each arm that has the artefact, or none."""
    found = []
    for run, content in first_of_each_arm(runs, ARTEFACT):
        try:
            found.append((run.arm, _text(content), _html(run.arm, content)))
        # A damaged artifact hides its part; the rest of the report is still useful.
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            continue
    if not found:
        return []
    text = "\n".join(f"{arm}: {said}" for arm, said, _ in found)
    legend = (
        "<p>Mistakes on the validation texts, the most confident first. A solid line marks words that speak for the "
        "prediction, a dotted line words that speak against it; the stronger the color, the greater the weight "
        "(gradient × embedding).</p>"
    )
    return [Section("Mistakes", text, legend + arms_html((arm, body) for arm, _, body in found), weight=15)]


def _text(content: Mapping[str, Any]) -> str:
    said = f"{counted(int(content['mistakes']), 'mistake')} in {counted(int(content['texts']), 'text')}"
    if content["kind"] == "number":
        said = f"largest errors of {int(content['texts']):,} texts"
    for example in content["examples"][:_IN_TERMINAL]:
        texts = " | ".join(" ".join(words[:12]) + (" …" if len(words) > 12 else "") for words in example["texts"])
        said += f"\n  {example['target']} predicted as {example['predicted']}: {texts}"
    return said


def _html(arm: str, content: Mapping[str, Any]) -> str:
    examples = [_example(example) for example in content["examples"]]
    listed = f"<ol>{''.join(examples[:4])}</ol>"
    if len(examples) > 4:
        listed += (
            f"<details><summary>{len(examples) - 4} more</summary><ol start='5'>{''.join(examples[4:])}</ol></details>"
        )
    if not examples:
        listed = "<p>There are no mistakes.</p>"
    return f"{_confusion(content)}{listed}"


def _confusion(content: Mapping[str, Any]) -> str:
    rows = content.get("confusion")
    if rows is None or len(rows) > _MOST_CLASSES:
        return ""
    names = [html.escape(str(name)) for name in content["classes"]]
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    body = ""
    for at, row in enumerate(rows):
        total = max(sum(map(int, row)), 1)
        cells = "".join(
            f"<td style='text-align:right;background:rgba({_color(at == other)},{int(count) / total * 0.5:.2f})'>"
            f"{int(count):,}</td>"
            for other, count in enumerate(row)
        )
        body += f"<tr><th scope='row'>{names[at]}</th>{cells}</tr>"
    return (
        f"<table><caption>Confusion matrix: true classes in rows, predicted ones in columns</caption>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _color(is_right: bool) -> str:
    return "70,130,200" if is_right else "220,120,40"


def _example(example: Mapping[str, Any]) -> str:
    confidence = example.get("confidence")
    said = f"{_strong(example['target'])} predicted as {_strong(example['predicted'])}"
    said += "" if confidence is None else f" ({float(confidence):.0%})".replace("%", " %")
    weights = example.get("weights") or [[0.0] * len(words) for words in example["texts"]]
    texts = "".join(
        f"<p>{' '.join(_word(*pair) for pair in zip(words[:_MOST_WORDS], values, strict=False))}"
        f"{' …' if len(words) > _MOST_WORDS else ''}</p>"
        for words, values in zip(example["texts"], weights, strict=True)
    )
    return f"<li>{said}{texts}{_alignment(example)}</li>"


def _strong(text: Any) -> str:
    return f"<strong>{html.escape(str(text)) or 'none'}</strong>"


def _word(word: str, weight: float) -> str:
    weight = max(-1.0, min(1.0, float(weight)))
    shown = html.escape(str(word))
    if abs(weight) < 0.05:
        return shown
    line = "solid" if weight > 0 else "dotted"
    style = f"background:rgba({_color(weight > 0)},{abs(weight) * 0.5:.2f});border-bottom:2px {line}"
    return f"<span style='{style}' title='{weight:+.2f}'>{shown}</span>"


def _alignment(example: Mapping[str, Any]) -> str:
    rows = example.get("alignment")
    if not rows or max(map(len, example["texts"])) > _LONGEST_ALIGNED:
        return ""
    first, second = ([html.escape(str(word)) for word in words] for words in example["texts"])
    head = "".join(f"<th scope='col' style='white-space:nowrap'>{word}</th>" for word in second)
    shares = [[min(1.0, max(0.0, float(weight))) for weight in row] for row in rows]
    # relative to the greatest: alignments of a model that is not sure are pale otherwise
    greatest = max(map(max, shares)) or 1.0
    body = ""
    for word, row in zip(first, shares, strict=True):
        cells = "".join(
            f"<td title='{share:.2f}' style='background:rgba({_color(True)},{share / greatest:.2f})'></td>"
            for share in row
        )
        body += f"<tr><th scope='row'>{word}</th>{cells}</tr>"
    return (
        f"<details><summary>alignment</summary><div style='overflow-x:auto'><table>"
        f"<caption>Each row: what a word of the first text is aligned with in the second (darkest: {greatest:.2f})"
        f"</caption><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )

"""What the report of a study on pictures shows: where models erred, and what they looked at."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab_vision.callbacks import INSIDE, KINDS

if TYPE_CHECKING:
    from lab.study.results import FinishedRun

__all__ = ["sections"]

CAPTIONS = {
    "confusion": "which classes are taken for which",
    "losses": "the pictures it was most wrong about",
    "cam": "where it looked",
    "filters": "its first filters",
}


def sections(runs: Sequence[FinishedRun]) -> list[Section]:
    """One section, of the first run of each arm that left something."""
    found: dict[str, tuple[FinishedRun, Any]] = {}
    for run in runs:
        path = run.folder / "artefacts" / INSIDE
        if run.arm in found or not path.is_file():
            continue
        try:
            found[run.arm] = run, json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
    if not found:
        return []
    text = "\n".join(f"{arm}: {_text(content)}" for arm, (_, content) in found.items())
    body = "".join(
        f"<h4>{html.escape(arm)}</h4><p>{html.escape(_text(content))}</p>{_pictures(run)}"
        for arm, (run, content) in found.items()
    )
    return [Section("Looking inside", text, body, weight=10)]


def _text(content: Mapping[str, Any]) -> str:
    pairs = [f"{one} for {other} ({count})" for one, other, count in content["worst"][:3]]
    told = f"takes {', '.join(pairs)}" if pairs else "takes no picture for another class"
    if "tta" in content:
        tta = content["tta"]
        told += f"; accuracy {tta['plain_accuracy']:.4f}, with variations of each picture {tta['accuracy']:.4f}"
    return told


def _pictures(run: FinishedRun) -> str:
    shown = ""
    for name in KINDS:
        path = run.folder / "artefacts" / f"{name}.png"
        if path.is_file():
            content = base64.b64encode(path.read_bytes()).decode()
            shown += (
                f'<figure><img alt="{CAPTIONS[name]}" src="data:image/png;base64,{content}">'
                f"<figcaption>{CAPTIONS[name]}</figcaption></figure>"
            )
    return shown

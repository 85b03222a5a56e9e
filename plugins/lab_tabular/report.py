"""Report sections of tabular runs: maps of category embeddings, other models on them, the animation of a line."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab.report.pieces import arms_html, figure_html, first_of_each_arm, image_html
from lab_tabular.callbacks import ENTITIES
from lab_tabular.line import FILM

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return one section per kind of artefact, with the first run of each arm that has it."""
    entities, films = first_of_each_arm(runs, ENTITIES), first_of_each_arm(runs, FILM)
    found = []
    if entities:
        text = "\n\n".join(f"{run.arm}\n{_entities_text(content)}" for run, content in entities)
        body = arms_html((run.arm, _entities_html(content)) for run, content in entities)
        found.append(Section("Category embeddings", text, body, weight=10))
    if films:
        text = "\n".join(f"{run.arm}: {_film_text(content)}" for run, content in films)
        body = arms_html((run.arm, _film_html(run, content)) for run, content in films)
        found.append(Section("Training of the line", text, body, weight=10))
    return found


def _entities_text(content: Mapping[str, Any]) -> str:
    lines = []
    for each in content["maps"]:
        line = f"  {each['column']}: map of {len(each['names'])} categories"
        if each["correlation"] is not None:
            line += f", correlation of distances with the true ones {each['correlation']:.2f}"
        lines.append(line)
    if content["encodings"]:
        lines += ["", f"  {content['encodings'][0]['measure']}   one-hot  embedding"]
        for row in content["encodings"]:
            lines.append(f"  {row['model']:<28}{_error(row['one_hot']):>9}  {_error(row['embedding'])}")
    return "\n".join(lines)


def _entities_html(content: Mapping[str, Any]) -> str:
    from lab_tabular.plots import plot_maps

    picture = figure_html(plot_maps(content["maps"]), "map of categories") if content["maps"] else ""
    if not content["encodings"]:
        return picture
    rows = "".join(
        f"<tr><td>{html.escape(row['model'])}</td><td>{_error(row['one_hot'])}</td>"
        f"<td>{_error(row['embedding'])}</td></tr>"
        for row in content["encodings"]
    )
    measure = html.escape(content["encodings"][0]["measure"])
    return (
        f"{picture}<table><caption>{measure} on validation rows (Guo &amp; Berkhahn 2016, table 3)</caption>"
        f"<thead><tr><th>model</th><th>one-hot</th><th>embeddings</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _error(error: float | None) -> str:
    return "–" if error is None else f"{error:.4f}"


def _film_text(content: Mapping[str, Any]) -> str:
    slope, intercept, loss = content["steps"][-1]
    return f"y = {slope:.3f} x + {intercept:.3f} after {len(content['steps'])} steps, loss {loss:.4f}"


def _film_html(run: RunRecord, content: Mapping[str, Any]) -> str:
    return image_html(run.folder / "artefacts" / "line.gif", _film_text(content))

"""All pictures of a study as files: the charts of the report, the pictures of its sections, and those that runs left.

Charts are drawn by vl-convert (extra ``figures``), which holds Vega and needs neither a browser nor a network. Pictures
that are files already (PNG, GIF) are copied.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from lab.files import atomic_path
from lab.report.pieces import arms_html, image_html
from lab.report.section import Section
from lab.study.results import Results
from lab.study.store import RunRecord
from lab_report import charts

__all__ = ["FORMATS", "THEMES", "Picture", "charts_of", "converter", "pictures_of", "section_of_runs", "write_pictures"]

FORMATS = ("png", "svg", "pdf")
THEMES = ("light", "dark")
WIDTH, SCALE = 640, 2.0
LEGEND_WIDTH = 290
"""Of the name of an arm in the legend of curves, in pixels."""
PICTURES_OF_ARM = 6
"""That a report shows of what an arm's run left, and no section shows."""
FONT = "DejaVu Sans, Liberation Sans, Arial, sans-serif"


@attrs.frozen
class Picture:
    """A picture of a study.

    Attributes:
        name: of its file, without ending.
        chart: the Vega-Lite specification of a chart; else None.
        svg: a drawing; else empty.
        content: of a picture that is a file already; else empty.
        ending: of such a file, ``png``.
    """

    name: str
    chart: Mapping[str, Any] | None = None
    svg: str = ""
    content: bytes = b""
    ending: str = ""


def converter() -> ModuleType | None:
    """Return vl-convert, or None where it is not installed."""
    try:
        import vl_convert
    except ImportError:
        return None
    return vl_convert  # type: ignore[no-any-return]


def pictures_of(results: Results, sections: Sequence[Section]) -> list[Picture]:
    """Return all pictures of a study, each once, with names that differ."""
    found = [*charts_of(results), *_of_sections(sections), *_of_runs(results)]
    named: dict[str, Picture] = {}
    seen: set[tuple[str, bytes]] = set()
    for picture in found:
        # a section shows what a run left, and names it better
        same = (picture.svg, picture.content)
        if picture.chart is None and same in seen:
            continue
        seen.add(same)
        name, number = picture.name, 2
        while name in named:
            name, number = f"{picture.name}-{number}", number + 1
        named[name] = attrs.evolve(picture, name=name)
    return list(named.values())


def charts_of(results: Results) -> list[Picture]:
    """Return the charts of the report: differences, scores, and the curves of every metric."""
    names, metric = results.leading_arms(), results.study.compare
    rows = results.leading_rows(results.compare())
    scores = {name: results.scores(name, metric) for name in names}
    differences = {
        name: [own[seed] - base[seed] for seed in own if seed in base]
        for name, own in scores.items()
        if (other := results.base_of(name)) != name and (base := scores.get(other, {}))
    }
    histories = charts.histories_of([run for run in results.runs if run.arm in set(names)])
    found = {
        f"differences-{metric}": charts.difference_chart(rows, differences, metric, results.margin),
        f"scores-{metric}": charts.scores_chart(
            {name: list(values.values()) for name, values in scores.items()}, metric, results.overlap
        ),
    }
    for figure in charts.figures_of(histories, first=metric):
        found[f"curves-{figure}"] = charts.curves_chart(histories, names, [figure])
    titles = {"differences": "Δ {} against the base", "scores": "{} of every run", "curves": "{} by epoch"}
    return [
        Picture(
            _slug(name), chart=_standing_alone(chart, titles[name.partition("-")[0]].format(name.partition("-")[2]))
        )
        for name, chart in found.items()
        if chart is not None
    ]


def _standing_alone(chart: Mapping[str, Any], title: str) -> dict[str, Any]:
    """Return a chart without its page: with a title, a width, and a legend of the arms."""
    whole: dict[str, Any] = json.loads(json.dumps(chart))
    heading = {"text": title, "anchor": "start", "color": "var(--ink)", "fontSize": 14, "fontWeight": "normal"}
    whole |= {"width": WIDTH, "title": heading, "padding": 12, "background": "var(--paper)"}
    # rows of arms are labelled; curves have their legend in the page
    if "params" in whole:
        legend = {
            "orient": "bottom",
            "title": None,
            "labelColor": "var(--ink)",
            "labelLimit": LEGEND_WIDTH,
            "columns": max(1, WIDTH // (LEGEND_WIDTH + 20)),
            "symbolLimit": 0,
            "symbolType": "stroke",
        }
        for layer in whole["layer"]:
            layer["encoding"]["color"]["legend"] = legend
    return whole


def _of_sections(sections: Sequence[Section]) -> Iterator[Picture]:
    """Yield the drawings and embedded images of the report's sections, in their order."""
    for section in sections:
        arm = label = ""
        for match in _PARTS.finditer(section.html):
            whole, given = match[0], _attributes(match[0])
            if match["heading"] is not None:
                arm, label = html.unescape(re.sub("<[^>]*>", "", match["heading"])), ""
            elif whole.startswith("<figure"):
                label = given.get("aria-label", "")
            else:
                said = given.get("aria-label") or given.get("alt") or label
                name, label = _slug("-".join(filter(None, (section.title, arm, said)))), ""
                if whole.startswith("<svg"):
                    # descriptions of who made a drawing are of no use, and not all converters read them
                    yield Picture(name, svg=re.sub(r"<metadata>.*?</metadata>", "", whole, flags=re.DOTALL))
                elif found := re.fullmatch(r"data:image/(png|gif|jpeg|webp);base64,(.+)", given.get("src", "")):
                    yield Picture(name, content=base64.b64decode(found[2]), ending=found[1])


_PARTS = re.compile(
    r"<svg\b.*?</svg>|<figure\b[^>]*>|<img\b[^>]*>|<h[34]\b[^>]*>(?P<heading>.*?)</h[34]>", re.DOTALL | re.IGNORECASE
)


def _attributes(element: str) -> dict[str, str]:
    """Return the attributes of the first tag of an element."""
    tag = re.match(r"<[^>]*>", element, re.DOTALL)
    found = re.findall(r"""([\w-]+)=(?:"([^"]*)"|'([^']*)')""", tag[0] if tag else "")
    return {name: html.unescape(one or other) for name, one, other in found}


def section_of_runs(results: Results, sections: Sequence[Section]) -> Section | None:
    """Return a section with the pictures that runs left and no other section shows; None if there are none.

    Of every arm, those of its first run that left any, at most ``PICTURES_OF_ARM``.
    """
    shown = {picture.content for picture in _of_sections(sections) if picture.content}
    parts: dict[str, str] = {}
    count = 0
    for run in results.runs:
        if run.arm in parts:
            continue
        left = [path for path in _pictures_in(run) if path.read_bytes() not in shown]
        if left:
            kept = left[:PICTURES_OF_ARM]
            more = (
                f"<p>{len(left) - len(kept)} more: <code>lab figures STUDY -o FOLDER</code></p>"
                if len(left) > len(kept)
                else ""
            )
            folder = run.folder / "artefacts"
            captions = [f"{path.relative_to(folder).with_suffix('')}, seed {run.seed}" for path in kept]
            parts[run.arm] = "".join(map(image_html, kept, captions)) + more
            count += len(left)
    if not parts:
        return None
    text = f"{count} that runs left"
    return Section("Pictures", text, arms_html(parts.items()))


def _of_runs(results: Results) -> Iterator[Picture]:
    """Yield the pictures that runs left, arm by arm."""
    for run in results.runs:
        for path in _pictures_in(run):
            name = _slug(f"{run.arm}-seed-{run.seed}-{path.relative_to(run.folder / 'artefacts').with_suffix('')}")
            ending = path.suffix.lower().removeprefix(".")
            if ending == "svg":
                yield Picture(name, svg=path.read_text(encoding="utf-8", errors="replace"))
            else:
                yield Picture(name, content=path.read_bytes(), ending=ending)


def _pictures_in(run: RunRecord) -> list[Path]:
    """Return the picture files among the artefacts of a finished run."""
    folder = run.folder / "artefacts"
    if run.status != "finished" or not folder.is_dir():
        return []
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [path for path in files if path.suffix.lower() in (".png", ".gif", ".jpg", ".jpeg", ".webp", ".svg")]


def write_pictures(
    pictures: Sequence[Picture], folder: Path, formats: Sequence[str], theme: str, draw: ModuleType | None
) -> list[Path]:
    """Write pictures and return their paths.

    Args:
        pictures: of a study.
        folder: to write into; files of the same names are replaced.
        formats: of drawings: ``png``, ``svg``, ``pdf``. A picture that is a file already keeps its format.
        theme: ``light`` or ``dark``.
        draw: vl-convert; without it, charts are left out, and drawings are written as SVG alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for picture in pictures:
        for ending, content in _contents(picture, formats, theme, draw):
            target = folder / f"{picture.name}.{ending}"
            with atomic_path(target) as path:
                path.write_bytes(content)
            written.append(target)
    return written


def _contents(
    picture: Picture, formats: Sequence[str], theme: str, draw: ModuleType | None
) -> Iterator[tuple[str, bytes]]:
    if picture.content:
        yield picture.ending, picture.content
        return
    svg = ""
    if picture.chart is not None:
        if draw is None:
            return
        svg = draw.vegalite_to_svg(_colored(json.dumps(picture.chart), theme).replace("system-ui, sans-serif", FONT))
    else:
        svg = _alone(_colored(picture.svg, theme), theme)
    for ending in formats:
        if ending == "svg":
            yield "svg", svg.encode()
        elif draw is not None and ending == "png":
            yield "png", draw.svg_to_png(svg, scale=SCALE)
        elif draw is not None:
            yield "pdf", draw.svg_to_pdf(svg)


def _alone(svg: str, theme: str) -> str:
    """Return a drawing of a page as a file of its own: with its namespace, a background, and the color of text."""
    colors = palette(theme)
    space = "" if "xmlns=" in svg.partition(">")[0] else 'xmlns="http://www.w3.org/2000/svg" '
    style = f'{space}color="{colors["ink"]}" style="background: {colors["paper"]}" '
    # two attributes of one name are an error of XML
    start, end = re.match(r"<svg\b[^>]*>", svg, re.DOTALL).span() if svg.startswith("<svg") else (0, 0)  # type: ignore[union-attr]
    tag = re.sub(r"\sstyle=(\"[^\"]*\"|'[^']*')", "", svg[start:end])
    body = f'<rect width="100%" height="100%" fill="{colors["paper"]}"/>{svg[end:]}'
    # a converter may not know currentColor on the root
    return (tag.replace("<svg", f"<svg {style}", 1) + body).replace("currentColor", colors["ink"])


def palette(theme: str) -> dict[str, str]:
    """Return the colors of the report's style sheet by name, for light or dark screens."""
    text = (files("lab_report") / "templates" / "report.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block)) for block in _roots(text))
    return light if theme == "light" else light | dark


def _roots(text: str) -> list[str]:
    return re.findall(r":root\s*\{([^}]*)\}", text)[:2]


def _colored(text: str, theme: str) -> str:
    """Return text in which the page's colors stand for their variables."""
    colors = palette(theme)
    return re.sub(r"var\(--([\w-]+)(?:,[^)]*)?\)", lambda match: colors.get(match[1], colors["ink"]), text)


def _slug(text: str) -> str:
    """Return a readable name for a file: letters, digits, points and underscores, the rest as hyphens.

    >>> _slug("Power: difference that is shown / seeds"), _slug("größer ± 1")
    ('power-difference-that-is-shown-seeds', 'größer-1')
    """
    plain = re.sub(r"[^\w.]+", "-", html.unescape(text).strip().lower()).strip("-._")
    return plain[:100].rstrip("-._") or "picture"

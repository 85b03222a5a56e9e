"""Pictures of the gallery, taken of the reports of stored runs by a browser without a window.

    python docs/gallery.py runs [FOLDER ...]       write docs/pictures/*.png, of the studies that these folders hold

A study that none of the folders holds is named with the command that trains it, and its old picture stays. Needs
Chromium with its driver, selenium (extra ``test``) and Pillow. ``docs/generate.py`` writes the page.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ENTRIES", "MAX_BYTES", "PICTURES", "Entry", "gallery_page"]

PICTURES = Path(__file__).resolve().parent / "pictures"
MAX_BYTES = 100_000
"""Size of one picture; colors are given up until it fits."""
WIDTH = 860
"""Width of the window, near that of a page of text."""


class Entry(NamedTuple):
    """One picture.

    Attributes:
        name: of its file.
        study: file in ``experiments/`` without its suffix.
        section: heading of the report's section; empty for its beginning, with the answer.
        title: heading in the gallery.
        text: what is seen.
        height: pixels that are shown at most.
        options: of the command that trains the study.
        figure: caption of the first figure to show, in place of the whole section.
    """

    name: str
    study: str
    section: str
    title: str
    text: str
    height: int = 620
    options: str = ""
    figure: str = ""


ENTRIES = [
    Entry(
        "report",
        "bidir_vs_attn",
        "",
        "The answer",
        "Every report begins with the question, the verdicts in words, and the differences with their intervals.",
        760,
    ),
    Entry(
        "attention",
        "bidir_vs_attn",
        "Attention",
        "Attention maps",
        "Which words of the source a translation looked at, for the same sentences in every arm "
        "([Attention](attention.md)).",
        900,
    ),
    Entry(
        "curves",
        "bidir_vs_attn",
        "Learning curves",
        "Learning curves",
        "One thin line per seed and a thick one per arm; the page lets you choose the metric and hide arms.",
    ),
    Entry(
        "detections",
        "ssd_or_two_stages",
        "Detections",
        "Detections",
        "Boxes that were found, beside those that are there, and the worst misses ([Boxes, masks and "
        "style](boxes-and-masks.md)).",
        options="--seeds 1",
    ),
    Entry(
        "masks",
        "skip_connections",
        "Masks",
        "Masks",
        "The class of every pixel: the picture, its mask, and what each arm makes of it.",
        options="--seeds 1",
    ),
    Entry(
        "style",
        "style_weights",
        "Pictures",
        "Style transfer",
        "The content of one picture in the style of another, by the weight of the style.",
        1000,
    ),
    Entry(
        "inside",
        "batchnorm_placement",
        "Interpretation",
        "Class activation maps",
        "Where in the picture a network saw its class, and the class that it gave ([Pictures](pictures.md)).",
        options="--seeds 1",
        figure="activation maps",
    ),
    Entry(
        "words",
        "word_vectors_which_objective",
        "Map of words",
        "Embeddings of words",
        "Word vectors in two dimensions, with nearest neighbors and analogies beside them ([Word "
        "vectors](word-vectors.md)).",
    ),
    Entry(
        "items",
        "y_range_or_not",
        "Items by bias",
        "Embeddings of items",
        "What a rating model has learned of films: their factors in two dimensions ([Recommending](recommending.md)).",
        options="--seeds 3",
        height=860,
        figure="map of items",
    ),
    Entry(
        "devise",
        "cos_vs_l1",
        "Search of images by words",
        "Pictures and words in one space",
        "Pictures that answer a word, also words that no picture was trained with ([Words and "
        "pictures](words-and-pictures.md)).",
        options="--seeds 1",
        figure="images nearest to some words",
    ),
    Entry(
        "importance",
        "which_settings_matter",
        "Which settings mattered",
        "Settings that matter",
        "Which settings of a search moved the score, with the error of that estimate ([Searching "
        "settings](searching-settings.md)).",
        options="--seeds 1",
    ),
    Entry(
        "variance",
        "where_does_variance_come_from",
        "Where the variance comes from",
        "Sources of variance",
        "How much initial weights, order, dropout and split contribute to the spread of results ([Designing a "
        "study](designing-a-study.md)).",
    ),
    Entry(
        "datasets",
        "across_corpora",
        "Over datasets",
        "Several datasets",
        "One change on several datasets: pooled effects and ranks.",
    ),
]


def gallery_page() -> str:
    """Return the gallery as Markdown: every picture that is there, with the study that it is of."""
    lines = []
    for entry in ENTRIES:
        if not (PICTURES / f"{entry.name}.png").is_file():
            continue
        options = f" {entry.options}" if entry.options else ""
        lines += [f"## {entry.title}", "", f"{entry.text}", ""]
        lines += [f'<p class="gallery"><img alt="{entry.title}" src="pictures/{entry.name}.png"></p>', ""]
        lines += ["```bash", f"lab run experiments/{entry.study}.py{options}", "```", ""]
    return "\n".join(lines).rstrip()


# --- taking them ------------------------------------------------------------------------------------------------------


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a browser without a window."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={WIDTH},1200",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
    try:
        yield driver
    finally:
        driver.quit()


def take(driver: Any, report: Path, entry: Entry) -> Image | None:
    """Return the picture of a section of a report; None if the report has no such section."""
    from PIL import Image
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(report.resolve().as_uri())
    WebDriverWait(driver, 60).until(
        lambda page: page.execute_script(
            "return [...document.querySelectorAll('.chart')].every(chart => chart.querySelector('svg'))"
        )
    )
    # the section is lifted out of its page: nothing before it, nothing behind it
    box = driver.execute_script(FIND, entry.section, entry.figure)
    if box is None:
        return None
    top, height = round(box[0]), min(round(box[1]), entry.height)
    shot = driver.execute_cdp_cmd(
        "Page.captureScreenshot",
        {
            "captureBeyondViewport": True,
            "clip": {"x": max(0, box[2] - 12), "y": top, "width": box[3] + 24, "height": height, "scale": 1},
        },
    )
    return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")


FIND = """
const wanted = arguments[0];
const headings = [...document.querySelectorAll('h2')];
const place = element => element.getBoundingClientRect().top + window.scrollY;
const page = document.querySelector('main') || document.body;
const left = page.getBoundingClientRect();
if (!wanted)
    return [0, document.documentElement.scrollHeight, Math.max(0, left.left), left.width];
const at = headings.findIndex(heading => heading.textContent.trim() === wanted);
if (at < 0)
    return null;
for (let parent = headings[at].closest('details'); parent; parent = parent.parentElement.closest('details'))
    parent.open = true;
const top = place(headings[at]) - 8;
if (arguments[1]) {
    const named = figure => [figure.getAttribute('aria-label'), figure.querySelector('figcaption')?.textContent.trim()];
    const figures = [...document.querySelectorAll('figure')];
    const found = figures.find(figure => named(figure).includes(arguments[1]));
    const box = found?.getBoundingClientRect();
    return box ? [place(found) - 8, box.height + 16, Math.max(0, box.left), box.width] : null;
}
const next = headings.slice(at + 1).map(place).find(other => other > top + 20);
return [top, (next || document.documentElement.scrollHeight) - top - 8, Math.max(0, left.left), left.width];
"""


def encode(picture: Image) -> bytes:
    """Return a PNG of at most ``MAX_BYTES``, with as many colors as fit."""
    from PIL import Image

    for scale in (1.0, 0.8, 0.65, 0.5):
        size = (round(picture.width * scale), round(picture.height * scale))
        smaller = picture if scale == 1 else picture.resize(size, Image.Resampling.LANCZOS)
        for colors in (256, 128, 64):
            buffer = io.BytesIO()
            smaller.quantize(colors, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
            if buffer.tell() <= MAX_BYTES:
                return buffer.getvalue()
    raise ValueError(f"a picture of {picture.size} does not fit into {MAX_BYTES:,} bytes")


def main() -> int:
    """Take every picture whose study is in one of the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--only", default="", help="names of pictures, separated by commas")
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    PICTURES.mkdir(exist_ok=True)
    missing = 0
    with browser() as driver:
        for entry in ENTRIES:
            if only and entry.name not in only:
                continue
            reports = [folder / entry.study / "report.html" for folder in given.runs]
            report = next(filter(Path.is_file, reports), None)
            picture = take(driver, report, entry) if report is not None else None
            if picture is None:
                missing += 1
                why = "no report" if report is None else f"no section '{entry.section}' in {report}"
                print(f"{entry.name}: {why}; lab run experiments/{entry.study}.py {entry.options}".rstrip())
                continue
            content = encode(picture)
            (PICTURES / f"{entry.name}.png").write_bytes(content)
            print(f"{entry.name}: {picture.width} × {picture.height}, {len(content):,} bytes, of {report}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

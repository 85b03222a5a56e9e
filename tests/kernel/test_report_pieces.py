"""Pieces of sections: what runs left, and pictures in a page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from matplotlib.figure import Figure

from lab.report.pieces import figure_html, first_of_each_arm, image_html


def run_of(folder: Path, arm: str, content: str | None) -> SimpleNamespace:
    (folder / "artefacts").mkdir(parents=True)
    if content is not None:
        (folder / "artefacts" / "found.json").write_text(content)
    return SimpleNamespace(arm=arm, folder=folder)


def test_the_first_run_of_each_arm_counts_that_left_something(tmp_path: Path) -> None:
    contents = [("base", None), ("base", "[1]"), ("base", "[2]"), ("other", "{"), ("other", "[3]")]
    runs = [run_of(tmp_path / str(number), *each) for number, each in enumerate(contents)]
    assert [(run.arm, content) for run, content in first_of_each_arm(runs, "found.json")] == [
        ("base", [1]),
        ("other", [3]),
    ]


def test_a_figure_is_drawn_into_the_page_with_a_label() -> None:
    figure = Figure()
    figure.subplots().plot([1, 2])
    page = figure_html(figure, 'a "line"')
    assert page.startswith('<figure role="img" aria-label="a &quot;line&quot;"><svg')


def test_a_picture_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert image_html(tmp_path / "none.png", "nothing") == ""
    (tmp_path / "dot.gif").write_bytes(b"GIF89a")
    assert 'src="data:image/gif;base64,R0lGODlh"><figcaption>a &lt;dot&gt;' in image_html(
        tmp_path / "dot.gif", "a <dot>"
    )

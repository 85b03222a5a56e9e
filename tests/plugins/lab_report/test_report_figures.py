"""All pictures of a study as files: charts, drawings and images of sections, and what runs left."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from lab_report import figures as module
from lab_report.figures import charts_of, palette, pictures_of, section_of_runs, write_pictures
from matplotlib.figure import Figure
from PIL import Image

from lab import Experiment, Section, Study, use
from lab.cli.main import cli
from lab.report.pieces import arms_html, figure_html, image_html

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study of two arms, one of whose runs left a picture."""
    folder = tmp_path_factory.mktemp("figures")
    base = Experiment(
        dataset=use("points", count=64), architecture="mlp", loss="cross_entropy", metrics=["accuracy"], epochs=2,
        batch_size=32,
    )  # fmt: skip
    results = Study(base, seeds=3, name="drawn").swap("lr", {"fast and / or wild": 0.1}).run(runs=folder / "runs")
    left = results.runs[0].folder / "artefacts" / "maps"
    left.mkdir(parents=True)
    (left / "first.png").write_bytes(PNG)
    return folder, results


def drawing():
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([1, 2], label="a line")
    axes.legend()
    return figure


def sections(tmp_path):
    (tmp_path / "map.png").write_bytes(PNG)
    body = arms_html(
        [("base", figure_html(drawing(), "a curve")), ("fast <b>", image_html(tmp_path / "map.png", "its map"))]
    )
    return [Section("Inside & out", "", body)]


def test_the_report_shows_pictures_of_runs_that_no_section_shows(finished):
    _, results = finished
    section = section_of_runs(results, [])
    assert section.title == "Pictures"
    assert section.text == "1 that runs left"
    assert "<h4>base</h4>" in section.html
    assert "maps/first, seed 0" in section.html
    assert base64.b64encode(PNG).decode() in section.html
    folder = results.runs[0].folder.parent.parent
    written = CliRunner().invoke(cli, ["report", "drawn", "--runs", str(folder)], catch_exceptions=False)
    assert "<h2>Pictures</h2>" in Path(written.output.strip()).read_text()


def test_a_picture_that_a_section_shows_is_not_shown_twice(finished, tmp_path):
    _, results = finished
    assert section_of_runs(results, sections(tmp_path)) is None


def test_a_drawing_of_a_run_is_shown_as_an_image_that_runs_no_script(tmp_path):
    (tmp_path / "map.svg").write_text("<svg><script>alert(1)</script></svg>")
    shown = image_html(tmp_path / "map.svg", "its map")
    assert 'src="data:image/svg+xml;base64,' in shown
    assert "<script>" not in shown


def test_of_many_pictures_of_an_arm_the_report_shows_some_and_says_where_the_others_are(finished, monkeypatch):
    _, results = finished
    monkeypatch.setattr(module, "PICTURES_OF_ARM", 0)
    assert "1 more: <code>lab figures STUDY -o FOLDER</code>" in section_of_runs(results, []).html


def test_charts_are_named_after_what_they_show(finished):
    _, results = finished
    names = [picture.name for picture in charts_of(results)]
    assert names[:3] == ["differences-valid_loss", "scores-valid_loss", "curves-valid_loss"]
    assert "curves-valid_accuracy" in names


def test_pictures_of_sections_and_runs_have_readable_names_and_stand_there_once(finished, tmp_path):
    _, results = finished
    names = [picture.name for picture in pictures_of(results, sections(tmp_path))]
    assert "inside-out-base-a-curve" in names
    # the picture that a run left is the one that the section shows
    assert [name for name in names if "map" in name] == ["inside-out-fast-b-its-map"]
    assert "base-seed-0-maps-first" in [picture.name for picture in pictures_of(results, [])]
    assert len(set(names)) == len(names)


def test_without_a_converter_pictures_are_copied_and_drawings_are_svg(finished, tmp_path):
    _, results = finished
    written = write_pictures(pictures_of(results, sections(tmp_path)), tmp_path / "out", module.FORMATS, "light", None)
    assert sorted(path.name for path in written) == ["inside-out-base-a-curve.svg", "inside-out-fast-b-its-map.png"]
    assert (tmp_path / "out" / "inside-out-fast-b-its-map.png").read_bytes() == PNG


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_drawing_has_the_colors_of_its_theme(tmp_path, theme):
    path = tmp_path / "map.png"
    path.write_bytes(PNG)
    (picture, _) = pictures_of_sections(tmp_path)
    (written,) = write_pictures([picture], tmp_path / "out", ["svg"], theme, None)
    text = written.read_text()
    assert palette(theme)["ink"] in text
    assert "currentColor" not in text
    assert "var(--" not in text
    import xml.etree.ElementTree as ElementTree

    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"


def pictures_of_sections(tmp_path):
    return list(module._of_sections(sections(tmp_path)))


def test_charts_are_drawn_in_every_format(finished, tmp_path):
    draw = pytest.importorskip("vl_convert", reason="charts need the extra figures")
    _, results = finished
    chart = charts_of(results)[2]
    written = write_pictures([chart], tmp_path, ["png", "svg", "pdf"], "dark", draw)
    assert [path.name for path in written] == [f"curves-valid_loss.{ending}" for ending in ("png", "svg", "pdf")]
    image = Image.open(io.BytesIO(written[0].read_bytes())).convert("RGB")
    assert image.width > 1000
    assert "#{:02x}{:02x}{:02x}".format(*image.getpixel((3, 3))) == palette("dark")["paper"]
    text = written[1].read_text()
    assert "fast and / or wild" in text  # the legend
    assert palette("dark")["arm-1"] in text
    assert written[2].read_bytes().startswith(b"%PDF")


def test_lab_figures_writes_them_all(finished, tmp_path):
    pytest.importorskip("vl_convert", reason="charts need the extra figures")
    folder, _ = finished
    done = CliRunner().invoke(
        cli,
        ["figures", "drawn", "-o", str(tmp_path / "out"), "--format", "svg", "--runs", str(folder / "runs")],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"differences-valid_loss.svg", "curves-valid_accuracy.svg", "base-seed-0-maps-first.png"} <= names
    assert not any(name.endswith(".pdf") for name in names)


def test_what_is_missing_is_said_with_the_remedy(finished, tmp_path, monkeypatch):
    folder, _ = finished
    monkeypatch.setattr(module, "converter", lambda: None)
    done = CliRunner().invoke(
        cli, ["figures", "drawn", "-o", str(tmp_path / "out"), "--runs", str(folder / "runs")], standalone_mode=False
    )
    assert done.return_value == 1
    assert "pip install 'lab-ablation[figures]'" in done.output
    assert (tmp_path / "out" / "base-seed-0-maps-first.png").read_bytes() == PNG


def test_arms_stand_side_by_side():
    page = arms_html([("one & two", "<p>1</p>"), ("three", "<p>3</p>")])
    assert page.startswith('<div class="arms"><article><h4>one &amp; two</h4><p>1</p></article>')
    assert page.count("<article>") == 2


def test_figures_of_a_page_have_its_colors():
    page = figure_html(drawing(), "a curve")
    assert 'fill="currentColor"' in page
    assert "#000000" not in page
    assert "fill: #ffffff" not in page  # neither the ground nor the legend is white


def test_curves_of_few_epochs_have_a_tick_for_each(finished):
    _, results = finished
    chart = json.loads(json.dumps(charts_of(results)[2].chart))
    assert chart["layer"][0]["encoding"]["x"]["axis"]["values"] == [1, 2]

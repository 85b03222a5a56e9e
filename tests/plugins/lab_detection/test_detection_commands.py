"""Detection and segmentation from the command line: runs, their reports, ``lab detect``, and bad files."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from lab_detection.plots import Shown, plot_boxes, plot_masks
from PIL import Image

from lab.cli.main import cli

BOXES = '''"""Is the body large enough?"""
from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_boxes", size=32, train=48, valid=8, objects=[1, 2], sizes=[0.4, 0.7]),
    architecture=use("ssd", widths=[8, 16], width=16, sizes=[[0.4, 0.5], [0.6, 0.7]]),
    loss="detection_loss", callbacks=["draw_boxes"], metrics=["map"], lr=1e-2, batch_size=8, epochs=2,
)
study = Study(base, seeds=1, compare="valid_map")
'''
MASKS = '''"""Do sums of earlier maps help?"""
from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_masks", size=32, train=16, valid=8, objects=[1, 1]), architecture=use("fcn", widths=[8, 16]),
    loss=use("cross_entropy", ignore=255), callbacks=["draw_masks"], metrics=["mean_iou"], lr=1e-2, batch_size=8,
    epochs=1,
)
study = Study(base, seeds=1, compare="valid_mean_iou").swap("architecture.skips", {"sums": True})
'''


def lab(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def run(folder, text, *more):
    (folder / "question.py").write_text(text)
    return lab("run", folder / "question.py", "--runs", folder / "runs", "--quiet", *more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study of one small detector, and its run's key."""
    folder = tmp_path_factory.mktemp("boxes")
    assert run(folder, BOXES).exit_code == 0
    (key,) = [each.name for each in (folder / "runs" / ".store").iterdir() if (each / "result.json").exists()]
    return folder, key


def test_the_report_shows_detections_curves_and_misses(finished):
    folder, key = finished
    page = (folder / "runs/question/report.html").read_text()
    for label in ("detections (colored", "precision and recall", "missed objects"):
        assert re.search(rf'<img[^>]+alt="[^"]*{re.escape(label)}', page), label
    content = json.loads((folder / f"runs/.store/{key}/artefacts/boxes.json").read_text())
    assert f"{content['missed']} of {content['objects']} objects are missed" in page


def test_objects_of_a_picture_are_listed_in_its_pixels_and_drawn(finished, tmp_path):
    folder, key = finished
    picture = tmp_path / "picture.png"
    Image.fromarray(np.full((60, 90, 3), 200, np.uint8)).save(picture)
    result = lab("detect", key[:8], picture, "--least", "0", "-o", tmp_path / "out.png", "--runs", folder / "runs")
    assert result.exit_code == 0
    found = [re.fullmatch(r"(0\.\d{3})  \w+  (\d+) (\d+) (\d+) (\d+)", line) for line in result.stdout.splitlines()]
    assert found
    assert all(found)
    assert all(int(each[2]) <= int(each[4]) <= 90 and int(each[3]) <= int(each[5]) <= 60 for each in found)
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.width > drawn.height


def test_files_have_the_format_of_their_suffix_and_others_are_refused(finished, tmp_path):
    folder, key = finished
    Image.new("RGB", (40, 30)).save(tmp_path / "black.png")
    command = ("detect", key, tmp_path / "black.png", "--runs", folder / "runs", "-o")
    assert lab(*command, tmp_path / "out.JPG").exit_code == 0
    with Image.open(tmp_path / "out.JPG") as drawn:
        assert drawn.format == "JPEG"
    assert "unknown format '.txt'" in str(lab(*command, tmp_path / "out.txt").exception)
    assert not (tmp_path / "out.txt").exists()


def test_pictures_are_turned_by_their_orientation(finished, tmp_path):
    folder, key = finished
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn to the left
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.rot90(pixels, -1)).save(tmp_path / "upright.png")
    turned, upright = (
        lab("detect", key, tmp_path / name, "--least", "0", "--runs", folder / "runs").stdout
        for name in ("turned.png", "upright.png")
    )
    assert turned == upright
    assert upright


def test_proposals_for_a_detector_that_takes_none_are_refused(finished, tmp_path):
    folder, key = finished
    Image.new("RGB", (40, 30)).save(tmp_path / "black.png")
    (tmp_path / "boxes.json").write_text('{"black.png": [[1, 1, 9, 9]]}')
    given = ("--proposals", tmp_path / "boxes.json", "--runs", folder / "runs")
    result = lab("detect", key, tmp_path / "black.png", *given)
    assert "this detector takes no proposals" in str(result.exception)


def test_a_picture_without_a_sure_object_is_said_to_have_none(finished, tmp_path):
    folder, key = finished
    Image.new("RGB", (40, 40)).save(tmp_path / "black.png")
    result = lab("detect", key, tmp_path / "black.png", "--least", "1", "--runs", folder / "runs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no object with a score of at least 1" in result.stderr
    missing = lab("detect", key, tmp_path / "none.png", "--runs", folder / "runs")
    assert missing.exit_code != 0


def test_the_report_shows_masks_of_every_arm(tmp_path):
    assert run(tmp_path, MASKS).exit_code == 0
    page = (tmp_path / "runs/question/report.html").read_text()
    assert len(re.findall(r'<img[^>]+alt="validation pictures, their masks', page)) == 2
    assert "intersection over union: background" in page


def test_all_problems_of_files_are_told_before_anything_is_trained(tmp_path):
    Image.new("RGB", (40, 20)).save(tmp_path / "0.png")
    content = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(3)],
        "annotations": [{"image_id": 5, "category_id": 1, "bbox": [1, 1, 2, 2]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    result = run(tmp_path, BOXES, "--set", "dataset=coco_boxes", "--set", f"dataset.path={tmp_path}")
    # Outside of the runner, main() prints this and exits with 2.
    told = str(result.exception)
    assert told.startswith("3 problems in this data set")
    for problem in ("annotation 0: image_id 5 is none of images", "1.png: no picture", "2.png: no picture"):
        assert problem in told
    assert not list((tmp_path / "runs").glob(".store/*/result.json"))


def test_names_give_way_to_a_legend_in_crowded_pictures():
    def labels(count):
        boxes = np.tile([0.1, 0.1, 0.4, 0.4], (count, 1))
        picture = Shown(torch.zeros(3, 20, 30), np.zeros((0, 5)), np.arange(count) % 2, np.full(count, 0.5), boxes)
        figure = plot_boxes([picture], ("cat", "dog"))
        legend = [text.get_text() for each in figure.legends for text in each.get_texts()]
        return {text.get_text() for text in figure.axes[0].texts}, legend

    assert labels(2) == ({"cat 0.50", "dog 0.50"}, [])
    assert labels(20) == ({"0.50"}, ["cat", "dog"])


def test_crowded_pictures_are_shown_larger_in_fewer_columns():
    def columns(count):
        boxes = np.tile([0.1, 0.1, 0.4, 0.4], (count, 1))
        picture = Shown(torch.zeros(3, 20, 30), np.zeros((0, 5)), np.zeros(count, int), np.full(count, 0.5), boxes)
        figure = plot_boxes([picture] * 8, ("cat",))
        return figure.axes[0].get_gridspec().ncols, round(figure.get_figwidth(), 1)

    assert columns(2) == (4, 6.4)
    assert columns(12) == (2, 6.4)


def test_labels_at_the_right_border_stay_inside_of_the_picture():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    picture = Shown(
        torch.zeros(3, 20, 20), np.zeros((0, 5)), np.zeros(2, int), np.full(2, 0.88),
        np.array([[0.9, 0.2, 1.0, 0.4], [0.55, 0.6, 0.8, 0.9]]),
    )  # fmt: skip
    figure = plot_boxes([picture] * 8, ("triangle",))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axis in figure.axes:
        for text in axis.texts:
            assert text.get_window_extent(canvas.get_renderer()).x1 <= axis.get_window_extent().x1 + 1


@pytest.mark.parametrize("top", [0.0, 0.4, 0.95])
@pytest.mark.parametrize("edge", [1.6, 7.0])
def test_labels_of_several_classes_on_one_box_do_not_cover_each_other(top, edge):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    names = ("cat", "dog", "raccoon")
    boxes = np.tile([0.2, top, 0.7, min(1.0, top + 0.4)], (3, 1))
    picture = Shown(torch.zeros(3, 20, 20), np.zeros((0, 5)), np.arange(3), np.array([0.9, 0.5, 0.4]), boxes)
    figure = plot_boxes([picture], names, columns=1, edge=edge)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    [axis] = [axis for axis in figure.axes if axis.texts]
    found = [text.get_window_extent(canvas.get_renderer()) for text in axis.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(found, 2))
    picture_extent = axis.get_window_extent()
    assert all(picture_extent.y0 - 1 <= each.y0 and each.y1 <= picture_extent.y1 + 1 for each in found)


def test_more_masks_than_columns_go_on_below():
    masks = torch.zeros(6, 8, 8, dtype=torch.long)
    figure = plot_masks(torch.zeros(6, 3, 8, 8), masks, masks, ("background", "cat"))
    assert [len([axis for axis in figure.axes if axis.axison]), len(figure.axes)] == [18, 24]
    labels = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert labels == ["picture", "target", "predicted"] * 2


def drawn_legend(masks, names):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = plot_masks(torch.zeros(len(masks), 3, 8, 8), masks, None, names)
    # A warning that the layout did not fit is an error in these tests.
    FigureCanvasAgg(figure).draw()
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_the_legend_of_masks_has_the_classes_that_are_drawn():
    masks = torch.zeros(1, 8, 8, dtype=torch.long)
    masks[0, 0, 0], masks[0, 1, 1] = 200, 255
    assert drawn_legend(masks, ("background", *(f"class {number}" for number in range(1, 201)))) == ["class 200"]


def test_the_legend_of_masks_counts_classes_beyond_its_room_and_shortens_names():
    masks = torch.arange(64).reshape(1, 8, 8)
    labels = drawn_legend(masks, ("background", *(f"class {number} {'x' * 40}" for number in range(1, 64))))
    assert (len(labels), labels[-1]) == (16, "and 48 more")
    assert labels[0] == "class 1 xxxxxxxxxxxxxxx…"


def test_masks_without_objects_have_no_legend():
    assert drawn_legend(torch.zeros(2, 8, 8, dtype=torch.long), ("background", "cat")) == []

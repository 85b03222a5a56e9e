"""Proposals: files of regions, regions of one color, and Fast R-CNN on both."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from lab_basics.optimizers import adam
from lab_detection.augment import AugmentObjects
from lab_detection.boxes import iou
from lab_detection.data import ProposalBatch
from lab_detection.detect import detect
from lab_detection.losses import detection_loss
from lab_detection.metrics import MeanAP
from lab_detection.models import SSD, FasterRCNN
from lab_detection.output import split_stages
from lab_detection.proposals import color_regions, of_picture, padded, read_proposals
from lab_detection.sources import drawn_boxes
from lab_detection.voc import coco_boxes, voc_boxes
from PIL import Image

from lab import Learner
from lab.cli.main import cli
from lab.errors import DataError, LabError, ParameterError, ShapeError

GOLDEN = [6.00272, 3.40143]

BOXES = {"0.png": [[0, 0, 20, 10], [4, 2, 8, 8]], "1.png": [[10, 5, 30, 15]], "2.png": [[1, 1, 39, 19]]}


@pytest.fixture
def folder(tmp_path):
    """Three pictures of 40 × 20 pixels in the layouts of Pascal VOC and COCO."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    sides = ("xmin", "ymin", "xmax", "ymax")
    corners = "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, (1, 1, 20, 10), strict=True))
    text = f"<annotation><object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>"
    for number in range(3):
        Image.new("RGB", (40, 20)).save(tmp_path / f"JPEGImages/{number}.png")
        (tmp_path / f"Annotations/{number}.xml").write_text(text)
    (tmp_path / "ImageSets/Main/train.txt").write_text("0\n2\n")
    (tmp_path / "ImageSets/Main/val.txt").write_text("1\n")
    content = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(3)],
        "annotations": [{"image_id": number, "category_id": 7, "bbox": [10, 5, 20, 10]} for number in range(3)],
        "categories": [{"id": 7, "name": "cat"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return tmp_path


def written(folder, name="boxes.json", boxes=BOXES):
    path = folder / name
    if name.endswith("json"):
        path.write_text(json.dumps(boxes))
    elif name.endswith("csv"):
        rows = [",".join(map(str, [each, *box])) for each, rows in boxes.items() for box in rows]
        path.write_text("\n".join(["picture,left,top,right,bottom", *rows, ""]))
    else:
        np.savez(path, **{each: np.array(rows, float) for each, rows in boxes.items()})
    return path


def read(folder, path, **options):
    return voc_boxes(str(folder), height=20, width=40, proposals=str(path), **options)


@pytest.mark.parametrize("name", ["boxes.json", "boxes.csv", "boxes.npz"])
def test_proposals_of_all_formats_are_fractions_and_those_of_few_begin_again(folder, name):
    data = read(folder, written(folder, name))
    assert data.proposals_from.endswith(name)
    batch = data.train.__getitems__([0, 1])
    assert isinstance(batch, ProposalBatch)
    assert batch.proposals.shape == (2, 2, 4)
    assert batch.proposals[0].tolist() == [[0, 0, 0.5, 0.5], pytest.approx([0.1, 0.1, 0.2, 0.4])]
    assert batch.proposals[1, 0].tolist() == batch.proposals[1, 1].tolist()
    assert data.valid[0].proposals.tolist() == [[[0.25, 0.25, 0.75, 0.75]]]


def test_names_need_no_suffix_and_pictures_of_coco_are_named_like_their_files(folder):
    plain = {name.removesuffix(".png"): rows for name, rows in BOXES.items()}
    one, other = read(folder, written(folder)), read(folder, written(folder, "plain.json", plain))
    assert torch.equal(one.train.proposals, other.train.proposals)
    data = coco_boxes(str(folder), height=20, width=40, valid_share=0.4, proposals=str(written(folder)))
    assert data.train.proposals.shape[0] == 2


def test_proposals_are_part_of_the_fingerprint(folder):
    one = read(folder, written(folder)).fingerprint
    assert read(folder, written(folder, boxes={**BOXES, "1.png": [[10, 5, 30, 16]]})).fingerprint != one
    assert voc_boxes(str(folder), height=20, width=40).fingerprint != one


def test_all_faults_of_a_file_are_told_at_once(folder):
    boxes = {
        "0.png": [[0, 0, 41, 10], [5, 5, 5, 9], [9, 9, 2, 2], [1, 2, 3], [0, 0, "wide", 5], [0, 0, float("nan"), 5]],
        "1": [[0, 0, 10, 10]],
        "1.png": [[0, 0, 10, 10]],
        "9.png": [[0, 0, 10, 10]],
    }
    with pytest.raises(DataError, match="9 problems in this data set") as caught:
        read(folder, written(folder, boxes=boxes))
    assert sorted(caught.value.hint.splitlines()) == [
        "boxes.json: 0.png: box 1 (0, 0, 41, 10): reaches beyond the picture of 40 × 20",
        "boxes.json: 0.png: box 2 (5, 5, 5, 9): no area",
        "boxes.json: 0.png: box 3 (9, 9, 2, 2): corners are swapped",
        "boxes.json: 0.png: box 4: [1, 2, 3] is not four numbers",
        "boxes.json: 0.png: box 5: [0, 0, 'wide', 5] is not four numbers",
        "boxes.json: 0.png: box 6 (0, 0, nan, 5): not finite",
        "boxes.json: 1.png: the same picture as 1",
        "boxes.json: 2: no proposals",
        "boxes.json: 9.png: no such picture in the data set",
    ]


def test_entries_that_are_no_lists_are_told_with_the_other_faults(folder):
    boxes = {"0.png": "x", "1.png": {"1": 1, "2": 2, "3": 3, "4": 4}, "2.png": ["1234", [1, 2, 3]]}
    with pytest.raises(DataError, match="4 problems in this data set") as caught:
        read(folder, written(folder, boxes=boxes))
    assert [line.removeprefix("boxes.json: ") for line in caught.value.hint.splitlines()] == [
        "0.png: box 1: 'x' is not four numbers",
        "1.png: box 1: {'1': 1, '2': 2, '3': 3, '4': 4} is not four numbers",
        "2.png: box 1: '1234' is not four numbers",
        "2.png: box 2: [1, 2, 3] is not four numbers",
    ]


def test_faults_of_a_file_are_told_beside_those_of_the_pictures(folder):
    (folder / "JPEGImages/2.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="2 problems") as caught:
        read(folder, written(folder, boxes={**BOXES, "1.png": []}))
    assert [line.partition(":")[0] for line in caught.value.hint.splitlines()] == ["2", "boxes.json"]
    with pytest.raises(DataError, match="2 problems") as caught:
        voc_boxes(str(folder), height=20, width=40, proposals="nowhere.json", classes=["cat"])
    assert "nowhere.json" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "cannot be read"),
        ("a.json", b"[1]", "not a file of proposals"),
        ("a.json", b'{"x": [], "x": []}', "more than once: x"),
        ("a.csv", b"picture,left\nx,1\n", "the columns are picture, left"),
        ("a.npz", b"PK no archive", "pickles are not read"),
        ("a.npz", b"\x80\x04N.", "pickles are not read"),
        ("a.pkl", b"", "unknown format"),
    ],
)
def test_files_of_other_formats_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_proposals(tmp_path / name)


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    np.savez(tmp_path / "a.npz", x=np.array([Evil()], dtype=object))
    with pytest.raises(DataError, match="which are pickles, are not read: x"):
        read_proposals(tmp_path / "a.npz")
    assert not (tmp_path / "made").exists()


def test_one_picture_has_its_proposals(folder):
    path = written(folder)
    assert of_picture(path, "1.png", (20, 40)).tolist() == [[0.25, 0.25, 0.75, 0.75]]
    with pytest.raises(DataError, match=r"no proposals for 'x\.png'"):
        of_picture(path, "x.png", (20, 40))
    with pytest.raises(DataError, match="1 problem with the proposals"):
        of_picture(path, "1.png", (10, 10))


# --- regions of one color ---------------------------------------------------------------------------------------------


def test_a_rectangle_on_noise_is_a_region():
    generator = np.random.default_rng(0)
    pixels = generator.integers(90, 100, (3, 32, 48)).astype(np.uint8)
    pixels[:, 8:20, 10:40] = 200
    found = color_regions(pixels)
    expected = torch.tensor([10 / 48, 8 / 32, 40 / 48, 20 / 32])
    # The other of the two most stable is the background, which has the whole picture as its box.
    assert (torch.from_numpy(found[:2]) - expected).abs().amax(1).min() < 1e-6


def test_a_soft_spot_is_a_region_although_no_neighbors_differ_much():
    y, x = np.mgrid[:48, :48]
    spot = 200 - 100 * np.exp(-((x - 20) ** 2 + (y - 28) ** 2) / 60)
    found = torch.from_numpy(color_regions(np.stack([spot] * 3).astype(np.uint8)))
    # At the first of six levels, a seventh of the pixels are darker: a circle of 10.2 pixels around the center.
    radius = 48 / (7 * np.pi) ** 0.5
    sides = torch.tensor([20.5 - radius, 28.5 - radius, 20.5 + radius, 28.5 + radius]) / 48
    assert iou(found, sides.float()[None]).max() > 0.9


def test_a_picture_without_borders_is_one_region():
    assert color_regions(np.full((3, 16, 24), 7, np.uint8)).tolist() == [[0, 0, 1, 1]]


def test_regions_of_drawn_pictures_find_nearly_all_objects():
    data = drawn_boxes(size=64, train=8, valid=40, objects=(1, 3), proposals="regions")
    found = total = 0
    for regions, objects in zip(data.valid.proposals, data.valid.target, strict=True):
        boxes = objects[objects[:, 0] >= 0, 1:]
        found += int((iou(regions, boxes).amax(0) >= 0.5).sum())
        total += len(boxes)
    assert found >= 0.95 * total
    with pytest.raises(ParameterError, match="unknown proposals 'x'"):
        drawn_boxes(proposals="x")


def test_filling_repeats_regions_from_the_first():
    one, two = np.zeros((1, 4)), np.ones((3, 4))
    two[0] = 0.5
    assert padded([one, two])[0].tolist() == [[0] * 4] * 3
    assert padded([one, two])[1][0].tolist() == [0.5] * 4


# --- Fast R-CNN -------------------------------------------------------------------------------------------------------


def small(**options):
    return drawn_boxes(size=32, train=96, valid=16, objects=(1, 2), sizes=(0.4, 0.7), proposals="regions", **options)


def model(**options):
    torch.manual_seed(0)
    given = {"widths": (8, 16), "proposal_count": 8, "pool_size": 3, "head_width": 16, "proposals": "given", **options}
    return FasterRCNN(3, (32, 32), 5, **given)


def test_given_regions_are_what_is_classified():
    net, images = model(), torch.randn(2, 3, 32, 32)
    regions = torch.rand(2, 12, 4).sort(-1).values
    final, proposing = split_stages(net(images, regions))
    assert proposing is None
    assert torch.equal(final.anchors, regions[:, :8])
    assert torch.equal(net.eval()(images, regions[:, :8]), net(images, regions))
    assert not hasattr(net, "rpn")


def test_missing_and_misshapen_regions_are_refused():
    images = torch.zeros(2, 3, 32, 32)
    with pytest.raises(ShapeError, match="the batch has no proposals"):
        model()(images)
    with pytest.raises(ShapeError, match=r"expected \(2, R, 4\)"):
        model()(images, torch.zeros(3, 5, 4))


def test_detectors_that_need_no_regions_ignore_them():
    images, regions = torch.randn(2, 3, 32, 32), torch.rand(2, 5, 4)
    for net in (model(proposals="network"), model(proposals="grid"), SSD(3, (32, 32), 5, widths=(4, 8), sizes=[[0.4]])):
        net.eval()
        assert torch.equal(net(images), net(images, regions))


@pytest.fixture(scope="module")
def learner():
    """Fast R-CNN after three epochs on regions of drawn pictures."""
    learner = Learner(
        model(), small(), detection_loss, optimizer=adam, lr=1e-2, batch_size=16, progress=False, seed=0,
        metrics={"map": MeanAP()}, callbacks=[AugmentObjects()],
    )  # fmt: skip
    learner.fit(3)
    return learner


def test_golden_loss_curve(learner):
    """Values written down once; a change of them is a change of what is computed."""
    losses = [row["train_loss"] for row in learner.history]
    assert [losses[0], losses[-1]] == pytest.approx(GOLDEN, rel=5e-3)


def test_a_new_picture_gets_regions_like_those_of_training_or_given_ones(learner):
    batch = learner.data.valid[0]
    computed = detect(learner, batch.images[0], least=0.0)
    given = detect(learner, batch.images[0], least=0.0, proposals=batch.proposals[0])
    assert [each["class"] for each in computed[:1]] == [each["class"] for each in given[:1]]
    assert computed[0]["score"] == pytest.approx(given[0]["score"], abs=1e-3)
    learner.data.proposals_from = "boxes.json"
    try:
        with pytest.raises(LabError, match="there are none for this picture"):
            detect(learner, batch.images[0])
    finally:
        learner.data.proposals_from = "regions"


@pytest.mark.parametrize("options", [{}, {"mosaic": 1.0}, {"mosaic": 0.5, "zoom": (1.0, 1.0)}])
@pytest.mark.parametrize("instances", [False, True])
def test_regions_move_with_the_objects_that_they_show(options, instances):
    data = small(instances=instances)
    learner = Learner(model(), data, detection_loss, batch_size=16, progress=False, seed=0)
    batch = data.train.__getitems__(range(16))
    # The first regions are the objects themselves.
    regions = batch.target[..., 1:5].clone()
    absent = batch.target[..., 0] < 0
    regions[absent] = regions[:, :1].expand_as(regions)[absent]
    learner.batch = ProposalBatch(batch.images, regions, batch.target)
    AugmentObjects(**options).before_batch(learner)
    images, moved, target = learner.batch
    assert images.shape == batch.images.shape
    assert moved.shape == regions.shape
    assert target.shape[2] == batch.target.shape[2]
    for boxes, objects in zip(moved, target, strict=True):
        present = objects[objects[:, 0] >= 0, 1:5]
        if len(present):
            # Every region is still an object's.
            assert iou(boxes, present).amax(1).min() > 0.999
        else:
            assert boxes.tolist() == [[0, 0, 1, 1]] * len(boxes)


STUDY = '''"""Are regions of one color better than a grid?"""
from lab import Experiment, Study, use

base = Experiment(
    dataset=use("voc_boxes", path="FOLDER", height=16, width=32, proposals="FOLDER/boxes.json"),
    architecture=use("fast_rcnn", widths=[4, 8], proposal_count=2, pool_size=2, head_width=8, proposals="given"),
    loss="detection_loss", callbacks=["draw_boxes", "augment_objects"], metrics=["map"], batch_size=2, epochs=1,
)
study = Study(base, seeds=1, compare="valid_map")
'''


def test_a_study_with_a_file_runs_and_a_new_picture_is_detected_with_its_own(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    (place / "question.py").write_text(STUDY.replace("FOLDER", str(folder)))
    written(folder)
    command = ["run", str(place / "question.py"), "--runs", str(place / "runs"), "--quiet"]
    assert CliRunner().invoke(cli, command).exit_code == 0
    [key] = [each.parent.name for each in (place / "runs").glob(".store/*/result.json")]
    picture = ["detect", key, str(folder / "JPEGImages/0.png"), "--least", "0", "--runs", str(place / "runs")]
    result = CliRunner().invoke(cli, [*picture, "--proposals", str(folder / "boxes.json")])
    assert result.exit_code == 0
    assert 1 <= len(result.stdout.splitlines()) <= 2
    assert "there are none for this picture" in str(CliRunner().invoke(cli, picture).exception)

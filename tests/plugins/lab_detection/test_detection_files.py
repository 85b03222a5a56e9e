"""Folders and archives of others: what is read, mended, and refused."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest
from lab_detection.conformance import support
from lab_detection.voc import bccd, coco_boxes, read_annotation, voc_boxes, voc_colors, voc_masks
from PIL import Image

from lab.errors import DataError, ParameterError

BOMB = b"""<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><annotation>&c;</annotation>"""


def xml(*boxes):
    sides = ("xmin", "ymin", "xmax", "ymax")
    rows = [
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, corners, strict=True))
        + "</bndbox></object>"
        for name, *corners in boxes
    ]
    return f"<annotation>{''.join(rows)}</annotation>".encode()


@pytest.fixture
def folder(tmp_path):
    """Three pictures of 40 × 20 pixels with boxes, the last without any."""
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    for number, boxes in enumerate(([("cat", 1, 1, 20, 10)], [("cat", 11, 6, 30, 15)], [])):
        Image.fromarray(np.full((20, 40, 3), 50 * number, np.uint8)).save(tmp_path / f"JPEGImages/{number}.png")
        (tmp_path / f"Annotations/{number}.xml").write_bytes(xml(*boxes))
    lists(tmp_path, "0\n2\n", "1\n")
    return tmp_path


def lists(folder, train, valid):
    (folder / "ImageSets/Main/train.txt").write_text(train)
    (folder / "ImageSets/Main/val.txt").write_text(valid)


def read(folder, **options):
    return voc_boxes(str(folder), height=20, width=40, **options)


def test_boxes_are_read_in_fractions_and_pictures_without_objects_are_kept(folder):
    data = read(folder)
    assert data.class_names == ("cat",)
    assert data.train.target.tolist() == [[[0, 0, 0, 0.5, 0.5]], [[-1] * 5]]
    assert data.notes == (
        "train: 2 pictures, 1 objects (cat 1), 1 pictures without any",
        "valid: 1 pictures, 1 objects (cat 1)",
    )


def test_archive_is_read_like_its_folder(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, f"deep/inside/{file.relative_to(folder)}")
    assert read(path).fingerprint == read(folder).fingerprint


def test_boxes_are_mended_and_told():
    found = read_annotation(
        xml(("a", 20, 10, 1, 1), ("b", 5, 5, 500, 10), ("c", 7, 7, 7, 12), ("d", "nan", 1, 2, 2)), (20, 40)
    )
    assert [row[0] for row in found.objects] == ["a", "b"]
    assert found.objects[0][1:] == (0, 0, 0.5, 0.5)
    assert found.objects[1][3] == 1
    assert found.mended == [
        "a (20, 10, 1, 1): corners were swapped",
        "b (5, 5, 500, 10): reaches beyond the picture of 40 × 20, clipped",
        "c (7, 7, 7, 12): no area, left out",
        "d (nan, 1, 2, 2): not finite, left out",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "declares entities or a document type"),
        (BOMB.decode().encode("utf-16"), "declares entities or a document type"),
        (b"<annotation>", "not valid XML"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "not valid XML"),
        (
            xml(("a", "left", 1, 2, "low"), ("", 1, 1, 2, 2)),
            "^bndbox/xmin is 'left', not a number; bndbox/ymax is 'low', not a number; an object has no name$",
        ),
        (
            b"<annotation><object><name>a</name></object></annotation>",
            "there is no bndbox/xmin; there is no bndbox/ymin",
        ),
    ],
)
def test_xml_that_cannot_be_trusted_or_read_is_refused(content, message):
    with pytest.raises(DataError, match=message):
        read_annotation(content, (20, 40))


def test_all_problems_are_told_at_once(folder):
    (folder / "Annotations/0.xml").write_bytes(BOMB)
    (folder / "Annotations/1.xml").write_bytes(xml(("dog", 1, 1, 9, 9)))
    (folder / "JPEGImages/2.png").write_bytes(b"no picture")
    lists(folder, "0\n2\n3\n", "1\n")
    with pytest.raises(DataError, match="4 problems in this data set") as caught:
        read(folder)
    assert [line.partition(":")[0] for line in caught.value.hint.splitlines()] == [
        "0", "2", "3", "class 'dog' of the valid pictures",
    ]  # fmt: skip
    assert "declares entities" in caught.value.hint
    assert "3: no picture" in caught.value.hint


def test_names_that_lists_have_twice_or_in_common_are_told_and_count_once(folder, caplog):
    lists(folder, "0\n2\n0\n", "1\n2\n")
    data = read(folder)
    assert (len(data.train), len(data.valid)) == (2, 2)
    assert data.notes[2:] == (
        "1 name more than once in train.txt, used once: 0",
        "1 picture both in train.txt and in val.txt: 2",
    )
    assert data.notes[3] in caplog.text


def test_pictures_without_annotation_are_told_without_lists_too(folder):
    for name in ("train", "val"):
        (folder / f"ImageSets/Main/{name}.txt").unlink()
    assert len(read(folder, valid_share=0.4).train) == 2
    for number in (1, 2):
        (folder / f"Annotations/{number}.xml").unlink()
    with pytest.raises(DataError) as caught:
        read(folder, valid_share=0.4)
    assert caught.value.hint.splitlines() == [
        "1: no annotation",
        "2: no annotation",
        "a picture without objects needs an annotation, too: one that has no object",
    ]


def test_two_pictures_of_one_annotation_are_told(folder):
    (folder / "JPEGImages/0.jpg").write_bytes((folder / "JPEGImages/0.png").read_bytes())
    with pytest.raises(DataError, match="1 problem in") as caught:
        read(folder, classes=["cat"])
    assert caught.value.hint == "0: 2 files for one picture: JPEGImages/0.jpg, JPEGImages/0.png"


def test_annotations_that_say_another_size_are_counted(folder, caplog):
    for number, size in enumerate(("<width>40</width><height>20</height>", "<width>400</width><height>200</height>")):
        path = folder / f"Annotations/{number}.xml"
        path.write_bytes(path.read_bytes().replace(b"</annotation>", f"<size>{size}</size></annotation>".encode()))
    notes = read(folder).notes
    assert notes[-1].endswith("so the boxes may not fit: 1 (400 × 200 instead of 40 × 20)")
    assert notes[-1].startswith("1 annotation says another size")
    assert notes[-1] in caplog.text


def test_folders_that_are_missing_are_named(tmp_path):
    with pytest.raises(DataError, match=r"JPEGImages is missing.*; Annotations is missing"):
        voc_boxes(str(tmp_path))
    with pytest.raises(DataError, match=r"JPEGImages is missing.*; SegmentationClass is missing"):
        voc_masks(str(tmp_path))


def test_classes_may_be_named(folder):
    assert read(folder, classes=["dog", "cat"]).train.target[0, 0, 0] == 1
    with pytest.raises(DataError, match="2 problems") as caught:
        read(folder, classes=["dog"])
    assert "class 'cat' of the train pictures: not in classes" in caught.value.hint


def test_sizes_out_of_range_are_refused(folder):
    with pytest.raises(ParameterError, match="height=4"):
        voc_boxes(str(folder), height=4)
    with pytest.raises(DataError, match="there is no such folder or archive"):
        voc_boxes(str(folder / "none.zip"))


def coco(folder, **changes):
    content = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(3)],
        "annotations": [{"image_id": number, "category_id": 7, "bbox": [10, 5, 20, 10]} for number in range(3)],
        "categories": [{"id": 7, "name": "cat"}],
    }
    (folder / "annotations.json").write_text(json.dumps({**content, **changes}))
    return coco_boxes(str(folder), height=20, width=40, valid_share=0.4)


def test_boxes_of_coco_are_read(folder):
    assert coco(folder).valid.target[0].tolist() == [[0, 0.25, 0.25, 0.75, 0.75]]


def test_missing_pictures_and_other_json_are_refused(folder):
    images = [{"id": number, "file_name": f"{number + 1}.png"} for number in range(3)]
    with pytest.raises(DataError, match="1 problem in this data set") as caught:
        coco(folder, images=images)
    assert caught.value.hint == "3.png: no picture"
    with pytest.raises(DataError, match=r"not a file of COCO's format: there is no list 'images'; .* 'categories'"):
        coco(folder, categories={"id": 7}, images=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, r"nested too deeply\n.*annotations\.json"),
        ('{"images": [', r"the file cannot be read: Expecting value.*\n.*annotations\.json"),
        ("[1, 2]", "not a file of COCO's format: it holds a list instead of an object"),
    ],
)
def test_json_that_is_no_file_of_coco_is_named(folder, content, message):
    (folder / "annotations.json").write_text(content)
    with pytest.raises(DataError, match=message):
        coco_boxes(str(folder))


def test_all_images_and_categories_of_coco_that_cannot_be_used_are_told(folder):
    images = [{"id": 0, "file_name": "0.png"}, {"id": 1}, {"id": 0, "file_name": "2.png"}, "x", {"file_name": ["y"]}]
    with pytest.raises(DataError, match="6 problems") as caught:
        coco(
            folder,
            images=images,
            categories=[{"id": 7}, {"id": 8, "name": "cat"}],
            annotations=[
                {"image_id": 1, "category_id": 7, "bbox": [1, 1, 2, 2]},
                {"image_id": 0, "category_id": 9, "bbox": [1, 1, 2, 2]},
            ],
        )
    assert caught.value.hint.splitlines() == [
        "annotations.json: annotation 1: category_id 9 is none of categories",
        "annotations.json: category 0: there is no name",
        "annotations.json: image 1: there is no file_name",
        "annotations.json: image 2: id 0 is also that of an earlier one",
        "annotations.json: image 3: 'x' is not an object",
        "annotations.json: image 4: there is no id; file_name is ['y']",
    ]


def test_the_example_of_the_conformance_kit_can_be_read():
    """Where it cannot, the kit skips nearly all checks of this dataset."""
    use_of = support().cases["datasets.coco_boxes"].component
    assert len(coco_boxes(**use_of.params).train) + len(coco_boxes(**use_of.params).valid) == 24


def test_all_annotations_of_coco_that_cannot_be_used_are_told(folder):
    good = {"image_id": 0, "category_id": 7, "bbox": [10, 5, 20, 10]}
    changes = [{}, {"image_id": 9, "category_id": 8}, {"bbox": [1, 2, 3]}, {"bbox": "left"}]
    lacking = {name: value for name, value in good.items() if name != "bbox"}
    with pytest.raises(DataError, match="4 problems") as caught:
        coco(folder, annotations=[*({**good, **each} for each in changes), lacking])
    assert caught.value.hint.splitlines() == [
        "annotations.json: annotation 1: image_id 9 is none of images; category_id 8 is none of categories",
        "annotations.json: annotation 2: bbox is [1, 2, 3], not four numbers",
        "annotations.json: annotation 3: bbox is 'left', not four numbers",
        "annotations.json: annotation 4: there is no bbox",
    ]


def test_problems_are_told_in_the_order_of_their_numbers(folder):
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(12)]
    with pytest.raises(DataError) as caught:
        coco(folder, images=images)
    assert [line.partition(".")[0] for line in caught.value.hint.splitlines()] == [*map(str, range(3, 12))]


def test_more_boxes_are_told_than_are_kept_with_the_run(folder, caplog):
    boxes = [("cat", number, 5, number, 9) for number in range(1, 21)]
    (folder / "Annotations/2.xml").write_bytes(xml(*boxes))
    data = read(folder)
    assert caplog.text.count("no area, left out") == 20
    assert data.notes[-1] == "and 8 more"


def test_pictures_of_coco_with_one_name_are_told_apart_by_their_folders(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "x.png").write_bytes((folder / "JPEGImages/0.png").read_bytes())
    images = [{"id": number, "file_name": name} for number, name in enumerate(("a/x.png", "b/x.png", "2.png"))]
    assert len(coco(folder, images=images).train.target) == 2
    with pytest.raises(DataError) as caught:
        coco(
            folder,
            images=[{"id": number, "file_name": name} for number, name in enumerate(("x.png", "2.png", "2.png"))],
        )
    assert caught.value.hint.splitlines() == ["2.png: 2 images of this name", "x.png: 2 pictures: a/x.png, b/x.png"]


def masks(folder, *made, **options):
    for number, mask in enumerate(made):
        Image.fromarray(mask).save(folder / f"SegmentationClass/{number}.png")
    return voc_masks(str(folder), height=16, width=32, valid_share=0.4, **options)


def test_masks_in_numbers_and_in_colors_agree(folder):
    numbers = np.zeros((20, 40), np.uint8)
    numbers[5:, 20:], numbers[:2] = 2, 255
    palette = np.array([*voc_colors(), *[(0, 0, 0)] * 234, (224, 224, 192)], np.uint8)
    assert palette[2].tolist() == [0, 128, 0]
    first = masks(folder, numbers, numbers, numbers)
    assert first.class_names == ("background", "class 1", "class 2")
    assert masks(folder, *[palette[numbers]] * 3).fingerprint == first.fingerprint


def test_class_numbers_that_no_mask_has_are_told_and_classes_are_counted(folder):
    plain, stray = np.zeros((20, 40), np.uint8), np.zeros((20, 40), np.uint8)
    plain[:, 20:], stray[:10, :20], stray[10:] = 1, 9, 1
    (folder / "ImageSets/Segmentation").mkdir()
    (folder / "ImageSets/Segmentation/train.txt").write_text("0\n2\n")
    (folder / "ImageSets/Segmentation/val.txt").write_text("1\n")
    assert masks(folder, plain, plain, stray).notes == (
        "train: 2 pictures (background in 2 (37.5 % of pixels), class 1 in 2 (50 % of pixels), "
        "class 9 in 1 (12.5 % of pixels), 7 classes in none)",
        "valid: 1 pictures (background in 1 (50 % of pixels), class 1 in 1 (50 % of pixels), 8 classes in none)",
        "class numbers 2 to 8 are in no mask, but count as classes, since 9 is in 1 mask: 2; "
        "classes=[…] names those there are",
    )


def test_masks_of_other_sizes_and_unknown_colors_are_told(folder):
    plain = np.zeros((20, 40), np.uint8)
    colored = np.full((20, 40, 3), 77, np.uint8)
    with pytest.raises(DataError, match="2 problems") as caught:
        masks(folder, plain, plain[:10], colored)
    assert caught.value.hint.splitlines() == [
        "1: the mask has 40 × 10 pixels, the picture 40 × 20",
        "2: 1 unknown colors in the mask, such as (77, 77, 77)",
    ]


def test_masks_with_one_or_sixteen_bits_are_class_numbers(folder):
    numbers = np.zeros((20, 40), np.uint8)
    numbers[5:, 20:] = 1
    first = masks(folder, numbers, numbers, numbers).fingerprint
    assert masks(folder, *[numbers.astype(bool)] * 3).fingerprint == first
    assert masks(folder, *[numbers.astype(np.uint16)] * 3).fingerprint == first
    with pytest.raises(DataError) as caught:
        masks(folder, numbers, numbers, numbers.astype(np.uint16) * 300)
    assert caught.value.hint == "2: the mask has the value 300; class numbers are at most 255"


def test_masks_of_background_alone_are_told(folder):
    white = np.zeros((20, 40), np.uint8)
    white[5:, 20:] = 255
    with pytest.raises(DataError) as caught:
        masks(folder, white, white, white)
    assert caught.value.hint == "no mask has an object: 255 marks pixels that count for nothing, not objects"
    assert masks(folder, white, white, white, classes=["background", "cat"]).class_count == 2


def test_class_of_masks_that_no_training_picture_has_is_told(folder):
    plain, rare = np.zeros((20, 40), np.uint8), np.full((20, 40), 3, np.uint8)
    (folder / "ImageSets/Segmentation").mkdir()
    (folder / "ImageSets/Segmentation/train.txt").write_text("0\n2\n")
    (folder / "ImageSets/Segmentation/val.txt").write_text("1\n")
    made = [plain, rare, plain]
    with pytest.raises(DataError) as caught:
        masks(folder, *made)
    assert caught.value.hint == "class number 3 of the valid pictures: in no training picture"
    assert masks(folder, *made, classes=["background", "a", "b", "c"]).class_count == 4


@pytest.mark.skipif(not os.environ.get("LAB_DATA"), reason="LAB_DATA is not set: the real pictures are not here")
def test_blood_cells_are_all_read():
    data = bccd(height=48, width=64)
    assert [len(each) for each in (data.train, data.valid, data.test)] == [205, 87, 72]
    objects = sum(int((each.target[..., 0] >= 0).sum()) for each in (data.train, data.valid, data.test))
    # Of 4,888 boxes, two have no area.
    assert objects == 4886

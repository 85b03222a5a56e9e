"""``lab sheet`` and ``lab show FILE --batch``: a training batch, as the model sees it."""

from __future__ import annotations

import pytest

STUDY = '''"""Does augmentation help?"""
from lab import Experiment, Study, use

base = Experiment(
    dataset=use({dataset}), architecture=use({architecture}), loss={loss}, batch_size=4, epochs=1,
    callbacks=["one_cycle", {augment}],
)
study = Study(base, seeds=1).remove("callbacks.{augment_name}")
'''

BOXES = '"drawn_boxes", size=32, train=8, valid=4, objects=[1, 2], sizes=[0.4, 0.7]'
KINDS = {
    "classes": ('"digits"', '"course_net", widths=[4]', '"cross_entropy"', 'use("augment", pad=1)'),
    "boxes": (BOXES, '"faster_rcnn"', '"detection_loss"', 'use("augment_objects", mosaic=0.5)'),
    "masks of objects": (f"{BOXES}, instances=True", '"mask_rcnn"', '"detection_loss"', '"augment_objects"'),
    "masks": (
        '"drawn_masks", size=32, train=8, valid=4, objects=[1, 1]', '"fcn"', 'use("cross_entropy", ignore=255)',
        '"augment_objects"',
    ),
}  # fmt: skip


def write(folder, kind):
    dataset, architecture, loss, augment = KINDS[kind]
    name = "augment_objects" if "augment_objects" in augment else "augment"
    path = folder / "pictures.py"
    path.write_text(
        STUDY.format(dataset=dataset, architecture=architecture, loss=loss, augment=augment, augment_name=name)
    )
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_batch_of_every_kind_of_pictures_is_drawn(lab, tmp_path, kind):
    picture = tmp_path / "batch.png"
    result = lab("show", str(write(tmp_path, kind)), "--batch", "-o", str(picture))
    assert (result.code, result.err) == (0, "")
    assert result.out == f"picture: {picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_arm_may_be_chosen_and_another_is_refused(lab, tmp_path):
    study = write(tmp_path, "classes")
    result = lab("sheet", str(study), "--arm", "no augment", "-o", str(tmp_path / "plain.png"))
    assert result.code == 0
    assert "arms: base, no augment" in lab("sheet", str(study), "--arm", "other").err
    assert "give --schedule or --batch" in lab("show", str(study), "--schedule", "--batch").err


def test_data_without_pictures_is_a_table(lab, tmp_path):
    study = tmp_path / "ratings.py"
    study.write_text(
        "from lab import Experiment, Study, use\n"
        "base = Experiment(dataset=use('ratings', max_rows=300), architecture='dot_bias', loss='mse', epochs=1)\n"
        "study = Study(base, seeds=1)\n"
    )
    shown = lab("sheet", str(study), "-n", "3")
    lines = shown.out.splitlines()
    assert (shown.code, lines[0].split(), len(lines)) == (0, ["user", "item", "rating"], 4)
    assert "RatingsData has no pictures" in lab("sheet", str(study), "-o", str(tmp_path / "batch.png")).err

"""Detectors and models of masks: numbers of the book, planted solutions, a golden loss curve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab_basics.optimizers import adam
from lab_detection.anchors import assign, multibox_prior
from lab_detection.augment import AugmentObjects, flip, mosaic, window
from lab_detection.data import IGNORED
from lab_detection.detect import detect
from lab_detection.layers import roi_align
from lab_detection.losses import detection_loss
from lab_detection.metrics import MeanAP
from lab_detection.models import SSD, FasterRCNN
from lab_detection.output import check_output, masks_of, pack, paste_masks, split_stages
from lab_detection.scenes import _digits, draw
from lab_detection.segmentation import FCN, UNet
from lab_detection.sources import drawn_boxes, drawn_classes, drawn_masks
from torch.nn import functional

from lab import Learner
from lab.errors import LabError, ParameterError, ShapeError

GOLDEN = [6.8683, 4.8714]
GOLDEN_MASKS = [10.3171, 7.6454]
GOLDEN_SEGMENTATION = [1.5506, 0.6963]


class Body(torch.nn.Module):
    """A body from elsewhere, with an output layer that is not used."""

    width = 8

    def __init__(self, channels, output_size):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, 8, 3, stride=4, padding=1)
        self.fc = torch.nn.Linear(8, output_size)

    def features(self, images):
        return self.conv(images)


def test_tiny_ssd_has_the_anchors_of_the_book():
    model = SSD(3, (256, 256), 1)
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 256, 256)).shape == (1, 5444, 11)


@pytest.mark.parametrize("kind", [SSD, FasterRCNN])
def test_a_body_from_elsewhere_is_built_with_the_facts_and_loses_its_output(kind):
    options = {"sizes": ((0.3, 0.4), (0.6, 0.7))} if kind is SSD else {}
    model = kind(3, (32, 32), 5, body=Body, **options)
    assert isinstance(model.body.fc, torch.nn.Identity)
    check_output(model(torch.zeros(2, 3, 32, 32)))
    with pytest.raises(ParameterError, match="Linear cannot be a body"):
        kind(3, (32, 32), 5, body=lambda channels, output_size: torch.nn.Linear(1, 1))


def test_maps_that_would_vanish_are_refused():
    with pytest.raises(ShapeError, match="5 maps need more than the 2 × 2 pixels"):
        SSD(3, (16, 16), 2)


def test_proposals_are_the_anchors_of_the_second_stage_and_have_no_gradient():
    model = FasterRCNN(3, (32, 32), 2, widths=(4, 8), proposal_count=7)
    final, proposing = split_stages(model(torch.randn(2, 3, 32, 32)))
    assert final.anchors.shape == (2, 7, 4)
    assert not final.anchors.requires_grad
    assert proposing.anchors.shape == (2, 8 * 8 * 6, 4)
    assert (final.anchors[..., 2:] > final.anchors[..., :2]).all()


def planted(classes=3):
    """The output that predicts the objects of two pictures exactly, and the objects."""
    anchors = multibox_prior(8, 8, [0.3, 0.5], [1.0])
    target = torch.tensor([[[0, 0.1, 0.1, 0.4, 0.45], [2, 0.5, 0.4, 0.9, 0.9]], [[1, 0.2, 0.2, 0.7, 0.6], [-1] * 5]])
    wanted = assign(anchors, target)
    logits = 30.0 * functional.one_hot(wanted.classes, classes + 1).float()
    return logits, wanted.offsets, anchors, target


@pytest.mark.parametrize("box_loss", ["l1", "smooth_l1", "giou"])
def test_the_exact_prediction_costs_nothing_and_scores_one(box_loss):
    logits, offsets, anchors, target = planted()
    output = pack(logits, offsets, anchors, classes=3)
    assert float(detection_loss(output, target, box_loss=box_loss)) == pytest.approx(0, abs=1e-5)
    metric = MeanAP(overlap=0.95)
    metric.update(output, target)
    assert metric.compute() == 1


def test_loss_without_negatives_left_out_is_that_of_all_anchors():
    logits, offsets, anchors, target = planted()
    output = pack(torch.zeros_like(logits), offsets, anchors, classes=3)
    positive = (assign(anchors, target).classes > 0).sum(1)
    expected = (128 * np.log(4) / positive).mean()
    assert float(detection_loss(output, target, negatives=None)) == pytest.approx(float(expected), rel=1e-5)
    # Three negatives for each positive: four times the entropy of four equal classes.
    assert float(detection_loss(output, target)) == pytest.approx(4 * np.log(4), rel=1e-5)


def test_focal_loss_weighs_by_the_probability_of_the_other_classes():
    logits, offsets, anchors, target = planted()
    output = pack(torch.zeros_like(logits), offsets, anchors, classes=3)
    once = float(detection_loss(output, target))
    assert float(detection_loss(output, target, focus=2.0)) == pytest.approx(once * 0.75**2, rel=1e-5)


def test_pictures_without_objects_train_background():
    logits, offsets, anchors, _ = planted()
    output = pack(torch.zeros_like(logits), offsets, anchors, classes=3)
    nothing = torch.full((2, 1, 5), -1.0)
    # Three negatives at least.
    assert float(detection_loss(output, nothing)) == pytest.approx(3 * np.log(4), rel=1e-5)


def test_sums_over_all_anchors_are_the_losses_of_the_book():
    _, offsets, anchors, target = planted()
    logits = torch.randn(2, 128, 4, generator=torch.Generator().manual_seed(0))
    found = detection_loss(
        pack(logits, offsets + 0.5, anchors, classes=3), target, negatives=None, box_loss="l1", per="anchor"
    )
    wanted = assign(anchors, target)
    classes = functional.cross_entropy(logits.flatten(0, 1), wanted.classes.flatten())
    boxes = 0.5 * (wanted.classes > 0).float().mean()
    assert float(found) == pytest.approx(float(classes + boxes), rel=1e-5)


def test_unknown_losses_and_other_shapes_are_refused():
    logits, offsets, anchors, target = planted()
    output = pack(logits, offsets, anchors, classes=3)
    with pytest.raises(ParameterError, match="unknown box_loss 'l2'"):
        detection_loss(output, target, box_loss="l2")
    with pytest.raises(ParameterError, match="unknown per 'picture'"):
        detection_loss(output, target, per="picture")
    with pytest.raises(ShapeError, match="a target is"):
        detection_loss(output[:1], target)


@pytest.fixture(scope="module")
def learner():
    """A small detector after two epochs on drawn pictures."""
    torch.manual_seed(0)
    data = drawn_boxes(size=32, train=96, valid=16, objects=(1, 2), sizes=(0.4, 0.7))
    model = SSD(3, (32, 32), 5, widths=(8, 16), width=16, sizes=((0.4, 0.5), (0.6, 0.7)))
    learner = Learner(model, data, detection_loss, optimizer=adam, lr=1e-2, batch_size=16, progress=False)
    learner.fit(2)
    return learner


def test_golden_loss_curve(learner):
    """Values written down once; a change of them is a change of what is computed."""
    assert [row["train_loss"] for row in learner.history] == pytest.approx(GOLDEN, rel=5e-3)


def test_detection_in_a_file_and_in_a_batch_agree(learner, tmp_path):
    from PIL import Image

    Image.fromarray(learner.data.valid.pixels[0].permute(1, 2, 0).numpy()).save(tmp_path / "picture.png")
    found = detect(learner, tmp_path / "picture.png", least=0.05)
    again = detect(learner, learner.data.valid[0].images[0], least=0.05)
    assert [(each["class"], pytest.approx(each["score"])) for each in found] == [
        (each["class"], each["score"]) for each in again
    ]
    assert found
    assert set(found[0]) == {"class", "score", "box"}
    with pytest.raises(LabError, match="the picture cannot be opened"):
        detect(learner, tmp_path / "none.png")


def test_detection_takes_a_picture_of_pillow_and_refuses_what_is_none(learner):
    from PIL import Image

    picture = Image.fromarray(learner.data.valid.pixels[0].permute(1, 2, 0).numpy())
    assert detect(learner, picture, least=0.05) == detect(learner, learner.data.valid[0].images[0], least=0.05)
    with pytest.raises(ShapeError, match="expected one picture"):
        detect(learner, learner.data.valid[0].images)
    with pytest.raises(ParameterError, match="the image is a NoneType"):
        detect(learner, None)


def test_pictures_are_drawn_with_tight_boxes_and_masks():
    scenes = draw(8, 48, ("disk", "square"), objects=(1, 1), sizes=(0.3, 0.5), generator=np.random.default_rng(0))
    for objects, mask in zip(scenes.objects, scenes.masks, strict=True):
        kind, *corners = objects[0]
        rows, columns = np.nonzero(mask)
        assert set(mask[mask > 0]) == {kind + 1}
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert (48 * np.array(corners)).round().tolist() == box


def test_written_digits_of_validation_are_none_of_training():
    with pytest.raises(ParameterError, match="unknown things 'letters'"):
        drawn_boxes(things="letters")
    data = drawn_boxes(things="digits", train=4, valid=4, objects=(0, 1))
    assert data.class_names[:2] == ("zero", "one")
    assert data.class_count == 10


def test_test_pictures_are_drawn_from_a_stream_and_from_digits_of_their_own():
    parts = [_digits(part) for part in range(3)]
    for number in range(10):
        every = [{each.tobytes() for each in part[number]} for part in parts]
        assert all(every)
        assert not every[0] & (every[1] | every[2])
        assert not every[1] & every[2]
    options = {"size": 32, "train": 6, "valid": 4, "things": "digits"}
    without, data = drawn_boxes(**options), drawn_boxes(**options, test=4)
    assert without.test is None
    assert torch.equal(without.train.pixels, data.train.pixels)
    assert torch.equal(without.valid.pixels, data.valid.pixels)
    assert len(data.test) == 4
    assert not torch.equal(data.test.pixels, data.valid.pixels)
    assert len(drawn_masks(size=32, train=4, valid=2, test=3).test) == 3


def test_pictures_of_one_object_have_its_class():
    data = drawn_classes(size=24, train=12, valid=4)
    images, target = data.train.__getitems__([0, 3])
    assert images.shape == (2, 3, 24, 24)
    assert data.train[3].target.tolist() == [target[1]]
    boxes = drawn_boxes(size=24, train=12, valid=4, objects=(1, 1), sizes=(0.4, 0.9))
    assert data.train.target.tolist() == boxes.train.target[:, 0, 0].tolist()
    assert (data.output_size, data.class_names[0]) == (5, "disk")


# --- masks of objects -------------------------------------------------------------------------------------------------


def instances(**options):
    return drawn_boxes(size=32, train=64, valid=8, objects=(1, 2), sizes=(0.4, 0.7), instances=True, **options)


def test_masks_of_objects_are_tight_in_their_boxes_and_disjoint():
    data = instances()
    target = data.train.__getitems__(range(16)).target
    masks = masks_of(target)
    assert masks.shape == (16, 2, 32, 32)
    assert masks.sum(1).max() == 1
    for objects, own in zip(target, masks, strict=True):
        # The last object is covered by none.
        last = int((objects[:, 0] >= 0).sum()) - 1
        rows, columns = own[last].nonzero(as_tuple=True)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert (32 * objects[last, 1:5]).round().tolist() == box
    assert data.fingerprint != drawn_boxes(size=32, train=64, valid=8, objects=(1, 2), sizes=(0.4, 0.7)).fingerprint


def test_masks_are_pasted_into_their_boxes():
    masks = torch.ones(2, 4, 4)
    masks[1, :, 2:] = 0
    boxes = torch.tensor([[0.25, 0.5, 0.5, 1.0], [0.0, 0.0, 1.0, 0.5]])
    found = paste_masks(masks, boxes, (8, 8))
    expected = torch.zeros(2, 8, 8, dtype=torch.bool)
    expected[0, 4:, 2:4], expected[1, :4, :4] = True, True
    assert torch.equal(found, expected)


def test_objects_of_one_class_may_be_merged():
    data = drawn_boxes(size=32, train=8, valid=4, things="digits", merged=True)
    assert data.class_names == ("object",)
    assert set(data.train.target[..., 0].unique().tolist()) <= {-1.0, 0.0}


def test_mask_head_predicts_masks_of_its_size_and_learns_them():
    torch.manual_seed(0)
    model = FasterRCNN(3, (32, 32), 5, widths=(8, 16), proposal_count=8, pool_size=3, head_width=16, mask_size=8)
    final, proposing = split_stages(model(torch.randn(2, 3, 32, 32)))
    assert final.masks.shape == (2, 8, 8, 8)
    assert proposing.masks is None
    with pytest.raises(ParameterError, match="mask_size=7"):
        FasterRCNN(3, (32, 32), 5, mask_size=7)
    learner = Learner(model, instances(), detection_loss, optimizer=adam, lr=1e-2, batch_size=16, progress=False)
    learner.fit(2)
    assert [row["train_loss"] for row in learner.history] == pytest.approx(GOLDEN_MASKS, rel=5e-3)
    found = detect(learner, learner.data.valid[0].images[0], least=0.0)
    assert found[0]["mask"].shape == (32, 32)
    assert found[0]["mask"].dtype == torch.bool


def test_masks_that_are_right_cost_nothing_and_wrong_ones_cost():
    logits, offsets, anchors, target = planted()
    objects = assign(anchors, target).objects
    masks = torch.zeros(2, 2, 16, 16)
    masks[0, 0, :6, :6], masks[0, 1, 8:14, 10:14], masks[1, 0, 4:9, 5:10] = 1, 1, 1
    given = torch.cat([target, masks.flatten(2)], -1)
    of_rows = torch.stack([own[rows.clamp(min=0)] for own, rows in zip(masks, objects, strict=True)])  # (B, A, 16, 16)
    boxes = assign(anchors, target).boxes
    cells = torch.stack(
        [roi_align(own.unsqueeze(1), box.unsqueeze(1), 16)[:, 0, 0] for own, box in zip(of_rows, boxes, strict=True)]
    )
    right = pack(logits, offsets, anchors, classes=3, masks=100 * (cells - 0.5))
    plain = float(detection_loss(pack(logits, offsets, anchors, classes=3), given))
    assert plain == pytest.approx(0, abs=1e-5)
    wrong = pack(logits, offsets, anchors, classes=3, masks=100 * (0.5 - cells))
    # Not 0: at borders, a cell is partly the object's.
    assert 10 * float(detection_loss(right, given)) < float(detection_loss(wrong, given))
    assert float(detection_loss(wrong, given, mask_weight=0.0)) == pytest.approx(0, abs=1e-5)
    # Objects without masks, as in other data, train boxes alone.
    assert float(detection_loss(wrong, target)) == pytest.approx(0, abs=1e-5)


# --- masks ------------------------------------------------------------------------------------------------------------


def test_bilinear_start_enlarges_the_scores_by_interpolation():
    model = FCN(3, (32, 32), 4, widths=(4, 8)).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        scores = model.scores(model.body.features(images))
        expected = functional.interpolate(scores, scale_factor=4, mode="bilinear", align_corners=False)
        # Interpolation repeats the border, a transposed convolution fades to 0 there.
        assert torch.allclose(model(images).permute(0, 3, 1, 2)[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options"), [(FCN, {"skips": True}), (FCN, {"upsample": "random"}), (UNet, {}), (UNet, {"skips": False})]
)
def test_every_pixel_gets_scores(kind, options):
    widths = (4, 8, 8)
    assert kind(3, (32, 48), 5, widths=widths, **options)(torch.zeros(2, 3, 32, 48)).shape == (2, 32, 48, 5)


def test_sizes_that_cannot_be_halved_are_refused():
    with pytest.raises(ShapeError, match="30 × 32 pixels cannot be made 16 times smaller"):
        UNet(3, (30, 32), 2)
    with pytest.raises(ShapeError, match="multiples of 4"):
        FCN(3, (32, 32), 2, widths=(4, 8))(torch.zeros(1, 3, 30, 32))


def test_masks_are_learned():
    torch.manual_seed(0)
    data = drawn_masks(size=32, train=64, valid=8, objects=(1, 1), sizes=(0.4, 0.7))
    model = UNet(3, (32, 32), 6, widths=(8, 16, 16))

    def loss(output, target):
        return functional.cross_entropy(output.permute(0, 3, 1, 2), target, ignore_index=IGNORED)

    learner = Learner(model, data, loss, optimizer=adam, lr=1e-2, batch_size=16, progress=False)
    losses = [row["train_loss"] for row in learner.fit(6)]
    assert losses[-1] < 0.6 * losses[0]
    # Written down once; a change of them is a change of what is computed.
    assert [losses[0], losses[-1]] == pytest.approx(GOLDEN_SEGMENTATION, rel=5e-3)


# --- augmentation -----------------------------------------------------------------------------------------------------


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def of_boxes(target, size=24):
    """Pictures (B, 1, size, size) that are 1 inside of the first object of each row."""
    images = torch.zeros(len(target), 1, size, size)
    for image, objects in zip(images, target, strict=True):
        left, top, right, bottom = (size * objects[0, 1:]).round().int().tolist()
        image[0, top:bottom, left:right] = 1
    return images


def around(image):
    """The box of the pixels of a picture that are set, in fractions."""
    rows, columns = (image[0] > 0.5).nonzero(as_tuple=True)
    size = image.shape[-1]
    return [v / size for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


TARGET = torch.tensor([[[1, 0.25, 0.5, 0.5, 0.75], [-1] * 5]]).repeat(12, 1, 1)


def test_boxes_move_with_their_pixels():
    images = of_boxes(TARGET)
    for moved, target in (
        flip(images, TARGET, generator()),
        window(images, TARGET, (0.8, 1.4), generator()),
        mosaic(images, TARGET, 0.0, generator()),
    ):
        assert (target[:, 1] == -1).all()
        for image, objects in zip(moved, target, strict=True):
            if objects[0, 0] >= 0:
                assert around(image) == pytest.approx(objects[0, 1:].tolist(), abs=1.01 / 24)


def test_mosaic_holds_four_pictures_at_half_their_size():
    images, target = mosaic(of_boxes(TARGET), TARGET, 1.0, generator())
    assert target.shape == (12, 8, 5)
    found = target[0][target[0, :, 0] >= 0]
    assert found[:, 1].tolist() == [0.125, 0.625, 0.125, 0.625]
    assert found[:, 2].tolist() == [0.25, 0.25, 0.75, 0.75]
    assert around(images[0, :, :12, :12]) == pytest.approx([0.25, 0.5, 0.5, 0.75])


def test_masks_move_with_their_pixels_and_pixels_from_outside_are_ignored():
    mask = of_boxes(TARGET)[:, 0].long()
    images, moved = window(mask.unsqueeze(1).float(), mask, (0.5, 0.5), generator())
    assert (moved == IGNORED).any()
    inside = moved != IGNORED
    agree = (images[:, 0] > 0.5)[inside] == (moved == 1)[inside]
    assert agree.float().mean() > 0.98


def test_objects_of_which_little_is_left_are_dropped():
    target = torch.tensor([[[0, 0.0, 0.0, 0.1, 0.1], [1, 0.4, 0.4, 0.6, 0.6]]]).repeat(20, 1, 1)
    _, moved = window(torch.zeros(20, 1, 8, 8), target, (2.0, 2.0), generator())
    assert (moved[:, 0, 0] == -1).any()
    assert (moved[moved[..., 0] >= 0][:, 1:] <= 1).all()


def test_masks_of_objects_move_with_their_boxes():
    given = torch.cat([TARGET, torch.stack([of_boxes(TARGET)[:, 0], torch.zeros(12, 24, 24)], 1).flatten(2)], -1)
    images = of_boxes(TARGET)
    for change in (
        lambda: flip(images, given, generator()),
        lambda: window(images, given, (0.8, 1.4), generator()),
        lambda: mosaic(images, given, 1.0, generator()),
    ):
        moved, target = change()
        masks = masks_of(target)
        assert ((masks.sum(1) > 0.5) == (moved[:, 0] > 0.5)).float().mean() > 0.97
        present = target[..., 0] >= 0
        for mask, box in zip(masks[present], target[present][:, 1:5], strict=True):
            assert around(mask[None]) == pytest.approx(box.tolist(), abs=1.51 / 24)


def test_augmentation_of_other_data_and_other_values_are_refused():
    with pytest.raises(ParameterError, match="the least and the largest magnification"):
        AugmentObjects(zoom=(2.0, 1.0))

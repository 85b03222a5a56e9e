"""What a model looks at, and where it errs."""

from __future__ import annotations

import json

import pytest
import torch
from lab_vision.callbacks import map_titles
from lab_vision.inside import cam, confusion_matrix, first_filters, grad_cam, largest_losses
from lab_vision.models import CourseNet, SoftmaxRegression
from lab_vision.report import sections
from lab_vision.sources import digits
from lab_vision.transfer import Transfer
from torch.nn import functional

from lab import Experiment, Learner, Study, use
from lab.errors import LabError, UnknownNameError


def hooks_on(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.fixture
def spotter():
    """A model that says class 1 where a spot is bright, and has learned nothing: its weights are written down."""
    model = CourseNet(1, 2, widths=(1,), stem=None, padding=True, pool="average")
    conv = model.stages[0][0][0]
    with torch.no_grad():
        conv.weight.zero_()[0, 0, 1, 1] = 1.0
        conv.bias.zero_()
        model.output.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model.output.bias.zero_()
    return Learner(model, digits(), functional.cross_entropy, progress=False)


def spot_at(row, column, edge=16):
    image = torch.zeros(1, 1, edge, edge)
    image[0, 0, row : row + 4, column : column + 4] = 1
    return image


@pytest.mark.parametrize("place", [(0, 0), (12, 4), (8, 12)])
def test_maps_lie_on_what_speaks_for_the_class(spotter, place):
    for maps in (cam(spotter, spot_at(*place)), grad_cam(spotter, spot_at(*place), "stages.0")):
        where = divmod(int(maps[0].argmax()), 16)
        assert all(abs(a - b - 1.5) <= 2.5 for a, b in zip(where, place, strict=True))


def test_a_class_activation_map_is_the_features_weighted_by_the_last_layer(learner):
    images = learner.data.valid.__getitems__([0, 1]).images
    maps = cam(learner, images, classes=torch.tensor([3, 4]))
    found = learner.model.eval().features(images)
    weights = learner.model.output.weight
    expected = torch.einsum("bchw,bc->bhw", found, (weights - weights.mean(0))[[3, 4]]).detach()
    low, high = expected.amin((1, 2), keepdim=True), expected.amax((1, 2), keepdim=True)
    expected = functional.interpolate(((expected - low) / (high - low))[:, None], (8, 8), mode="bilinear")[:, 0]
    assert torch.allclose(maps, expected, atol=1e-5)


def test_what_speaks_for_all_classes_alike_has_no_part_in_a_map(learner):
    images = learner.data.valid.__getitems__(range(4)).images
    before = cam(learner, images)
    with torch.no_grad():
        learner.model.output.weight.add_(5.0)
    try:
        assert torch.allclose(cam(learner, images), before, atol=1e-3)
    finally:
        with torch.no_grad():
            learner.model.output.weight.sub_(5.0)


def test_grad_cam_of_the_last_features_goes_with_class_activation_maps(learner):
    images = learner.data.valid.__getitems__(range(8)).images
    one, other = cam(learner, images), grad_cam(learner, images, "stages")
    flat = [each.flatten(1) - each.flatten(1).mean(1, keepdim=True) for each in (one.relu(), other)]
    assert float(functional.cosine_similarity(*flat).mean()) > 0.7


def test_looking_leaves_no_hook_and_no_gradient_behind(learner):
    images = learner.data.valid.__getitems__([0]).images
    grad_cam(learner, images, "stages")
    with pytest.raises(LabError):
        grad_cam(learner, images[:, :, :0], "stages")
    assert hooks_on(learner.model) == 0
    assert not images.requires_grad


def test_a_layer_that_is_not_there_has_close_matches(learner):
    with pytest.raises(UnknownNameError, match="did you mean: stages"):
        grad_cam(learner, learner.data.valid.__getitems__([0]).images, "stagse")


def test_models_with_another_end_are_told_of_grad_cam():
    learner = Learner(SoftmaxRegression(64, 10), digits(), functional.cross_entropy, progress=False)
    with pytest.raises(LabError, match="use grad_cam"):
        cam(learner, learner.data.valid.__getitems__([0]).images)


@pytest.mark.parametrize("pool", ["max", "concat"])
def test_maps_are_not_drawn_of_a_last_layer_that_reads_no_means(pool):
    """As many channels are not enough: of the largest values, a map would show what the logits are not made of."""
    model = CourseNet(1, 10, widths=(4, 8), stem=3, pool=pool)
    learner = Learner(model, digits(), functional.cross_entropy, progress=False)
    with pytest.raises(LabError, match=r"CAM needs global average pooling.*\n.*CourseNet\n.*use grad_cam"):
        cam(learner, learner.data.valid.__getitems__([0]).images)


def test_maps_are_not_drawn_of_a_head_that_scales_means_first():
    body = CourseNet(1, 10, widths=(4, 8), stem=3)
    model = Transfer(1, 10, body=body, pool="average", hidden=(), dropouts=0.0)
    model.head.layers[0].running_mean.fill_(2.0)
    learner = Learner(model, digits(), functional.cross_entropy, progress=False)
    with pytest.raises(LabError, match="use grad_cam"):
        cam(learner, learner.data.valid.__getitems__([0]).images)


def test_a_confusion_matrix_counts_every_picture(learner):
    counts = confusion_matrix(learner)
    assert int(counts.sum()) == len(learner.data.valid)
    assert counts.sum(1).tolist() == torch.bincount(learner.data.valid.target, minlength=10).tolist()


def test_the_largest_losses_are_those_of_validation(learner):
    judged = largest_losses(learner, len(learner.data.valid))
    losses = [each.loss for each in judged]
    assert losses == sorted(losses, reverse=True)
    assert sum(losses) / len(losses) == pytest.approx(learner.validate()["valid_loss"], rel=1e-4)
    assert judged[0].predicted != judged[0].target


def test_first_filters_are_weights(learner):
    assert first_filters(learner).shape == (8, 1, 3, 3)


def test_files_of_pictures_are_predicted(learner, tmp_path):
    from PIL import Image

    data = learner.data
    for number in range(3):
        Image.fromarray(data.valid.pixels[number, 0].numpy()).save(tmp_path / f"{number}.png")
    answers = learner.predict([tmp_path / f"{number}.png" for number in range(3)])
    logits = learner.predict(data.valid.__getitems__(range(3)).images)
    assert [next(iter(each)) for each in answers] == [data.class_names[each] for each in logits.argmax(-1)]
    assert sum(answers[0].values()) == pytest.approx(1)


def test_the_report_shows_where_models_looked(tmp_path):
    base = Experiment(
        dataset="digits", architecture=use("course_net", widths=[4]), loss="cross_entropy", epochs=1,
        callbacks=[use("look_inside", count=2, tta=True)],
    )  # fmt: skip
    runs = Study(base, seeds=1, name="digits").run(runs=tmp_path).runs
    [section] = sections(runs)
    assert section.text.startswith("base: most confused: ")
    assert "with test-time augmentation" in section.text
    assert section.html.count("data:image/png;base64,") == 4


def test_a_map_is_titled_by_the_class_that_it_is_of_where_that_is_not_the_pictures():
    titles = map_titles(("cat", "dog"), torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert titles == ["cat", "dog\npredicted cat"]


@pytest.mark.parametrize("average", [use("ema", decay=0.9), use("swa", start=0.5)])
def test_what_is_shown_is_seen_by_the_averaged_weights_that_stay(tmp_path, average):
    base = Experiment(
        dataset="digits", architecture=use("course_net", widths=[4]), loss="cross_entropy", metrics=["accuracy"],
        callbacks=[average, use("look_inside", count=2, tta=True)], lr=0.05, epochs=2,
    )  # fmt: skip
    [run] = Study(base, seeds=1, name="averaged").run(runs=tmp_path).runs
    content = json.loads((run.folder / "artefacts" / "inside.json").read_text(encoding="utf-8"))
    assert content["tta"]["plain_accuracy"] == pytest.approx(run.metrics["valid_accuracy"])

"""Style transfer: Gram matrices and roughness of worked pictures, what moves and what does not, a golden loss curve."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from lab_basics.optimizers import adam
from lab_style.callbacks import PictureByEpoch
from lab_style.data import two_pictures
from lab_style.losses import style_loss
from lab_style.models import StylePicture, gram, roughness
from lab_style.steppers import LOSSES, PictureStep
from lab_vision.models import CourseNet
from PIL import Image

from lab import Learner, load
from lab.cli.main import cli
from lab.errors import DataError, LabError, ParameterError, ShapeError

GOLDEN = [0.66048, 0.56331]
GOLDEN_STEPS = [0.64623, 0.52406]


@pytest.fixture(scope="module")
def data():
    return two_pictures(height=24, width=32, steps=10)


def make(data, **options):
    torch.manual_seed(0)
    return StylePicture(3, data.content, data.style, **options)


@pytest.fixture(scope="module")
def learner(data, tmp_path_factory):
    learner = Learner(
        make(data), data, style_loss, optimizer=adam, lr=0.05, batch_size=1, progress=False,
        callbacks=[PictureByEpoch(scale=1)], folder=tmp_path_factory.mktemp("run"),
    )  # fmt: skip
    learner.fit(2)
    return learner


def test_gram_matrix_of_a_worked_example():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
    assert gram(features).tolist() == [[[5 / 4, 3 / 4], [3 / 4, 9 / 4]]]


def test_gram_matrix_forgets_places():
    features = torch.randn(1, 4, 3, 5)
    shuffled = features.flatten(2)[:, :, torch.randperm(15)].reshape(features.shape)
    assert torch.allclose(gram(features), gram(shuffled), atol=1e-6)


def test_roughness_of_a_worked_example():
    assert roughness(torch.tensor([[[[0.0, 2.0], [1.0, 3.0]]]])).tolist() == [1.5]


def test_the_content_begins_at_distance_zero_and_the_style_too_where_both_are_one(data):
    with torch.no_grad():
        content, style, _ = make(data)(data.content)[0].tolist()
        assert (content, style > 0) == (0, True)
        same = StylePicture(3, data.content, data.content)
        assert same(data.content)[0, 1].item() == 0


def test_only_the_picture_is_trained(data, learner):
    before = make(data).state_dict()
    changed = {name for name, value in learner.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"picture"}


def test_golden_loss_curve(learner):
    """Values written down once; a change of them is a change of what is computed."""
    assert [row["train_loss"] for row in learner.history] == pytest.approx(GOLDEN, rel=5e-3)


def test_the_picture_of_every_epoch_is_kept_and_animated(learner):
    folder = learner.artefact("pictures.gif").parent
    for name, size in (("epoch-002.png", (32, 24)), ("pictures.png", (3 * 32 + 12, 24))):
        with Image.open(folder / name) as picture:
            assert picture.size == size
    # The start, and the picture after each epoch.
    with Image.open(folder / "pictures.gif") as animation:
        assert animation.n_frames == 3


@pytest.mark.parametrize("start", ["content", "noise"])
def test_the_animation_begins_with_the_start(data, tmp_path, start):
    model = make(data, start=start)
    expected = (255 * data.pixels_of(model.picture.detach())[0]).round().byte().permute(1, 2, 0).numpy()
    Learner(
        model, data, style_loss, optimizer=adam, lr=0.05, batch_size=1, progress=False,
        callbacks=[PictureByEpoch(scale=1)], folder=tmp_path,
    ).fit(1)  # fmt: skip
    folder = next(tmp_path.rglob("pictures.gif")).parent
    with Image.open(folder / "epoch-000.png") as picture:
        assert (np.asarray(picture) == expected).all()
    # The palette of the animation has 256 colors: those of noise are rounded.
    with Image.open(folder / "pictures.gif") as animation:
        assert np.abs(np.asarray(animation.convert("RGB")).astype(float) - expected).mean() < 25
        assert animation.n_frames == 2
    assert json.loads((folder / "pictures.json").read_text())["epochs"] == 1


def test_all_problems_of_pictures_and_layers_are_told_at_once(data, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="4 problems") as caught:
        two_pictures(content=tmp_path / "text.png", style=tmp_path / "nosuch.jpg", steps=0, mean=[0.5])
    for part in ("text.png", "nosuch.jpg", "steps=0", "mean=[0.5]"):
        assert part in caught.value.hint
    with pytest.raises(ParameterError, match="the body has no layers 'a', 'b'"):
        make(data, style_layers=["a", "b"])


def test_a_content_of_one_color_is_refused_unless_it_is_scaled_by_other_numbers(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "black.png")
    with pytest.raises(DataError, match="one color"):
        two_pictures(content=tmp_path / "black.png", height=24, width=32)
    scaled = two_pictures(
        content=tmp_path / "black.png", height=24, width=32, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]
    )
    assert all(abs(float(value)) > 1 for value in scaled.content[0, :, 0, 0])
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(DataError, match="only 1 × 1 pixels"):
        two_pictures(style=tmp_path / "dot.png", height=24, width=32)


def test_a_channel_of_one_value_is_scaled_like_the_others(tmp_path):
    half_red(tmp_path / "red.png")
    data = two_pictures(content=tmp_path / "red.png", height=24, width=32)
    assert data.channel_std[1] == data.channel_std[2] == data.channel_std[0] > 0.4


def half_red(path):
    picture = Image.new("RGB", (200, 100), "black")
    picture.paste("red", (0, 0, 100, 100))
    picture.save(path)


def test_layers_are_named_by_their_paths(data):
    model = make(data, content_layer="stages.1", style_layers=["stages.0.1", "stages.2"])
    assert model(data.content).shape == (1, 3)
    with pytest.raises(ParameterError, match=r"the body has no layer 'stages\.9'"):
        make(data, style_layers=["stages.9"])
    with pytest.raises(ParameterError, match="the stages of this body are not known"):
        make(data, body=Plain)


class Plain(torch.nn.Module):
    """A body without stages."""

    def __init__(self, channels, output_size):
        super().__init__()
        self.first = torch.nn.Conv2d(channels, 4, 3)

    def features(self, images):
        return self.first(images)


def test_layers_of_vgg_are_those_of_the_book(data):
    from lab_vision.vgg import VGG

    def body(channels, output_size):
        return VGG(channels, output_size, blocks=((2, 4), (2, 4), (1, 8)))

    layers = [f"features.{number}" for number in (0, 5, 10)]
    model = make(data, body=body, style_layers=layers, content_layer="features.7")
    assert model(data.content)[0, 1] > 0


def test_files_are_read_and_bad_ones_refused(data, tmp_path):
    half_red(tmp_path / "red.png")
    given = two_pictures(content=tmp_path / "red.png", height=24, width=32)
    assert given.pixels_of(given.content)[0, :, 0, 0].tolist() == pytest.approx([1, 0, 0], abs=1e-3)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="the picture cannot be read"):
        two_pictures(style=tmp_path / "bad.png")
    with pytest.raises(ParameterError, match="at least one step"):
        two_pictures(steps=0)
    with pytest.raises(ParameterError, match="neither, or both"):
        two_pictures(mean=[0.5, 0.5, 0.5])
    fixed = two_pictures(height=24, width=32, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    assert torch.allclose(fixed.pixels_of(fixed.content), data.pixels_of(data.content), atol=1e-5)
    assert fixed.fingerprint != data.fingerprint
    with pytest.raises(ShapeError, match="for one of"):
        make(data)(given.content[:, :, 1:])
    with pytest.raises(ParameterError, match="weights must be at least 0"):
        style_loss(torch.zeros(1, 3), torch.zeros(1, 3), style_weight=-1.0)


# --- the step on the picture ------------------------------------------------------------------------------------------


def painted(data, folder=None, *, epochs=2, optimizer=adam, lr=0.3, loss=style_loss, **options):
    learner = Learner(
        make(data), data, loss, optimizer=optimizer, lr=lr, batch_size=1, progress=False, folder=folder,
        stepper=PictureStep(**options), callbacks=[PictureByEpoch(scale=1)],
    )  # fmt: skip
    learner.fit(epochs)
    return learner


def outside(learner):
    """The largest distance of a pixel from what a picture can show, between 0 and 1."""
    data, picture = learner.data, learner.model.picture.detach()
    mean, std = (torch.tensor(each)[:, None, None] for each in (data.channel_mean, data.channel_std))
    pixels = picture * std + mean
    return float(torch.maximum(pixels - 1, -pixels).max())


def test_pixels_stay_between_black_and_white(data):
    assert outside(painted(data)) <= 1e-6
    assert outside(painted(data, clamp=False)) > 0.01


def test_three_losses_are_in_the_history_and_add_up_to_the_loss_of_training(data):
    def weighted(output, target):
        return style_loss(output, target, style_weight=10.0, smooth_weight=0.3)

    for row in painted(data, loss=weighted).history:
        parts = [row[f"train_{name}"] for name in LOSSES]
        assert min(parts) > 0
        assert sum(parts) == pytest.approx(row["train_loss"], rel=1e-5)


def test_golden_loss_curve_of_the_step(data):
    assert [row["train_loss"] for row in painted(data).history] == pytest.approx(GOLDEN_STEPS, rel=5e-3)


def test_a_normalized_step_is_as_long_whatever_the_weights(data):
    from torch.optim import SGD

    def heavy(output, target):
        return 1000 * style_loss(output, target)

    given = {"optimizer": SGD, "lr": 0.01, "normalize": True, "clamp": False, "epochs": 1}
    one, other = painted(data, **given), painted(data, loss=heavy, **given)
    assert torch.allclose(one.model.picture, other.model.picture, atol=1e-4)
    assert not torch.equal(one.model.picture.detach(), data.content)


def test_an_epoch_that_was_interrupted_has_the_losses_of_all_its_steps(data):
    whole = PictureStep()
    learner = Learner(make(data), data, style_loss, optimizer=adam, lr=0.1, batch_size=1, progress=False, stepper=whole)
    batch = data.train[0]
    first, second = learner.stepper.train_step(batch), None
    resumed = PictureStep()
    resumed.attach(learner)
    resumed.load_state_dict(whole.state_dict())
    second = resumed.train_step(batch)
    resumed.finish_epoch()
    assert sum(resumed.epoch_losses.values()) == pytest.approx((float(first) + float(second)) / 2, rel=1e-5)


def test_the_step_of_another_model_is_refused(data):
    with pytest.raises(LabError, match="needs a picture as the model"):
        Learner(torch.nn.Linear(1, 1), data, style_loss, stepper=PictureStep(), progress=False)


# --- bodies of other runs ---------------------------------------------------------------------------------------------


def net(channels, output_size):
    return CourseNet(channels, output_size, widths=(4, 6), stem=3, norm="batch")


def test_a_body_takes_the_weights_of_a_trained_net_and_compares_by_them(data):
    torch.manual_seed(1)
    trained = net(3, 7)
    model = make(data, body=net)
    before = model.style0.clone()
    assert model.take_body(trained, data) == sum(value.numel() for value in model.body.state_dict().values())
    assert torch.equal(model.body.stages[0][0].weight, trained.stages[0][0].weight)
    assert not torch.equal(model.style0, before)
    assert model(data.content)[0, 0] == 0


def test_a_body_of_another_architecture_is_refused(data):
    model = make(data, body=net)
    with pytest.raises(LabError, match="cannot begin with the weights of a CourseNet") as caught:
        model.take_body(CourseNet(3, 7, widths=(4, 8), stem=3, norm="batch"), data)
    assert "there and (" in caught.value.hint
    with pytest.raises(LabError, match="cannot begin with the weights of a Linear"):
        model.take_body(torch.nn.Linear(1, 1), data)


STUDY = '''"""Does a narrow net do as a body?"""
from lab import Experiment, Study, use

NET = use("course_net", widths=[4, 6], stem=3, norm="batch")


def classifier():
    return Experiment(
        dataset=use("drawn_classes", size=16, train=32, valid=8), architecture=NET, loss="cross_entropy", batch_size=8,
        epochs=1,
    )


base = Experiment(
    dataset=use("two_pictures", height=16, width=20, steps=3), architecture=use("style_picture", body=NET),
    loss="style_loss", stepper="picture_step", callbacks=[use("body_from", pretraining=classifier)], lr=0.1,
    batch_size=1, epochs=1,
)
study = Study(base, seeds=2, compare="valid_loss")
'''


def test_one_command_trains_the_nets_and_the_pictures_and_finds_both_again(tmp_path):
    (tmp_path / "question.py").write_text(STUDY)
    runs = tmp_path / "runs"
    command = ["run", str(tmp_path / "question.py"), "--runs", str(runs), "--quiet"]
    assert CliRunner().invoke(cli, command).exit_code == 0
    found = {each.parent.name: json.loads(each.read_text()) for each in runs.glob(".store/*/result.json")}
    # Two pictures, and a net for each seed.
    scores = {key: content["metrics"]["valid_loss"] for key, content in found.items()}
    assert len(set(scores.values())) == 4
    assert CliRunner().invoke(cli, command).exit_code == 0
    assert len(list(runs.glob(".store/*/result.json"))) == 4
    with open(runs / "question/runs.csv", newline="") as file:
        key = next(csv.DictReader(file))["key"]
    assert load(key, runs).validate("valid")["valid_loss"] == pytest.approx(scores[key])

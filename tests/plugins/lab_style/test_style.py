"""Style transfer: Gram matrices and roughness of worked pictures, what moves and what does not, a golden loss curve."""

from __future__ import annotations

import pytest
import torch
from lab_basics.optimizers import adam
from lab_style.callbacks import PictureByEpoch
from lab_style.data import two_pictures
from lab_style.losses import style_loss
from lab_style.models import StylePicture, gram, roughness
from PIL import Image

from lab import Learner
from lab.errors import DataError, ParameterError, ShapeError

GOLDEN = [0.66048, 0.56331]


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
    # The content, and the picture after each epoch.
    with Image.open(folder / "pictures.gif") as animation:
        assert animation.n_frames == 3


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
    Image.new("RGB", (200, 100), "red").save(tmp_path / "red.png")
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

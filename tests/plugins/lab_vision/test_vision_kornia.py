"""Augmentation by kornia: drawn from the run's own stream, in the range of pictures, and nothing else moves."""

from __future__ import annotations

import sys

import pytest
import torch
from lab_vision.kornia_augment import KorniaAugment

from lab import Experiment, Study, use
from lab.errors import LabError, ParameterError, UnknownNameError

pytest.importorskip("kornia", reason="needs the extra kornia")

IMAGES = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
TRANSFORMS = {"RandomAffine": {"degrees": 30.0, "p": 1.0}, "RandomBrightness": {"brightness": [0.6, 1.4], "p": 1.0}}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_the_stream_decides_and_no_other_random_choice_moves():
    augment = KorniaAugment(transforms=TRANSFORMS)
    before = torch.get_rng_state()
    one, again, other = (augment.augmented(IMAGES, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    torch.manual_seed(77)
    assert torch.equal(augment.augmented(IMAGES, generator(3)), one)


def test_transforms_see_pictures_between_0_and_1():
    mean, deviation = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    scaled = (IMAGES - mean[:, None, None]) / deviation[:, None, None]
    augment = KorniaAugment(transforms=TRANSFORMS)
    found = augment.augmented(scaled, generator(1), (mean, deviation))
    expected = (augment.augmented(IMAGES, generator(1)) - mean[:, None, None]) / deviation[:, None, None]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_flips_are_kornias_default_here():
    found = KorniaAugment().augmented(IMAGES, generator(0))
    flipped = [torch.equal(new, old.flip(-1)) for new, old in zip(found, IMAGES, strict=True)]
    same = [torch.equal(new, old) for new, old in zip(found, IMAGES, strict=True)]
    assert all(a or b for a, b in zip(flipped, same, strict=True))
    assert any(flipped)


@pytest.mark.parametrize(
    ("transforms", "error", "said"),
    [
        ({"RandomAfine": {}}, UnknownNameError, "did you mean: RandomAffine"),
        ({"Module": {}}, UnknownNameError, "unknown transform 'Module'"),
        ({"RandomAffine": {"angle": 3}}, ParameterError, "RandomAffine: .*(angle|degrees)"),
        ({"RandomAffine": 15}, ParameterError, "parameters are a dictionary"),
        ({}, ParameterError, "there are no transforms"),
    ],
)
def test_wrong_transforms_are_told(transforms, error, said):
    with pytest.raises(error, match=said):
        KorniaAugment(transforms=transforms)


def test_without_kornia_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia.augmentation", None)
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(LabError, match=r"needs kornia(.|\n)*lab-ablation\[kornia\]"):
        KorniaAugment()


def test_a_study_with_kornia_gives_the_same_numbers_twice(tmp_path):
    base = Experiment(
        dataset="digits", architecture=use("softmax", layers=[8]), loss="cross_entropy", epochs=1, batch_size=256
    )
    study = Study(base, seeds=1, name="turned").swap("callbacks", {"kornia": [use("kornia", transforms=TRANSFORMS)]})
    one, two = (study.run(runs=tmp_path / name).scores("kornia", "valid_loss") for name in ("one", "two"))
    assert one == two
    assert len(one) == 1

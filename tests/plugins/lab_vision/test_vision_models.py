"""Models of pictures, and what varies these."""

from __future__ import annotations

import pytest
import torch
from lab_vision.augment import (
    Augment,
    CutMix,
    MixUp,
    crop_padded,
    cut_out,
    flip,
    jitter_colors,
    light,
    resized_crop,
    rotate_zoom,
    tta,
)
from lab_vision.layers import WrittenBatchNorm
from lab_vision.models import CourseNet
from lab_vision.plugin import lab_architectures
from lab_vision.resnet import ResNet, load_published
from lab_vision.sources import digits
from lab_vision.transfer import FeatureData, Head, Transfer, precompute
from lab_vision.vgg import VGG, vgg19_corpus
from torch import Tensor, nn
from torch.nn import functional

from lab import Learner
from lab.errors import DataError, ParameterError, ShapeError, StoreError
from lab.training.data import SequentialSampler


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --- batch norm -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}, {"momentum": 0.5, "eps": 0.1}],
)
def test_batch_norm_written_out_is_that_of_torch(options):
    ours, theirs = WrittenBatchNorm(3, **options), nn.BatchNorm2d(3, **options)
    for step in range(3):
        x = 2 + 3 * torch.randn(5, 3, 4, 4, generator=generator(step))
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    for name, buffer in theirs.named_buffers():
        assert torch.allclose(buffer.float(), ours.get_buffer(name).float(), atol=1e-6), name
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)


def test_batch_norm_written_out_refuses_one_value_per_channel_as_torch_does():
    x = torch.ones(1, 3, 1, 1)
    for norm in (WrittenBatchNorm(3), nn.BatchNorm2d(3)):
        with pytest.raises((ShapeError, ValueError), match=r"more than (one|1) value"):
            norm(x)
        norm.eval()(x)


def test_gradients_of_batch_norm_written_out_are_those_of_torch():
    inputs = [torch.randn(5, 3, 4, 4, generator=generator()).requires_grad_() for _ in range(2)]
    norms = (WrittenBatchNorm(3), nn.BatchNorm2d(3))
    for norm, x in zip(norms, inputs, strict=True):
        norm(x).square().mul(torch.arange(3)[:, None, None]).sum().backward()
    assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-5)
    assert torch.allclose(norms[0].weight.grad, norms[1].weight.grad, rtol=1e-4)


# --- residual networks ------------------------------------------------------------------------------------------------

COUNTS = {"resnet18": ((2, 2, 2, 2), False, 11_689_512, 62), "resnet34": ((3, 4, 6, 3), False, 21_797_672, 110)}
COUNTS["resnet50"] = ((3, 4, 6, 3), True, 25_557_032, 161)


@pytest.mark.parametrize("name", COUNTS)
def test_residual_networks_have_the_published_numbers_of_parameters(name):
    blocks, bottleneck, parameters, tensors = COUNTS[name]
    with torch.device("meta"):
        model = ResNet(3, 1000, blocks=blocks, bottleneck=bottleneck)
    weights = dict(model.named_parameters())
    assert (sum(weight.numel() for weight in weights.values()), len(weights)) == (parameters, tensors)


def test_parameters_have_the_published_names_and_shapes():
    with torch.device("meta"):
        state = ResNet(3, 1000, blocks=(3, 4, 6, 3), bottleneck=True).state_dict()
    shapes = {
        "conv1.weight": (64, 3, 7, 7), "bn1.running_var": (64,), "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1), "layer1.0.downsample.1.bias": (256,),
        "layer2.0.conv2.weight": (128, 128, 3, 3), "layer3.5.bn3.weight": (1024,),
        "layer4.2.conv3.weight": (2048, 512, 1, 1), "fc.weight": (1000, 2048), "fc.bias": (1000,),
    }  # fmt: skip
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert "last.0.weight" not in state


def test_a_basic_block_does_what_the_paper_says():
    """With every kernel reduced to its middle a block is arithmetic: relu(x + w2 relu(w1 x))."""
    model = ResNet(1, 2, blocks=(1, 1, 1, 1), width=1).eval()
    block = model.layer1[0]
    for conv, value in ((block.conv1, 2.0), (block.conv2, -0.25)):
        nn.init.zeros_(conv.weight)
        with torch.no_grad():
            conv.weight[0, 0, 1, 1] = value
    x = torch.tensor([[[[1.0, 0.5], [0.25, 2.0]]]])
    assert torch.allclose(block(x), torch.relu(x - 0.25 * torch.relu(2 * x)), atol=1e-4)


def test_a_bottleneck_has_its_stride_in_the_middle_and_a_projection_beside():
    model = ResNet(3, 2, blocks=(1, 1, 1, 1), bottleneck=True, width=4)
    block = model.layer2[0]
    assert [each.stride for each in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (2, 2), (1, 1)]
    assert block.downsample[0].stride == (2, 2)


def test_preactivation_puts_norms_in_front():
    model = ResNet(3, 2, blocks=(1, 1, 1, 1), width=4, preactivation=True)
    assert model.layer2[0].bn1.num_features == 4
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 2)


def small(**options):
    return ResNet(3, options.pop("classes", 5), blocks=(1, 1, 1, 1), width=4, **options)


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_load_and_another_last_layer_is_left_out(tmp_path, kind):
    from safetensors.torch import save_file

    source = small(classes=1000)
    path = tmp_path / f"weights.{kind}"
    (torch.save if kind == "pth" else save_file)(source.state_dict(), path)
    model = small(weights=str(path))
    assert torch.equal(model.layer4[0].conv2.weight, source.layer4[0].conv2.weight)
    assert model.fc.weight.shape == (5, 4 * 8)


def test_weights_of_another_architecture_are_told_by_name(tmp_path):
    torch.save({"conv1.weight": torch.zeros(4, 3, 7, 7), "other": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(StoreError, match=r"missing: bn1.bias(.|\n)* more\n.*unexpected: other"):
        load_published(small(), str(tmp_path / "w.pth"))


def test_a_file_with_more_than_tensors_is_refused_and_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    torch.save({"conv1.weight": Evil()}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="more than tensors"):
        load_published(small(), str(tmp_path / "w.pth"))
    assert not (tmp_path / "written").exists()


def course(classes=5, **options):
    return CourseNet(3, classes, widths=(4, 8), stem=3, norm="batch", pool="average", **options)


def test_a_net_of_the_course_begins_with_the_weights_of_a_finished_run(tmp_path):
    from safetensors.torch import save_file

    source = course(classes=10)
    source.stages[0][2].running_mean.fill_(3.0)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    save_file({}, tmp_path / "best.safetensors")
    model = course(weights=str(tmp_path))
    assert torch.equal(model.stages[1][0][0].weight, source.stages[1][0][0].weight)
    assert torch.equal(model.stages[0][2].running_mean, source.stages[0][2].running_mean)
    assert model.output.weight.shape == (5, 8)


def test_a_last_layer_for_as_many_classes_is_loaded_too(tmp_path):
    source = course()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    assert torch.equal(course(weights=str(tmp_path / "w.pth")).output.weight, source.output.weight)


def test_a_last_layer_that_is_left_out_is_initialised_as_without_weights(tmp_path):
    from lab.training.rng import Streams

    torch.save(course(classes=10).state_dict(), tmp_path / "w.pth")
    made = []
    for options in ({}, {"weights": str(tmp_path / "w.pth")}):
        with Streams(0).initializing():
            made.append(course(**options).output.weight)
    assert torch.equal(*made)


def test_weights_that_are_not_there_are_told(tmp_path):
    with pytest.raises(DataError) as told:
        course(weights=str(tmp_path))
    assert str(told.value) == (f"weights not found\n  {tmp_path / 'model.safetensors'}\n  a file, or a run's folder")


def test_weights_for_pictures_of_other_channels_are_told(tmp_path):
    torch.save(CourseNet(1, 5, widths=(4, 8), stem=3, norm="batch").state_dict(), tmp_path / "w.pth")
    with pytest.raises(ShapeError, match="these weights are for pictures of 1 channels"):
        course(weights=str(tmp_path / "w.pth"))


# --- transfer ---------------------------------------------------------------------------------------------------------


def body():
    torch.manual_seed(1)
    return CourseNet(1, 10, widths=(4, 8), stem=3, norm="batch")


def test_features_computed_once_train_a_head_as_the_frozen_body_does():
    data = digits()
    torch.manual_seed(2)
    whole = Transfer(1, 10, body=body(), hidden=(16,), dropouts=0.0)
    once = precompute(body(), data)
    head = Head(16, 10, hidden=(16,), dropouts=0.0)
    head.load_state_dict(whole.head.state_dict())

    whole_learner = Learner(whole, data, functional.cross_entropy, batch_size=64, progress=False)
    whole_learner.freeze_to(-1)
    whole_learner.bn_freeze()
    head_learner = Learner(head, once, functional.cross_entropy, batch_size=64, progress=False)
    rows = [learner.fit(2) for learner in (whole_learner, head_learner)]
    for one, other in zip(*rows, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert one["valid_loss"] == pytest.approx(other["valid_loss"], rel=1e-4)


def test_features_are_read_from_the_cache_the_second_time(monkeypatch):
    data, made = digits(), body()
    first = precompute(made, data)
    monkeypatch.setattr(made, "features", None)
    monkeypatch.setattr("lab_vision.transfer._width", lambda body: 8)
    again = precompute(made, data)
    assert isinstance(again, FeatureData)
    assert torch.equal(first.train.values, again.train.values)


def test_another_body_has_other_features():
    torch.manual_seed(7)
    other = CourseNet(1, 10, widths=(4, 8), stem=3, norm="batch")
    assert precompute(body(), digits()).fingerprint != precompute(other, digits()).fingerprint


def test_a_model_without_features_cannot_be_a_body():
    with pytest.raises(ParameterError, match="Linear cannot be a body"):
        Transfer(1, 10, body=nn.Linear(2, 2))


# --- variations -------------------------------------------------------------------------------------------------------

IMAGES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def test_half_of_the_pictures_are_mirrored():
    varied = flip(IMAGES, generator())
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(varied, IMAGES, strict=True)]
    assert 4 <= sum(mirrored) <= 12
    assert all(m or torch.equal(a, b) for m, a, b in zip(mirrored, varied, IMAGES, strict=True))


def test_crops_are_shifts_with_a_reflected_border():
    varied = crop_padded(IMAGES, 2, generator())
    padded = functional.pad(IMAGES, (2, 2, 2, 2), mode="reflect")
    windows = padded.unfold(2, 8, 1).unfold(3, 8, 1)
    for each, places in zip(varied, windows.permute(0, 2, 3, 1, 4, 5), strict=True):
        assert any(torch.equal(each, place) for place in places.reshape(25, 3, 8, 8))


def test_no_rotation_and_no_zoom_leave_pictures_as_they_are():
    assert torch.allclose(rotate_zoom(IMAGES, 0.0, 1.0, generator()), IMAGES, atol=1e-5)


def test_a_rotation_keeps_the_middle():
    spot = torch.zeros(4, 1, 9, 9)
    spot[:, :, 4, 4] = 1
    varied = rotate_zoom(spot, 90.0, 1.0, generator())
    assert (varied.flatten(1).argmax(1) == 40).all()


def test_a_border_of_the_mean_colour_is_zero():
    varied = crop_padded(IMAGES, 2, generator(), border="mean")
    padded = functional.pad(IMAGES, (2, 2, 2, 2))
    windows = padded.unfold(2, 8, 1).unfold(3, 8, 1)
    for each, places in zip(varied, windows.permute(0, 2, 3, 1, 4, 5), strict=True):
        assert any(torch.equal(each, place) for place in places.reshape(25, 3, 8, 8))
    turned = rotate_zoom(IMAGES, 45.0, 1.0, generator(), border="mean")
    assert int((turned[:, :, 0, 0] == 0).all(1).sum()) > int((turned[:, :, 4, 4] == 0).all(1).sum()) == 0


def test_only_a_reflected_border_is_bound_to_the_size_of_the_picture(learner):
    Augment(pad=9, border="mean").check(learner)
    with pytest.raises(ParameterError, match="pad=9 is too large for pictures of"):
        Augment(pad=9).check(learner)


def test_what_is_enlarged_lies_in_the_middle_or_anywhere_within_the_picture():
    ramp = torch.arange(32.0).expand(64, 1, 32, 32)
    places = {
        anywhere: rotate_zoom(ramp, 0.0, 4.0, generator(), anywhere=anywhere).mean((1, 2, 3)) for anywhere in (0, 1)
    }
    assert torch.allclose(places[False], torch.full((64,), 15.5), atol=1e-3)
    assert float(places[True].min()) < 8
    assert float(places[True].max()) > 23
    assert float(rotate_zoom(1 + 0 * ramp, 0.0, 4.0, generator(), anywhere=True, border="mean").min()) > 0.49


def test_light_moves_all_pixels_of_a_picture_alike():
    varied = light(IMAGES, 0.2, generator())
    for a, b in zip(varied, IMAGES, strict=True):
        slope = (a.flatten() - a.mean()) @ (b.flatten() - b.mean()) / (b.flatten() - b.mean()).square().sum()
        assert 0.8 <= float(slope) <= 1.2
        assert torch.allclose(a - a.mean(), slope * (b - b.mean()), atol=1e-5)


def test_a_square_is_cut_out():
    varied = cut_out(IMAGES, 4, generator())
    empty = (varied == 0).all(1).sum((1, 2))
    assert 0 < int(empty.min()) <= int(empty.max()) <= 25


def test_a_resized_crop_shows_a_part_of_the_wanted_size_at_the_full_size():
    assert torch.allclose(resized_crop(IMAGES, (1.0, 1.0), (1.0, 1.0), generator()), IMAGES, atol=1e-5)
    ramp = torch.arange(32.0).expand(64, 1, 16, 32)
    shown = resized_crop(ramp, (0.25, 0.25), (1.0, 1.0), generator())
    # A quarter of 16 × 32 pixels is a square of 11.3: 11.3 / 32 of the ramp.
    steps = (shown[..., 2:-2].diff(dim=-1)).mean((1, 2, 3))
    assert torch.allclose(steps, torch.full((64,), 128**0.5 / 32), atol=2e-3)
    assert float(shown.mean((1, 2, 3)).std()) > 3
    with pytest.raises(ParameterError, match=r"area=\[0, 1\]"):
        Augment(area=[0, 1])
    with pytest.raises(ParameterError, match=r"ratio=\[2, 1\]"):
        Augment(ratio=[2, 1])


def test_pictures_may_be_turned_upside_down():
    images = IMAGES.repeat(8, 1, 1, 1)
    turned = flip(images, generator(), dim=-2)
    changed = (turned != images).flatten(1).any(1)
    assert 0 < int(changed.sum()) < len(images)
    assert torch.equal(turned[changed], images[changed].flip(-2))


def test_colors_are_jittered_within_their_ranges():
    gray = torch.full((64, 3, 2, 2), 0.5)
    bright = jitter_colors(gray, 0.5, 0, 0, 0, generator())
    assert 0.25 <= float(bright.min()) < 0.3
    assert 0.7 < float(bright.max()) <= 0.75
    # Contrast and saturation of a picture of one gray, and the hue of gray, change nothing.
    assert torch.allclose(jitter_colors(gray, 0, 0.9, 0.9, 0.5, generator()), gray, atol=1e-6)


def test_hues_turn_as_colorsys_turns_them():
    import colorsys

    pixels = torch.rand(40, 3, 1, 1, generator=generator())
    shift = 0.4 * (2 * torch.rand(4, 40, 1, 1, 1, generator=generator(5)) - 1)[3].flatten()
    turned = jitter_colors(pixels, 0, 0, 0, 0.4, generator(5))
    for before, after, by in zip(pixels.flatten(1).tolist(), turned.flatten(1).tolist(), shift.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        assert after == pytest.approx(colorsys.hsv_to_rgb((hue + by) % 1, saturation, value), abs=1e-4)


def test_jitter_works_on_scaled_pictures_of_color_only(learner):
    with pytest.raises(ParameterError, match="saturation and hue of pictures with 1 channels"):
        Augment(hue=0.1).check(learner)
    with pytest.raises(ParameterError, match=r"hue at most 0\.5"):
        Augment(hue=0.6)
    augment = Augment(pad=0, flips=False, brightness=0.3)
    augment.check(learner)
    images = learner.data.train.__getitems__(range(32)).images
    seen = learner.data.pixels_of(augment.augmented(images, generator()))
    # Black stays black, whatever the scale.
    assert float(seen[learner.data.pixels_of(images) == 0].abs().max()) < 1e-6


def test_the_same_stream_gives_the_same_variations():
    augment = Augment(
        pad=2, degrees=10, zoom=1.2, lighting=0.1, cutout=2, vertical=True, area=(0.3, 1.0), ratio=(0.5, 2.0)
    )
    assert torch.equal(augment.augmented(IMAGES, generator(3)), augment.augmented(IMAGES, generator(3)))
    assert not torch.equal(augment.augmented(IMAGES, generator(3)), augment.augmented(IMAGES, generator(4)))


def test_variations_are_for_training_alone(learner):
    seen = []
    model = CourseNet(1, 10, widths=(4,))
    model.register_forward_pre_hook(lambda module, inputs: seen.append((module.training, inputs[0])))
    varied = Learner(
        model, learner.data, functional.cross_entropy, callbacks=[Augment(pad=1, lighting=0.5)], progress=False
    )
    varied.fit(1)
    judged = torch.cat([x for training, x in seen if not training])
    assert torch.equal(judged, learner.data.valid.__getitems__(range(len(learner.data.valid))).images)


def test_mixup_of_zero_is_the_plain_step(learner):
    rows = []
    for stepper in (MixUp(alpha=0.0), None):
        torch.manual_seed(0)
        model = CourseNet(1, 10, widths=(4,))
        rows.append(Learner(model, learner.data, functional.cross_entropy, stepper=stepper, progress=False).fit(1))
    assert rows[0][0]["train_loss"] == rows[1][0]["train_loss"]


def test_mixup_mixes_pictures_and_losses(learner):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    mixed = Learner(model, learner.data, functional.cross_entropy, stepper=MixUp(alpha=1.0), progress=False)
    batch = learner.data.train.__getitems__(range(32))
    draws = mixed.streams.generator("stepper")
    state = draws.get_state()
    order = torch.randperm(32, generator=draws)
    share = mixed.stepper._share(draws)
    draws.set_state(state)
    logits = model(share * batch.images + (1 - share) * batch.images[order]).detach()
    expected = share * functional.cross_entropy(logits, batch.target)
    expected += (1 - share) * functional.cross_entropy(logits, batch.target[order])
    assert float(mixed.stepper.train_step(batch)) == pytest.approx(float(expected), rel=1e-5)


def test_cutmix_puts_a_rectangle_of_another_picture_into_each():
    ones, zeros = torch.ones(2, 3, 10, 20), torch.zeros(2, 3, 10, 20)
    for seed in range(30):
        mixed, share = CutMix().mixed(zeros, ones, 0.75, generator(seed))
        assert float(mixed.mean()) == pytest.approx(1 - share, abs=1e-6)
        rows, columns = mixed[0, 0].any(1), mixed[0, 0].any(0)
        assert torch.equal(mixed[1, 2], (rows[:, None] & columns).float())
        assert int(rows.sum()) <= 5
        assert int(columns.sum()) <= 10


def test_cutmix_counts_losses_by_area(learner):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    mixed = Learner(model, learner.data, functional.cross_entropy, stepper=CutMix(), progress=False)
    batch = learner.data.train.__getitems__(range(32))
    draws = mixed.streams.generator("stepper")
    state = draws.get_state()
    order = torch.randperm(32, generator=draws)
    inputs, share = mixed.stepper.mixed(batch.images, batch.images[order], mixed.stepper._share(draws), draws)
    draws.set_state(state)
    logits = model(inputs).detach()
    expected = share * functional.cross_entropy(logits, batch.target)
    expected += (1 - share) * functional.cross_entropy(logits, batch.target[order])
    assert float(mixed.stepper.train_step(batch)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("stepper", "name"), [(MixUp, "mix_up"), (CutMix, "cut_mix")])
def test_mixing_needs_an_alpha(stepper, name):
    with pytest.raises(ParameterError, match=f"alpha must be at least 0, got -1.0\n.*stepper '{name}'"):
        stepper(alpha=-1.0)


def test_shares_of_mixup_are_a_beta_distribution():
    stepper, draws = MixUp(alpha=0.4), generator()
    shares = torch.tensor([stepper._share(draws) for _ in range(4000)])
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(shares.var()) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)


def test_without_variations_tta_is_validation(learner):
    told = tta(learner, count=0)
    assert told["accuracy"] == told["plain_accuracy"]
    assert told["loss"] == pytest.approx(learner.validate()["valid_loss"], rel=1e-4)


def test_tta_averages_the_probabilities_of_all_views_with_equal_weights(learner):
    told = tta(learner, count=2, seed=3)
    augment = Augment(pad=max(1, min(4, learner.data.facts()["image_size"][0] // 8)))
    augment.before_fit(learner)
    draws, loss, right = torch.Generator().manual_seed(3), 0.0, 0
    with learner.evaluating():
        for images, target in learner.valid_loader("valid"):
            views = [images, *(augment.augmented(images, draws) for _ in range(2))]
            mean = torch.stack([learner.model(view).softmax(-1) for view in views]).mean(0)
            loss -= float(mean[torch.arange(len(target)), target].log().sum())
            right += int((mean.argmax(-1) == target).sum())
    count = len(learner.data.valid)
    assert told["loss"] == pytest.approx(loss / count, rel=1e-5)
    assert told["accuracy"] == pytest.approx(right / count)


@pytest.mark.parametrize(("name", "count"), [("conv_net", 37_490), ("bn_net", 155_970)])
def test_the_courses_networks_have_its_numbers_of_parameters(name, count):
    model = CourseNet(3, 10, **lab_architectures()[name].params)
    assert sum(each.numel() for each in model.parameters()) == count


def test_the_stem_of_the_courses_last_network_is_a_plain_convolution_with_padding_one():
    model = CourseNet(3, 10, **lab_architectures()["resnet2"].params)
    stem = model.stages[0]
    assert isinstance(stem, nn.Conv2d)
    assert stem(torch.zeros(1, 3, 32, 32)).shape == (1, 16, 28, 28)


def test_batches_are_made_in_the_order_of_the_sampler(learner):
    data = learner.data
    first = next(iter(data.loader(data.train, SequentialSampler(len(data.train), 4))))
    assert first.target.tolist() == data.train.target[:4].tolist()


@pytest.mark.parametrize("name", ["resnet18", "vgg19"])
def test_published_weights_are_fetched_checked_and_loaded(name, tmp_path, monkeypatch):
    """From a publisher on this machine; the real ones have the same names, with digits of their own."""
    import functools
    import hashlib
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    import attrs
    from lab_text import corpora
    from lab_text.download import fetch_corpus
    from lab_vision import resnet, vgg

    module, make, changed = {
        "resnet18": (resnet, small, "layer1.0.conv1.weight"), "vgg19": (vgg, small_vgg, "features.0.weight"),
    }[name]  # fmt: skip

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    there = tmp_path / "publisher"
    there.mkdir()
    torch.save({k: v + 1 for k, v in make().state_dict().items()}, there / "weights.pth")
    digits_of_it = hashlib.sha256((there / "weights.pth").read_bytes()).hexdigest()[:8]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(module.PUBLISHED, name, digits_of_it)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(there)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        corpus = getattr(module, f"{name}_corpus")()
        [download] = corpus.downloads
        assert download.url.endswith(f"/{name}-{digits_of_it}.pth")
        served = attrs.evolve(download, url=f"http://127.0.0.1:{server.server_port}/weights.pth", size=0)
        fetch_corpus(attrs.evolve(corpus, downloads=(served,)), corpora.data_folder())
    finally:
        server.shutdown()
        server.server_close()
    monkeypatch.setattr(module, "find_corpus", lambda name: corpus)
    model = make(weights=name)
    expected = torch.load(there / "weights.pth", weights_only=True)[changed]
    assert torch.equal(model.state_dict()[changed], expected)


def small_vgg(**options):
    return VGG(3, 4, blocks=((1, 4), (2, 8)), **options)


def test_vgg_has_the_layers_of_the_book_and_the_names_of_published_weights():
    with torch.device("meta"):
        model = VGG(3, 10)
    convolutions = [name for name, each in model.features.named_children() if isinstance(each, nn.Conv2d)]
    assert convolutions[:5] + convolutions[-1:] == ["0", "2", "5", "7", "10", "34"]
    assert isinstance(model.features[28], nn.Conv2d)
    assert sum(each.numel() for each in model.features.parameters()) == 20_024_384
    assert small_vgg()(torch.zeros(2, 3, 8, 8)).shape == (2, 4)
    assert small_vgg().features(torch.zeros(2, 3, 8, 8)).shape == (2, 8, 2, 2)
    with pytest.raises(ParameterError, match=r"blocks=\[\[0, 4\]\]"):
        VGG(3, 2, blocks=((0, 4),))


def test_weights_of_vgg_load_without_their_dense_layers(tmp_path):
    published = {name: tensor for name, tensor in small_vgg().state_dict().items() if name.startswith("features.")}
    torch.save(published | {"classifier.0.weight": torch.zeros(4, 4)}, tmp_path / "vgg.pth")
    model = small_vgg(weights=tmp_path / "vgg.pth")
    assert torch.equal(model.features[3].weight, published["features.3.weight"])
    corpus = vgg19_corpus()
    assert corpus.downloads[0].url.endswith(f"/vgg19-{corpus.downloads[0].sha256_starts}.pth")
    torch.save({**published, "features.0.weight": torch.zeros(9, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(StoreError, match="these weights belong to another architecture"):
        small_vgg(weights=tmp_path / "other.pth")


class _Brightness(nn.Module):
    """A body whose features are the mean of the picture."""

    width = 1

    def features(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3), keepdim=True)


class _Darkness(_Brightness):
    """The same weights, of which there are none, and the same text: other features."""

    def features(self, images: Tensor) -> Tensor:
        return -images.mean((1, 2, 3), keepdim=True)

    def __repr__(self) -> str:
        return "_Brightness()"


def test_features_of_another_body_are_not_taken_from_the_cache() -> None:
    images = digits()
    bright, dark = (precompute(body(), images, pool="average").train.values for body in (_Brightness, _Darkness))
    assert torch.equal(bright, -dark)

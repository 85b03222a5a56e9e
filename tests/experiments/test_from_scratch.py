"""Parts of the experiments that write a lesson out by hand: they compute what their formulas say."""

from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lab_text.corpora import find_corpus
from torch import nn

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def load(name):
    """Import an experiment by the name of its file."""
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", EXPERIMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_features_of_a_polynomial_are_powers_over_factorials():
    features = load("polynomial_fit").features_of(torch.tensor([2.0, -1.0]), 3)
    torch.testing.assert_close(features, torch.tensor([[1, 2, 2, 8 / 6], [1, -1, 0.5, -1 / 6]]))


def test_weight_decay_by_hand_is_torchs():
    module, draws = load("weight_decay_200"), torch.Generator().manual_seed(0)
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    target = inputs.sum(1)
    start = torch.randn(3, generator=torch.Generator().manual_seed(0))
    kept = module.descend(inputs, target, 3.0, 0.01, draws, 4)
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(start[None])
        model.bias.zero_()
    groups = [{"params": [model.weight], "weight_decay": 3.0}, {"params": [model.bias]}]
    optimizer = torch.optim.SGD(groups, lr=0.01)
    for _ in range(4):
        optimizer.zero_grad()
        ((model(inputs)[:, 0] - target).square() / 2).mean().backward()
        optimizer.step()
    torch.testing.assert_close(kept[-1], torch.cat([model.weight[0], model.bias]).detach())


@pytest.mark.parametrize(
    ("init", "deviation"), [("normal", 0.01), ("xavier", (2 / 128) ** 0.5), ("kaiming", (2 / 64) ** 0.5)]
)
def test_initial_weights_have_the_spread_of_their_rule(init, deviation):
    [layer] = load("initialization").make_layers([64, 64], init, torch.Generator().manual_seed(0))
    assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.05)
    assert not layer.bias.any()


def test_orthogonal_weights_keep_lengths_and_constant_ones_keep_units_equal():
    module = load("initialization")
    [orthogonal] = module.make_layers([8, 8], "orthogonal", torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonal.weight @ orthogonal.weight.T, torch.eye(8), atol=1e-5, rtol=0)
    layers = module.make_layers([4, 8, 8, 2], "constant", torch.Generator().manual_seed(0))
    hidden = module.forward(layers, torch.randn(3, 4), "tanh")[1]
    torch.testing.assert_close(hidden, hidden[:, :1].expand_as(hidden))


def test_weights_of_a_covariate_shift_are_the_ratio_of_the_densities():
    draws = torch.Generator().manual_seed(0)
    train, test = torch.randn(4000, 1, generator=draws), torch.randn(4000, 1, generator=draws) + 0.5
    weights = load("distribution_shift").covariate_weights(train, test)
    # log N(x; 0.5, 1) - log N(x; 0, 1) = 0.5 x - 0.125
    expected = (0.5 * train[:, 0] - 0.125).exp()
    assert float((weights - expected).abs().mean()) < 0.08


def test_class_frequencies_of_a_label_shift_solve_the_confusion_matrix():
    confusion, truth = torch.tensor([[0.9, 0.2], [0.1, 0.8]]), torch.tensor([0.3, 0.7])
    found = load("distribution_shift").test_frequencies(confusion, confusion @ truth)
    torch.testing.assert_close(found, truth)


def test_predictions_ahead_are_fed_back():
    class Add(nn.Module):
        def forward(self, x):
            return x.sum(1, keepdim=True)

    module, series = load("autoregression"), torch.tensor([1.0, 1.0, 2.0, 3.0, 5.0, 8.0])
    # Each number is the sum of the two before: the rule predicts Fibonacci's numbers any number of steps ahead.
    ahead = module.predict_ahead(Add(), series, 2, 3)
    assert ahead.tolist() == [[2, 3, 5], [3, 5, 8]]
    assert module.roll(Add(), series[-2:], 3).tolist() == [13, 21, 34]


def test_runs_of_words_are_counted_and_a_power_law_has_its_exponent():
    module = load("zipf")
    found = module.grams(["the", "cat", "and", "the", "cat"], 2)
    assert found == {("the", "cat"): 2, ("cat", "and"): 1, ("and", "the"): 1}
    counts = [round(1e9 / rank**1.3) for rank in range(1, 500)]
    line = module.zipf_line(counts)
    assert (line.exponent, line.r_squared) == pytest.approx((1.3, 1.0), abs=1e-4)
    assert (line.height, line.first, line.last) == (pytest.approx(math.log(1e9), abs=1e-3), 10, 499)


def test_the_fit_of_a_zipf_line_is_that_of_a_regression():
    counts = [90, 41, 33, 20, 19, 8, 6, 5]
    line = load("zipf").zipf_line(counts, first=1)
    ranks = np.log(np.arange(1, 9))
    expected = np.polyfit(ranks, np.log(counts), 1)
    assert (-line.exponent, line.height) == pytest.approx(tuple(expected))
    assert line.r_squared == pytest.approx(np.corrcoef(ranks, np.log(counts))[0, 1] ** 2)


def test_dropout_by_hand_keeps_the_mean_and_does_nothing_in_evaluation():
    dropout, ones = load("dropout_by_hand").HandDropout(0.2), torch.ones(200, 500)
    torch.manual_seed(0)
    found = dropout(ones)
    assert sorted(found.unique().tolist()) == pytest.approx([0.0, 1.25])
    assert float((found == 0).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert torch.equal(dropout.eval()(ones), ones)


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_by_hand_of_nothing_or_everything(probability, expected):
    found = load("dropout_by_hand").HandDropout(probability)(torch.ones(3))
    assert found.tolist() == [expected] * 3


@pytest.mark.parametrize("method", ["one_worker", "server", "parts", "ring"])
@pytest.mark.parametrize("workers", [2, 3, 8])
def test_every_way_to_add_gives_every_worker_the_sum(method, workers):
    vectors = list(torch.randn(workers, 4 * workers, generator=torch.Generator().manual_seed(0)))
    sums, _ = load("ring_or_server").all_reduce(vectors, method)
    for each in sums:
        torch.testing.assert_close(each, torch.stack(vectors).sum(0))


@pytest.mark.parametrize(("method", "expected"), [("one_worker", 60), ("server", 80), ("parts", 15)])
def test_the_books_times_of_adding_among_four_devices(method, expected):
    module = load("ring_or_server")
    _, transfers = module.all_reduce(list(torch.ones(4, 64)), method)
    assert module.milliseconds(transfers, 160, 16) == pytest.approx(expected)


def test_a_ring_among_eight_takes_six_milliseconds_but_for_an_eighth():
    module = load("ring_or_server")
    _, transfers = module.all_reduce(list(torch.ones(8, 64)), "ring")
    assert module.milliseconds(transfers, 160, 54) == pytest.approx(2 * 160 / 54 * 7 / 8)
    # every worker sends the same, in 2 (n - 1) steps, each with its latency
    assert len(transfers) == 8 * 14
    assert module.milliseconds(transfers, 0, 54, latency_us=10) == pytest.approx(0.14)


def _gradients_by_hand(parts: int, batch: tuple) -> dict:
    """Return the gradients of a split batch."""
    from lab import Data, Learner

    module = load("data_parallel_by_hand")
    torch.manual_seed(0)
    net = module.make_net(12, 3)
    examples = torch.utils.data.TensorDataset(*batch)
    learner = Learner(net, Data(examples, examples), nn.functional.cross_entropy, progress=False)
    stepper = module.ByHand(devices=parts)
    stepper.attach(learner)
    stepper.optimizer_step = lambda: None
    stepper.train_step(batch)
    return {name: weight.grad for name, weight in net.named_parameters()}


def _batch() -> tuple:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(10, 12, generator=generator), torch.arange(10) % 3


@pytest.mark.parametrize("parts", [2, 3, 4, 12])
def test_a_split_batch_has_the_gradients_of_the_whole_one(parts):
    whole = _gradients_by_hand(1, _batch())
    for name, gradient in _gradients_by_hand(parts, _batch()).items():
        torch.testing.assert_close(gradient, whole[name])


def _gradients_of_ddp(rank, folder):
    """Write the gradients that DDP has of its half of the batch, which it averages over two processes."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    module = load("data_parallel_by_hand")
    torch.manual_seed(0)
    net = module.make_net(12, 3)
    points, target = (each.tensor_split(2)[rank] for each in _batch())
    # held until the backward pass: without its reducer, gradients would stay those of this half
    together = nn.parallel.DistributedDataParallel(net)
    nn.functional.cross_entropy(together(points), target).backward()
    if rank == 0:
        torch.save({name: weight.grad for name, weight in net.named_parameters()}, folder / "gradients.pt")
    torch.distributed.destroy_process_group()


def test_data_parallel_by_hand_has_the_gradients_of_ddp(tmp_path):
    torch.multiprocessing.spawn(_gradients_of_ddp, (tmp_path,), nprocs=2)
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    for name, gradient in _gradients_by_hand(2, _batch()).items():
        torch.testing.assert_close(found[name], gradient)


@pytest.mark.skipif("LAB_DATA" not in os.environ, reason="needs house_prices in LAB_DATA")
def test_house_prices_are_prepared_as_in_the_book():
    data = load("book_house_prices").book_rows(folds=5, fold=1)
    rows, prices = data.valid.tensors
    assert (len(data.train), len(data.valid), data.features) == (1168, 292, 330)
    assert prices[0] == pd.read_csv(find_corpus("house_prices").path("train"))["SalePrice"][292]
    assert rows.isfinite().all()


def test_a_cross_correlation_by_hand_has_the_numbers_of_the_book():
    module = load("convolution_by_hand")
    picture, kernel = torch.arange(9.0).reshape(3, 3), torch.arange(4.0).reshape(2, 2)
    assert module.correlate(picture, kernel).tolist() == [[19, 25], [37, 43]]
    assert module.correlate_channels(torch.stack([picture, picture + 1]), torch.stack([kernel, kernel + 1])[None])[
        0
    ].tolist() == [[56, 72], [104, 120]]
    assert module.pool(picture, 2).tolist() == [[4, 5], [7, 8]]
    assert module.pool(picture, 2, mean=True).tolist() == [[2, 3], [5, 6]]


def test_a_transposed_convolution_by_hand_has_the_numbers_of_the_book_and_is_torchs():
    transpose, picture = load("convolution_by_hand").transpose, torch.arange(4.0).reshape(2, 2)
    assert transpose(picture, picture).tolist() == [[0, 0, 1], [0, 4, 6], [4, 12, 9]]
    draws = torch.Generator().manual_seed(0)
    picture, kernel = torch.randn(4, 3, generator=draws), torch.randn(2, 3, generator=draws)
    torchs = nn.functional.conv_transpose2d(picture[None, None], kernel[None, None])[0, 0]
    torch.testing.assert_close(transpose(picture, kernel), torchs)


def test_convolutions_by_hand_are_torchs():
    module, draws = load("convolution_by_hand"), torch.Generator().manual_seed(0)
    picture = torch.randn(3, 5, 4, generator=draws)
    for hand, kernels in (
        (module.correlate_channels, torch.randn(2, 3, 3, 2, generator=draws)),
        (module.mix_channels, torch.randn(2, 3, 1, 1, generator=draws)),
    ):
        torch.testing.assert_close(hand(picture, kernels), nn.functional.conv2d(picture[None], kernels)[0])


def test_a_step_of_linear_regression_by_hand_is_torchs_at_half_the_rate():
    module = load("book_linear")
    x, y = module.points(torch.Generator().manual_seed(0))
    weights, bias = torch.tensor([0.5, -0.5]), torch.zeros(1)
    model = nn.Linear(2, 1)
    model.load_state_dict({"weight": weights[None].clone(), "bias": bias.clone()})
    module.step_by_hand(weights, bias, x, y, 0.06)
    module.step_by_torch(model, torch.optim.SGD(model.parameters(), lr=0.03), x, y)
    torch.testing.assert_close(model.weight[0].detach(), weights)
    torch.testing.assert_close(model.bias.detach(), bias)


def _descend(surface: str, lr: float, steps: int, newton: dict | None = None, **options) -> torch.Tensor:
    """Return the last point of a descent by lab's loop."""
    from functools import partial

    from lab import Learner

    module = load("optimizer_trajectories")
    data = module.descent(surface=surface, steps=steps)
    stepper = None if newton is None else module.Newton(**newton)
    optimizer = partial(torch.optim.SGD, **options)
    model = module.Point(data.surface, data.start)
    Learner(model, data, module.height, stepper=stepper, optimizer=optimizer, lr=lr, batch_size=1, progress=False).fit(
        1
    )
    return model.point.detach()


@pytest.mark.parametrize(
    ("surface", "lr", "steps", "options", "printed"),
    [
        ("parabola", 0.2, 10, {}, [0.060466]),
        ("parabola", 0.05, 10, {}, [3.486784]),
        ("parabola", 1.1, 10, {}, [61.917364]),
        ("waves", 2.0, 10, {}, [-1.528166]),
        ("bowl", 0.1, 20, {}, [-0.057646, -0.000073]),
        ("ellipse", 0.6, 20, {"momentum": 0.5}, [0.0072, 0.0026]),
        ("ellipse", 0.6, 20, {"momentum": 0.25}, [-0.126, -0.187]),
    ],
)
def test_descents_end_where_the_book_prints(surface, lr, steps, options, printed):
    assert _descend(surface, lr, steps, **options).tolist() == pytest.approx(printed, rel=1e-5, abs=5e-4)


@pytest.mark.parametrize(
    ("surface", "lr", "printed"), [("chain", 1.0, [0.0]), ("waves", 1.0, [26.8341]), ("waves", 0.5, [7.26986])]
)
def test_newtons_method_ends_where_the_book_prints(surface, lr, printed):
    assert _descend(surface, lr, 10, newton={}).tolist() == pytest.approx(printed, abs=1e-3)


def test_newtons_method_solves_a_quadratic_in_one_step():
    assert _descend("bowl", 1.0, 1, newton={}).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_newtons_method_by_absolute_curvature_leaves_a_saddle():
    assert abs(_descend("saddle", 0.5, 20, newton={"absolute": True})[1]) > 1
    assert abs(_descend("saddle", 0.5, 20, newton={})[1]) < 1e-6


def test_noise_moves_a_descent_and_has_no_height():
    module = load("optimizer_trajectories")
    point = module.Point("bowl", (-5.0, -2.0))
    assert point(torch.tensor([[3.0, 4.0]])).item() == 33
    point(torch.tensor([[3.0, 4.0]])).sum().backward()
    assert point.point.grad.tolist() == [-10 + 3, -8 + 4]


def test_a_picture_of_a_descent_holds_every_surface():
    module = load("optimizer_trajectories")
    for name, surface in module.SURFACES.items():
        start = torch.tensor(module.STARTS.get(name, (10.0,)))
        figure = module.draw(surface, torch.stack([start, start / 2]))
        # the path is drawn last
        assert len(figure.axes[0].lines[-1].get_xdata()) == 2


def test_schedules_have_the_rates_that_the_book_plots():
    module = load("book_schedules")
    rates = [[module.RATE * rate(epoch) for epoch in (0, 5, 15, 20, 29)] for rate in (module.multistep, module.cosine)]
    assert rates[0] == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.25])
    assert rates[1][0] == pytest.approx(0.3)
    assert rates[1][3:] == pytest.approx([0.01, 0.01])
    warmed = [module.RATE * module.warmed_up(epoch) for epoch in (0, 4, 5, 20)]
    assert warmed == pytest.approx([0.0, 0.24, 0.3, 0.01])
    assert module.RATE * module.square_root(3) == pytest.approx(0.05)


@pytest.mark.skipif(not os.environ.get("LAB_DATA"), reason="LAB_DATA is not set: The Time Machine is not here")
def test_the_time_machine_has_the_counts_that_the_book_prints():
    from lab_charlm.data import char_text

    data = char_text("timemachine")
    text = data.vocab.decode(torch.cat([data.train.ids, data.valid.ids]).tolist())
    words = "".join(letter if "a" <= letter <= "z" else " " for letter in text).split()
    most = [load("zipf").grams(words, n).most_common(1)[0] for n in (1, 2, 3)]
    assert most == [(("the",), 2261), (("of", "the"), 309), (("the", "time", "traveller"), 59)]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_smoothed_counts_are_probabilities_at_each_level(n: int) -> None:
    module, words = load("laplace_smoothing"), ["a", "b", "a", "b", "b", "c", "a", "a", "b"]
    counts = module.SmoothedCounts(words, n, (1.0, 2.0, 3.0), 4)
    for context in ((), ("a",), ("a", "b"), ("c", "z")):
        total = sum(counts.probability(context[: n - 1], word) for word in ("a", "b", "c", "<unk>"))
        assert total == pytest.approx(1)


def test_smoothing_of_pairs_is_the_books_formula() -> None:
    module, words = load("laplace_smoothing"), ["a", "b", "a", "b", "b", "c", "a", "a", "b"]
    counts = module.SmoothedCounts(words, 2, (1.0, 2.0, 3.0), 4)
    single = (4 + 1 / 4) / (9 + 1)  # of b: 4 of 9 words
    assert counts.probability((), "b") == pytest.approx(single)
    assert counts.probability(("a",), "b") == pytest.approx((3 + 2 * single) / (4 + 2))


@pytest.mark.parametrize(
    ("case", "printed"),
    [
        ("x², 0.2", [0.060466]),
        ("x², 0.05", [3.486784]),
        ("x², 1.1", [61.917364]),
        ("waves, 2", [-1.528166]),
        ("bowl, 0.1", [-0.057646, -0.000073]),
        ("Newton on cosh", [0.0]),
        ("Newton on waves", [26.83413]),
        ("Newton on waves, half", [7.26986]),
    ],
)
def test_descents_by_hand_end_where_the_book_prints(case, printed):
    module = load("descents_by_hand")
    way = module.way_of(module.CASES[case], torch.Generator())
    assert way[-1].tolist() == pytest.approx(printed, rel=1e-5, abs=1e-5)


def test_noise_of_a_descent_by_hand_is_drawn_from_the_stream_of_the_run():
    module = load("descents_by_hand")
    ends = [
        module.way_of(module.CASES["noise, constant"], torch.Generator().manual_seed(seed))[-1] for seed in (0, 0, 1)
    ]
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@pytest.mark.parametrize("way", ["by element", "by column", "at once", "in blocks"])
def test_every_way_to_multiply_gives_the_same_matrix(way):
    left, right = torch.randn(10, 10), torch.randn(10, 10)
    torch.testing.assert_close(load("vectorized_or_not").multiply(left, right, way, 4), left @ right)


@pytest.mark.parametrize("layers", [(), (12,)])
def test_softmax_regression_and_a_perceptron_by_hand_have_the_gradients_of_torchs_layers(layers):
    from lab_vision.models import SoftmaxRegression

    module = load("softmax_by_hand")
    ours, theirs = module.ByHand(6, 3, layers=layers), SoftmaxRegression(6, 3, layers=layers)
    linear = [each for each in theirs.net if isinstance(each, nn.Linear)]
    for layer, weight, bias in zip(linear, ours.weights, ours.biases, strict=True):
        layer.weight.data, layer.bias.data = weight.data.T.clone(), bias.data.clone()
    pictures, target = torch.randn(5, 1, 2, 3), torch.tensor([0, 2, 1, 1, 0])
    module.cross_entropy_by_hand(ours(pictures), target).backward()
    nn.functional.cross_entropy(theirs(pictures), target).backward()
    for layer, weight, bias in zip(linear, ours.weights, ours.biases, strict=True):
        torch.testing.assert_close(weight.grad.T, layer.weight.grad)
        torch.testing.assert_close(bias.grad, layer.bias.grad)


def test_softmax_by_hand_does_not_overflow():
    assert load("softmax_by_hand").softmax(torch.tensor([[1000.0, 0.0]])).tolist() == [[1.0, 0.0]]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("form", ["plain", "scripted", "traced", "exported"])
def test_a_file_of_the_net_holds_its_164_482_numbers(form):
    module = load("compiled_or_not")
    size = module.size_of_file(module.make_net(), form, torch.randn(1, 512))
    assert 4 * 164_482 < size < 4 * 164_482 + 20_000


def test_the_book_lenet_refuses_pictures_of_another_size():
    from lab.errors import ParameterError

    with pytest.raises(ParameterError, match="28 × 28"):
        load("data_parallel_by_hand").BookLeNet(10, [0.5], [0.5], (8, 8))


def test_features_of_a_polynomial_of_degree_200_are_numbers():
    assert load("polynomial_fit").features_of(torch.tensor([2.0]), 200).isfinite().all()

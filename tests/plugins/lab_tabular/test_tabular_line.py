"""The line: by hand and by torch."""

from __future__ import annotations

import pytest
import torch
from lab_basics.losses import mse
from lab_tabular.line import ByHand, Line, LineFilm, line

from lab import Learner
from lab.errors import LabError, ParameterError


def trained(stepper, epochs=20):
    learner = Learner(
        Line(), line(), mse, optimizer=torch.optim.SGD, lr=0.2, batch_size=16, stepper=stepper, progress=False
    )
    learner.fit(epochs)
    return learner


def test_derivatives_by_hand_are_those_of_torch():
    by_hand, by_torch = trained(ByHand()), trained(None)
    assert by_hand.model.slope.item() == pytest.approx(by_torch.model.slope.item(), abs=1e-5)
    assert by_hand.model.intercept.item() == pytest.approx(by_torch.model.intercept.item(), abs=1e-5)


def test_the_line_is_found():
    learner = trained(None, epochs=60)
    assert learner.model.slope.item() == pytest.approx(3, abs=0.2)
    assert learner.model.intercept.item() == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize("stepper", [None, ByHand()])
def test_a_plane_of_several_variables_is_found(stepper):
    # ten thousand points in full batches, as in the course
    data = line(slope=(3.0, -2.0), intercept=8.0, count=10_000, noise=0.3)
    learner = Learner(
        Line(data.input_size), data, mse, optimizer=torch.optim.SGD, lr=0.4, batch_size=8_000, stepper=stepper,
        progress=False,
    )  # fmt: skip
    learner.fit(400)
    assert learner.model.slope.tolist() == pytest.approx([3, -2], abs=0.05)
    assert learner.model.intercept.item() == pytest.approx(8, abs=0.05)


def test_by_hand_is_for_lines_only():
    learner = Learner(torch.nn.Linear(1, 1), line(), mse, stepper=ByHand(), progress=False)
    with pytest.raises(LabError, match="needs the architecture 'line'"):
        learner.fit(1)


def test_the_film_is_a_gif_with_so_many_pictures(tmp_path):
    from PIL import Image

    film = LineFilm(frames=3)
    learner = Learner(Line(), line(), mse, lr=0.1, callbacks=[film], folder=tmp_path, progress=False)
    learner.fit(2)
    with Image.open(tmp_path / "artefacts" / "line.gif") as picture:
        assert (picture.format, picture.n_frames) == ("GIF", 3)


@pytest.mark.parametrize(("start", "expected"), [("zeros", (0.0, 0.0)), ((-1.0, 1.0), (-1.0, 1.0))])
def test_a_line_starts_where_it_is_told(start, expected):
    model = Line(start=start)
    assert (model.slope.item(), model.intercept.item()) == expected


def test_a_line_may_start_at_random():
    torch.manual_seed(0)
    first = Line(start="random").slope.item()
    assert first != Line(start="random").slope.item()


def test_another_start_of_a_line_is_refused():
    with pytest.raises(ParameterError, match="start='somewhere'"):
        Line(start="somewhere")

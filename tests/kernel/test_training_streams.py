"""Named random streams."""

from __future__ import annotations

import torch
from torch import nn

from lab.training import Streams, part


class Parts(nn.Module):
    """Two parts, of which the first may be left out."""

    def __init__(self, *, with_first: bool = True, nested: bool = False) -> None:
        super().__init__()
        if with_first:
            with part("first"):
                self.first = nn.Linear(3, 3)
        with part("second"):
            self.second = nn.Linear(3, 3)
            if nested:
                with part("inner"):
                    self.inner = nn.Linear(3, 3)


def _build(seed: int = 0, **options: bool) -> Parts:
    with Streams(seed).initializing():
        return Parts(**options)


def test_a_part_has_the_same_initial_weights_whatever_else_is_built() -> None:
    assert torch.equal(_build().second.weight, _build(with_first=False).second.weight)


def test_parts_of_other_names_and_seeds_have_other_weights() -> None:
    model = _build()
    assert not torch.equal(model.first.weight, model.second.weight)
    assert not torch.equal(model.second.weight, _build(1).second.weight)


def test_parts_nest() -> None:
    with Streams(0).initializing() as parts:
        Parts(nested=True)
    assert parts.names == ["first", "second", "second/inner"]


def test_a_part_does_nothing_outside_a_run() -> None:
    torch.manual_seed(0)
    inside = Parts()
    torch.manual_seed(0)
    assert torch.equal(nn.Linear(3, 3).weight, inside.first.weight)


def test_building_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    _build()
    assert torch.equal(torch.rand(1), expected)


def test_streams_of_one_seed_are_independent_of_each_other() -> None:
    one, two = Streams(0), Streams(0)
    one.generator("sampler").manual_seed(9)
    assert torch.equal(
        torch.rand(2, generator=one.generator("stepper")), torch.rand(2, generator=two.generator("stepper"))
    )


def test_a_stream_goes_on_where_its_state_was_taken() -> None:
    streams = Streams(0)
    torch.rand(3, generator=streams.generator("stepper"))
    state = streams.state_dict()
    expected = torch.rand(3, generator=streams.generator("stepper"))
    again = Streams(0)
    again.load_state_dict(state)
    assert torch.equal(torch.rand(3, generator=again.generator("stepper")), expected)


def test_a_stream_restarts_at_the_same_place_for_the_same_moment() -> None:
    streams = Streams(0)
    first = torch.rand(2, generator=streams.restart("sampler", 3))
    torch.rand(7, generator=streams.generator("sampler"))
    assert torch.equal(torch.rand(2, generator=streams.restart("sampler", 3)), first)
    assert not torch.equal(torch.rand(2, generator=streams.restart("sampler", 4)), first)

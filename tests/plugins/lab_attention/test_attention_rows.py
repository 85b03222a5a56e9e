from __future__ import annotations

import pytest
import torch
from lab_attention.fused.linear import DeferredLinear
from lab_attention.fused.rows import Rows, aligned, pad_rows, times, weight_gradient


@pytest.mark.parametrize("expected", [0, 400])
def test_parts_are_kept_one_behind_the_other_however_many_come(expected: int) -> None:
    parts = [torch.full((size, 3), float(size)) for size in (125, 125, 90, 7, 1)]
    rows = Rows(parts[0], expected)
    for part in parts:
        rounded = rows.read(rows.add(part), len(part))
        assert len(rounded) % 16 == 0
        assert torch.equal(rounded[: len(part)], part)
    together = rows.all(rows.count)
    assert torch.equal(together[: rows.count], torch.cat(parts))
    assert not together[rows.count :].any()


@pytest.mark.parametrize("count", [16, 125, 640, 1100, 2100])
def test_products_in_blocks_are_the_products(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, given = (torch.randn(count, width, generator=generator, dtype=torch.float64) for width in (30, 20))
    weight, bias = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((20, 30), (20,)))
    torch.testing.assert_close(times(x, weight.t(), bias), x @ weight.t() + bias)
    torch.testing.assert_close(times(x, weight.t()), x @ weight.t())
    torch.testing.assert_close(weight_gradient(given, x), given.t() @ x)


def test_rows_are_padded_with_zeros() -> None:
    rounded = pad_rows(torch.ones(130, 2))
    assert rounded.shape == (256, 2)
    assert rounded.sum() == 260


def test_a_use_that_nobody_needs_has_no_part_in_the_gradient() -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    apply = DeferredLinear(weight)
    x = torch.randn(5, 3)
    apply(torch.full((5, 3), 7.0))
    apply(x).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(4, 3))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_rows_of_an_aligned_matrix_begin_on_cache_lines(kind: torch.dtype) -> None:
    matrix = torch.randn(5, 300).to(kind)
    copy = aligned(matrix)
    assert torch.equal(copy, matrix)
    assert all(row.data_ptr() % 64 == 0 for row in copy)


def test_uses_of_many_rows_and_of_few_make_one_gradient() -> None:
    weight, bias = torch.randn(4, 3, requires_grad=True), torch.randn(4, requires_grad=True)
    apply = DeferredLinear(weight, bias)
    parts = [torch.randn(count, 3, requires_grad=True) for count in (600, 5, 1300, 7)]
    found = torch.autograd.grad(sum(apply(x).sin().sum() for x in parts), [weight, bias, *parts])
    together = torch.nn.functional.linear(torch.cat(parts), weight, bias).sin().sum()
    expected = torch.autograd.grad(together, [weight, bias, *parts])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

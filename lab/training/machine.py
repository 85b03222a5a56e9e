"""Two settings of the process that let this CPU do what it can; both leave float32 results at full precision.

Matrix products: torch sends them to MKL, which on AMD processors does without AVX-512; oneDNN, which torch brings
along, does use it and is about twice as fast there. oneDNN is asked for by allowing it bfloat16 inside float32
products. A processor without AMX has no use for that leave and computes in float32 all the same; one that has is found
out by a probe, and then nothing is changed.

Memory: glibc gives every large block back to the system when it is freed, so that the logits of every step are mapped,
and their pages cleared, anew. Kept in the heap they are used again.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

__all__ = ["Tuning", "give_memory_back", "products_of_any_shape", "tune", "tuned"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of glibc's mallopt
_KEEP, _AS_USUAL = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1)), ((_MMAP_MAX, 65536), (_TRIM_THRESHOLD, 128 * 1024))

_GIVE_BACK = (*_AS_USUAL, (_MMAP_THRESHOLD, 256 * 1024))


class Tuning(NamedTuple):
    """What was changed.

    Attributes:
        products: matrix products go through oneDNN.
        memory: freed memory is kept for use.
    """

    products: bool
    memory: bool


@lru_cache
def tune() -> Tuning:
    """Choose both settings for the rest of the process, where they help and cost no precision."""
    return Tuning(_products_through_onednn(), _set_allocator(_KEEP))


@contextmanager
def tuned() -> Iterator[Tuning]:
    """Both settings inside the block, torch's own afterwards."""
    precision = _matmul().fp32_precision
    try:
        yield tune.__wrapped__()
    finally:
        _matmul().fp32_precision = precision
        _set_allocator(_AS_USUAL)


def give_memory_back() -> None:
    """From now on every large block goes back to the system when it is freed, at the price of clearing it anew.

    For who trains in little memory. By itself glibc keeps the more, the larger the blocks are that it sees freed.
    """
    _set_allocator(_GIVE_BACK)


@contextmanager
def products_of_any_shape() -> Iterator[None]:
    """Inside, matrix products are torch's own, whatever was tuned.

    oneDNN compiles a product for every shape that it meets and keeps it, a millisecond and half a megabyte each; where
    there are many small ones of many shapes, that is not worth it.
    """
    settings = _matmul()
    before = settings.fp32_precision
    if before == "none":
        yield
        return
    settings.fp32_precision = "none"
    try:
        yield
    finally:
        settings.fp32_precision = before


def _products_through_onednn() -> bool:
    """Decided by the processor and by precision, never by a clock: the same machine always computes alike."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (has_onednn and _is_amd() and torch.backends.cpu.get_cpu_capability() == "AVX512"):
        return False
    before = _matmul().fp32_precision
    _matmul().fp32_precision = "bf16"
    if _keeps_full_precision():
        return True
    _matmul().fp32_precision = before
    return False


def _matmul() -> Any:
    """The settings of oneDNN's matrix products, which torch's annotations do not know."""
    return torch.backends.mkldnn.matmul  # type: ignore[attr-defined]


def _keeps_full_precision() -> bool:
    """Float32 products agree with float64 to 1e-5 of the largest entry; bfloat16 would miss by 1e-3 or more."""
    generator = torch.Generator().manual_seed(0)
    for rows, inner, columns in ((125, 300, 900), (512, 256, 512), (7, 300, 64)):
        left = torch.randn(rows, inner, generator=generator)
        right = torch.randn(columns, inner, generator=generator)
        exact = left.double() @ right.double().t()
        if (left @ right.t() - exact).abs().max() > 1e-5 * exact.abs().max():
            return False
    return True


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _set_allocator(options: tuple[tuple[int, int], ...]) -> bool:
    """Whether this is glibc and took every option."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, value) for name, value in options)

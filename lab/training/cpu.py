"""CPU settings of the process that keep float32 results at full precision.

Matrix products: torch sends them to MKL, which on AMD processors does not use AVX-512; oneDNN, which torch also links,
does, and is about twice as fast there. oneDNN takes over when it is permitted to use bfloat16 inside float32 products.
Without AMX the CPU ignores the permission and still computes in float32. With AMX it would use bfloat16, so we probe
for it and then change nothing. Under the permission ``torch.get_float32_matmul_precision`` raises, since CPU and GPU
have different ones; ``torch.backends.mkldnn.matmul.fp32_precision`` says what holds.

Memory: glibc returns every large block to the system when it is freed, so that the logits of every step are mapped,
and their pages cleared, anew. Kept in the heap they are reused.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lab.files import IS_WINDOWS

__all__ = ["CpuSettings", "configure_cpu", "configured_cpu", "trim_heap", "without_onednn"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of glibc's mallopt
_KEEP = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1))
_DEFAULT = ((_MMAP_MAX, 65536), (_TRIM_THRESHOLD, 128 * 1024))


class CpuSettings(NamedTuple):
    """Settings that were changed.

    Attributes:
        onednn_matmul: matrix products go through oneDNN.
        keep_heap: freed memory stays in the heap.
    """

    onednn_matmul: bool
    keep_heap: bool


@lru_cache
def configure_cpu() -> CpuSettings:
    """Choose both settings for the rest of the process, where they help and cost no precision."""
    return CpuSettings(_enable_onednn(), _set_allocator(_KEEP))


@contextmanager
def configured_cpu() -> Iterator[CpuSettings]:
    """Apply both settings inside the block, and torch's own after it."""
    precision = _matmul().fp32_precision
    try:
        yield configure_cpu.__wrapped__()
    finally:
        _matmul().fp32_precision = precision
        _set_allocator(_DEFAULT)


def trim_heap() -> None:
    """Return every large block to the system when it is freed, at the price of clearing it anew.

    For training in little memory.
    """
    # an explicit threshold also switches off glibc's dynamic one, which grows with the blocks that are freed
    _set_allocator((*_DEFAULT, (_MMAP_THRESHOLD, 256 * 1024)))


@contextmanager
def without_onednn() -> Iterator[None]:
    """Compute matrix products by torch's own kernels inside the block, whatever was configured.

    oneDNN compiles a product for every shape that it meets and keeps it, a millisecond and half a megabyte each; for
    many small products of many shapes that does not pay.
    """
    settings = _matmul()
    before = settings.fp32_precision
    if before != "none":
        settings.fp32_precision = "none"
    try:
        yield
    finally:
        if before != "none":
            settings.fp32_precision = before


def _enable_onednn() -> bool:
    """Enable oneDNN by the processor and by precision, never by a clock: the same machine always computes alike."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (has_onednn and _is_amd() and torch.backends.cpu.get_cpu_capability() == "AVX512"):
        return False
    # a permission, not an order: without AMX oneDNN computes in float32 all the same
    before = _matmul().fp32_precision
    _matmul().fp32_precision = "bf16"
    if _keeps_full_precision():
        return True
    _matmul().fp32_precision = before
    return False


def _matmul() -> Any:
    return torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # torch's annotations do not know it


def _keeps_full_precision() -> bool:
    """Return whether float32 products agree with float64 to 1e-5 of the largest entry; bfloat16 misses by 1e-3."""
    generator = torch.Generator().manual_seed(0)
    # shapes of the products of a small, a large and a recurrent layer: a library may choose its kernel by shape
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
    """Return whether this is glibc and it took every option."""
    # macOS and musl have no mallopt; Windows has no library without a name
    mallopt = None if IS_WINDOWS else getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, value) for name, value in options)

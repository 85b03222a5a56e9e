"""Training batches as tables of text: what a model sees, for data of any kind.

Data says itself how its examples read, with a method ``batch_table(batch, count)`` that returns rows of cells, the
header first; fast.ai's ``show_batch``. Of other data, shapes and first values are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lab.training.state import CancelFit
from lab.training.stepper import Stepper

if TYPE_CHECKING:
    from lab.training.data import Data
    from lab.training.learner import Learner

__all__ = ["batch_table", "first_batch", "layout", "show_batch"]

MAX_WIDTH = 60
MAX_VALUES = 6


def show_batch(learner: Learner, count: int = 8) -> str:
    """Return the first examples of the first training batch as a table; nothing is trained.

    Pictures are drawn by ``lab sheet``; here they have their shapes.

    Args:
        learner: a learner.
        count: number of examples.
    """
    return layout(batch_table(learner.data, first_batch(learner), count))


def first_batch(learner: Learner) -> Any:
    """Return the first training batch as the stepper gets it, on the CPU; nothing is trained."""
    catch = _Catch()
    catch.attach(learner)
    learner.stepper = catch
    learner.fit(1)
    return catch.batch


class _Catch(Stepper):
    """Keep the first batch, and end the training before its step."""

    batch: Any = None

    def train_step(self, batch: Any) -> Tensor:
        moved = [each.cpu() if isinstance(each, Tensor) else each for each in batch]
        self.batch = type(batch)(*moved) if hasattr(batch, "_fields") else moved
        raise CancelFit


def batch_table(data: Data, batch: Any, count: int = 8) -> list[list[str]]:
    """Return rows of cells, the header first: by the data's own ``batch_table``, or shapes and first values."""
    own = getattr(data, "batch_table", None)
    if own is not None:
        rows: list[list[str]] = own(batch, count)
        return rows
    parts = [batch] if isinstance(batch, Tensor) else list(batch)
    names = getattr(batch, "_fields", None) or [f"input {number}" for number in range(1, len(parts))] + ["target"]
    return [["part", "shape", "type", "first values"], *map(_part, names, parts)]


def _part(name: str, value: Any) -> list[str]:
    if not isinstance(value, Tensor):
        return [name, "", type(value).__name__, repr(value)]
    values = value.flatten()[:MAX_VALUES].tolist()
    shown = ", ".join(f"{each:.3g}" if isinstance(each, float) else str(each) for each in values)
    shape = " × ".join(map(str, value.shape)) or "one number"
    more = " …" if value.numel() > MAX_VALUES else ""
    return [name, shape, str(value.dtype).removeprefix("torch."), shown + more]


def layout(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines with aligned columns; long cells are shortened, line ends shown as ``↵``."""
    cells = [[_shortened(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def _shortened(cell: str) -> str:
    cell = cell.replace("\n", "↵")
    return cell if len(cell) <= MAX_WIDTH else f"{cell[: MAX_WIDTH - 1]}…"

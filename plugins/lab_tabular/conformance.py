"""Example data for the conformance kit: a small table, and points on a line."""

from __future__ import annotations

import atexit
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import use
from lab.testing import ComponentCase, Conformance, ConformanceSupport, Example, Finding
from lab_tabular.data import TableBatch, TableData, table_of_frame
from lab_tabular.line import Line, line
from lab_tabular.models import TabularMLP
from lab_tabular.processors import Processor, Roles
from lab_tabular.sources import towns_frame

__all__ = ["ProcessorConformance", "SomeFlats", "SomePoints", "SomeRents", "support"]


class SomeRents(Example):
    """Flats with their rents, for regression: codes (B, 4), numbers (B, 2), rents (B,)."""

    has_flat_targets = False

    def make_data(self) -> TableData:
        return _few("rent")

    def model(self) -> nn.Module:
        needs = (
            *("category_sizes", "continuous_count", "output_size", "target_mean", "target_deviation"),
            "category_names",
        )
        return TabularMLP(*(self.facts[name] for name in needs), layers=[8], batch_norm=False, continuous_norm=False)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.mse_loss(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return 10 + torch.randn(len(batch.target), generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return batch.target.clone()

    def wrong_shape_batch(self, batch: Any) -> Any:
        return TableBatch(batch.categorical, torch.cat([batch.continuous, batch.continuous], 1), batch.target)


class SomeFlats(SomeRents):
    """Flats with their kinds, for classification: codes (B, 3), numbers (B, 3), classes (B,) of three."""

    def make_data(self) -> TableData:
        return _few("kind")

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.cross_entropy(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(len(batch.target), 3, generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return 100 * functional.one_hot(batch.target, 3).float()


class SomePoints(Example):
    """Points around a line: x (B, 1), y (B, 1)."""

    has_flat_targets = False

    def make_data(self) -> Any:
        return line(count=30)

    def model(self) -> nn.Module:
        return Line()

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.mse_loss(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(batch[1].shape, generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return batch[1].clone()


@cache
def _few(target: str) -> TableData:
    frame = towns_frame(1200)[0]
    frame = frame[frame["town"].isin(["town 01", "town 02", "town 03"])].reset_index(drop=True)
    texts = [name for name in ("town", "kind", "month") if name != target]
    return table_of_frame(frame, target, categorical=texts, valid_share=0.4)


@cache
def _file() -> str:
    """Write flats to a CSV file that is deleted when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="lab-conformance-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "flats.csv"
    towns_frame(100)[0].to_csv(path, index=False)
    return str(path)


class ProcessorConformance(Conformance):
    """Checks of processors: a subclass of ``lab_tabular.processors.Processor``."""

    kind = "processors"

    def _fitted(self) -> tuple[Any, Any, Roles]:
        processor, frame = self.resolved.build({}), _columns()
        if not isinstance(processor, Processor):
            raise Finding(f"{self.label} must be a Processor, not a {type(processor).__name__}")
        roles = Roles([], list(frame))
        processor.fit(frame, roles)
        return processor, frame, roles

    def test_rows_stay_and_are_not_changed_in_place(self) -> None:
        """The columns that roles name have one value per row; those that were given stay as they are."""
        processor, frame, roles = self._fitted()
        before = {name: values.copy() for name, values in frame.items()}
        found = processor.transform(frame)
        for name in (*roles.categorical, *roles.continuous):
            if name not in found or len(found[name]) != len(before["price"]):
                raise Finding(f"{self.label}: column '{name}' is missing, or has another number of rows")
        if any(not np.array_equal(before[name], frame[name], equal_nan=True) for name in before):
            raise Finding(f"{self.label} changes the columns that it is given")

    def test_a_stored_processor_transforms_alike(self) -> None:
        """Learned state is plain JSON, from which the class is built again."""
        processor, frame, roles = self._fitted()
        again = type(processor)(**json.loads(json.dumps(attrs.asdict(processor))))
        one, other = processor.transform(frame), again.transform(frame)
        for name in roles.continuous:
            if not np.array_equal(np.asarray(one[name], float), np.asarray(other[name], float), equal_nan=True):
                raise Finding(f"{self.label}: column '{name}' differs after the processor was stored and read")


def _columns() -> dict[str, Any]:
    import pandas as pd

    return {
        "price": pd.Series([3.0, 1.0, np.nan, 250.0, 8.0, 2.0]),
        "rooms": pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, 0.0]),
    }


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    rents, flats, points = ("some_rents",), ("some_flats",), ("some_points",)
    return ConformanceSupport(
        examples={"some_rents": SomeRents, "some_flats": SomeFlats, "some_points": SomePoints},
        kinds={"processors": ProcessorConformance},
        cases={
            "architectures.line": ComponentCase(use("line"), examples=points),
            "architectures.sklearn": ComponentCase(
                use("sklearn", max_iter=5),
                examples=flats,
                exceptions={"test_gradients_reach_every_trainable_parameter": "trees have no gradients"},
            ),
            "callbacks.autoencoder": ComponentCase(use("autoencoder", epochs=1), examples=rents),
            "callbacks.entity_maps": ComponentCase(use("entity_maps"), examples=rents),
            "callbacks.line_film": ComponentCase(use("line_film", frames=2), examples=points),
            "datasets.adult": ComponentCase(
                exceptions={"test_splits_are_disjoint": "the publisher's files contain some persons twice"}
            ),
            "datasets.rossmann": ComponentCase(use("rossmann", stores=40)),
            "datasets.table": ComponentCase(use("table", path=_file(), target="rent")),
            "datasets.towns": ComponentCase(use("towns", rows=200)),
            "metrics.log_loss": ComponentCase(use("log_loss"), examples=flats),
            "metrics.log_rmse": ComponentCase(use("log_rmse"), examples=rents),
            "metrics.rmspe": ComponentCase(use("rmspe"), examples=rents),
            "processors.clip": ComponentCase(use("clip")),
            "processors.log_scale": ComponentCase(use("log_scale", columns=["price"])),
            "steppers.by_hand": ComponentCase(use("by_hand"), examples=points),
            "steppers.fit_or_step": ComponentCase(use("fit_or_step"), examples=rents),
        },
    )

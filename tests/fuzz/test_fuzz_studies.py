"""Studies made of odd objects: an error that says what to do, or a study that can be planned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from lab import Experiment, Study, use
from lab.registry.plugins import Catalog, load_catalog
from tests.fuzz.sandbox import fuzz, only_lab_errors


class Odd:
    """An object whose text raises."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __repr__(self) -> str:
        return "Odd()"


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=3),
        st.sampled_from(
            ["mlp", "points", "adam", "sgd", "shuffle", "cross_entropy", "accuracy", "one_cycle", "checkpoint"]
        ),
        st.sampled_from(
            [np.int64(2), np.float32(0.5), np.array([1, 2]), math.nan, math.inf, 10**400, object, print, len]
        ),
        st.builds(object),
        st.builds(Odd),
        st.sampled_from(
            [use("mlp"), use("mlp", hidden_size=3), use("mlp", hiden_size=3), use("adam", lr="x"), use("nothing")]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.sets(st.integers(), max_size=3),
    ),
    max_leaves=4,
)

SLOTS = st.sampled_from(
    [
        "dataset",
        "architecture",
        "loss",
        "sampler",
        "valid_sampler",
        "stepper",
        "optimizer",
        "callbacks",
        "metrics",
        "checkpoint",
        "lr",
        "batch_size",
        "valid_batch_size",
        "epochs",
    ]
)
PATHS = st.one_of(
    SLOTS, st.text(max_size=4), st.sampled_from(["architecture.hidden_size", "lr.x", "..", "callbacks.ema"])
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def base(**changes: Any) -> Experiment:
    known: dict[str, Any] = {"dataset": "points", "architecture": "mlp", "loss": "cross_entropy"}
    return Experiment(**{**known, **changes})


def test_an_experiment_of_odd_values_is_told(catalog: Catalog, minutes: float) -> None:
    def try_once(changes: dict[str, Any]) -> None:
        with only_lab_errors():
            Study(base(**changes), seeds=1).resolve(catalog)

    fuzz(try_once, st.dictionaries(SLOTS, VALUES, min_size=1, max_size=3), minutes, examples=60)


def test_a_study_of_odd_values_is_told(catalog: Catalog, minutes: float) -> None:
    def try_once(values: tuple[Any, Any, Any, Any]) -> None:
        seeds, compare, name, question = values
        with only_lab_errors():
            Study(base(), seeds=seeds, compare=compare, name=name, question=question).resolve(catalog)

    fuzz(try_once, st.tuples(VALUES, VALUES, VALUES, VALUES), minutes, examples=60)


@pytest.mark.parametrize("verb", ["swap", "remove", "grid", "search"])
def test_arms_of_odd_values_are_told(catalog: Catalog, minutes: float, verb: str) -> None:
    def try_once(values: tuple[Any, Any]) -> None:
        path, value = values
        study = Study(base(), seeds=1)
        with only_lab_errors():
            if verb == "swap":
                study = study.swap(path, value)
            elif verb == "remove":
                study = study.remove(path)
            elif verb == "grid":
                study = study.grid({path: value})
            else:
                study = study.search({path: value}, trials=2)
            study.resolve(catalog)

    fuzz(try_once, st.tuples(st.one_of(PATHS, VALUES.filter(_is_hashable)), VALUES), minutes, examples=40)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True

"""Samplers of a third party: which splits offer what they ask for, and what they are told in the plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lab import Experiment, Study, use
from lab.cli.main import cli
from lab.errors import StudyError
from lab.registry.component import Reference
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.resolve import Resolver
from lab.study.preflight import plan_study
from lab.study.workspace import Workspace
from lab.training import Data
from tests.third_party.site import PACKAGES, lay_module, lay_package

PLUGIN = '''
import torch
from lab import hookimpl


class Ordered:
    """Examples in order.

    Args:
        size: number of examples.
        batch_size: examples per batch.
    """

    def __init__(self, size: int, batch_size: int):
        self.size, self.batch_size = size, batch_size

    def __iter__(self):
        for first in range(0, self.size, self.batch_size):
            yield list(range(first, min(self.size, first + self.batch_size)))


class NoLength(Ordered):
    """Batches without a number."""


class Floats(Ordered):
    """Indices that are no integers."""

    def __len__(self):
        return -(-self.size // self.batch_size)

    def __iter__(self):
        for batch in super().__iter__():
            yield torch.tensor(batch, dtype=torch.float)


class Misnamed(Floats):
    """Asks for a number by another name."""

    def __init__(self, sizes: int, batch_size: int):
        super().__init__(sizes, batch_size)


KINDS = (NoLength, Floats, Misnamed)


@hookimpl
def lab_samplers():
    return {kind.__name__.lower(): f"lab_unsampled:{kind.__name__}" for kind in KINDS}
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    lay_module("lab_unsampled", PLUGIN, folder)
    lay_package(PACKAGES / "lab-balanced", folder)
    return folder


@pytest.fixture
def catalog(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    monkeypatch.syspath_prepend(site)
    return load_catalog(strict=True)


def problem(base: Experiment, sampler: str, catalog: Catalog, folder: Path) -> str:
    """Return what the plan says of an arm with a sampler."""
    study = Study(base, seeds=1).swap("sampler", {"other": sampler})
    with pytest.raises(StudyError) as failure:
        plan_study(study, Workspace.open(folder / "runs", catalog, "cpu"))
    (text,) = failure.value.problems
    return text


POINTS = Experiment(dataset=use("points", count=64), architecture="mlp", loss="cross_entropy", batch_size=16, epochs=1)


@pytest.mark.parametrize(
    ("sampler", "message", "line"),
    [
        ("nolength", "has no `__len__`", "class NoLength"),
        ("floats", "gives the index tensor(0.), but the train split has 48 examples", "class Floats"),
        ("misnamed", "needs 'sizes', which dataset 'points' (lab_basics", "class Misnamed"),
    ],
)
def test_sampler_that_breaks_its_contract_is_told_with_plugin_file_and_line(
    sampler: str, message: str, line: str, catalog: Catalog, tmp_path: Path
) -> None:
    text = problem(POINTS, sampler, catalog, tmp_path)
    at = next(n for n, each in enumerate(PLUGIN.splitlines(), 1) if each.startswith(line))
    assert f"sampler '{sampler}' (lab_unsampled 1.0)" in text
    assert message in text
    assert f"lab_unsampled.py, line {at}" in text


def test_misspelled_need_is_answered_with_what_a_split_offers(catalog: Catalog, tmp_path: Path) -> None:
    text = problem(POINTS, "misnamed", catalog, tmp_path)
    assert "did you mean: size" in text
    assert "offered: " in text


def test_sampler_that_needs_targets_is_told_which_datasets_offer_them(catalog: Catalog, tmp_path: Path) -> None:
    base = Experiment(
        dataset=use("fr_en_questions", pairs=48, tokenizer="whitespace", holdout=0.25),
        architecture=use("seq2seq_rnn", embedding_dim=8, hidden_size=8, layers=1),
        loss="seq2seq_loss",
        stepper="always_forced",
        batch_size=16,
        epochs=1,
    )
    text = problem(base, "balanced", catalog, tmp_path)
    assert "sampler 'balanced' (lab_balanced 1.2.3) needs 'targets', which a split of dataset 'fr_en_questions'" in text
    offering = next(line for line in text.splitlines() if "datasets whose splits offer it" in line)
    known = ("points", "digits", "image_folder", "bundled_table", "labelled_text")
    assert all(f"'{name}'" in offering for name in known)
    assert "docs/writing-a-plugin.md#facts-of-a-split" in text
    assert "partial" not in text


def data_of(dataset: Reference, catalog: Catalog) -> Data:
    resolver = Resolver(catalog)
    found = resolver.resolve("datasets", dataset)
    assert found is not None, resolver.problems
    made = found.build({})
    assert isinstance(made, Data)
    return made


@pytest.mark.parametrize(
    "dataset",
    [
        use("points", count=64),
        use("digits"),
        use("bundled_table", name="iris"),
        use("labelled_text", corpus="embedded_pairs"),
    ],
    ids=str,
)
def test_data_of_classes_offer_the_class_of_every_example(dataset: Reference, catalog: Catalog) -> None:
    data = data_of(dataset, catalog)
    for split in (data.train, data.valid):
        targets = data.split_facts(split)["targets"]
        assert len(targets) == len(split)
        assert targets.dtype == torch.long
        whole = data.collate([split[index] for index in range(3)]) if not hasattr(split, "__getitems__") else None
        batch = whole or data.collate(split.__getitems__([0, 1, 2]))
        assert torch.equal(batch[-1], targets[:3])


def test_numbers_to_predict_are_no_classes(catalog: Catalog) -> None:
    data = data_of(use("towns"), catalog)
    assert data.split_facts(data.train) == {}


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("digits", "targets, the class number of each picture"),
        ("table", "targets, the class number of each row, unless the target is a number"),
        ("fr_en_questions", "lengths where examples have one, and targets"),
    ],
)
def test_show_says_what_the_splits_of_a_dataset_offer(dataset: str, expected: str) -> None:
    result = CliRunner().invoke(cli, ["show", dataset])
    assert f"Splits offer to samplers: {expected}" in result.output

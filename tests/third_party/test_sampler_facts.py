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
from lab.study.load import load_study
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


class Twice(Ordered):
    """Draws with replacement, and does not say so."""

    def __len__(self):
        return -(-self.size // self.batch_size)

    def __iter__(self):
        for batch in super().__iter__():
            yield [*batch[1:], batch[-1]]


class Declared(Twice):
    """Draws with replacement."""

    with_replacement = True


class Balanced(Ordered):
    """Asks for targets.

    Args:
        targets: class of every example.
    """

    def __init__(self, size: int, batch_size: int, targets: object):
        super().__init__(size, batch_size)

    def __len__(self):
        return -(-self.size // self.batch_size)


KINDS = (NoLength, Floats, Misnamed, Twice, Declared, Balanced)


@hookimpl
def lab_samplers():
    return {f"{kind.__name__.lower()}_": f"lab_unsampled:{kind.__name__}" for kind in KINDS}
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
        ("nolength_", "has no `__len__`", "class NoLength"),
        ("floats_", "gives the index tensor(0.), but the train split has 48 examples", "class Floats"),
        ("misnamed_", "needs 'sizes', which dataset 'points' (lab_basics", "class Misnamed"),
        ("twice_", "gives index 15 of the train split twice in an epoch\n  a sampler that draws with", "class Twice"),
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
    text = problem(POINTS, "misnamed_", catalog, tmp_path)
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


def test_repeats_that_are_declared_are_planned(catalog: Catalog, tmp_path: Path) -> None:
    study = Study(POINTS, seeds=1).swap("sampler", {"other": "declared_"})
    assert set(plan_study(study, Workspace.open(tmp_path / "runs", catalog, "cpu")).checks) == {"base", "other"}


REPEATING = '''
"""Does drawing with replacement help?"""
import torch
from torch.utils.data import BatchSampler, RandomSampler
from lab import Experiment, Study, use


def draws(size, batch_size, generator):
    """Draws with replacement."""
    drawn = DRAWN
    found = BatchSampler(drawn, batch_size, drop_last=False)
    DECLARED
    return found


base = Experiment(dataset=use("points", count=64), architecture="mlp", loss="cross_entropy", batch_size=16, epochs=1)
study = Study(base, seeds=1).swap("sampler", {"drawn": use(draws)})
'''


HIDDEN = "torch.randint(size, (size,), generator=generator).tolist()"
OF_TORCH = "RandomSampler(range(size), replacement=True, num_samples=size, generator=generator)"


@pytest.mark.parametrize(
    ("drawn", "declared"), [(HIDDEN, ""), (HIDDEN, "found.with_replacement = True"), (OF_TORCH, "")]
)
def test_sampler_of_a_study_file_that_repeats_without_declaring_it_is_told_in_the_plan(
    drawn: str, declared: str, catalog: Catalog, tmp_path: Path
) -> None:
    text = REPEATING.replace("DRAWN", drawn).replace("DECLARED", declared or "pass")
    (tmp_path / "drawing.py").write_text(text, encoding="utf-8")
    study, workspace = load_study(tmp_path / "drawing.py", catalog), Workspace.open(tmp_path / "runs", catalog, "cpu")
    if declared or drawn == OF_TORCH:
        assert set(plan_study(study, workspace).checks) == {"base", "drawn"}
        return
    with pytest.raises(StudyError) as failure:
        plan_study(study, workspace)
    assert "drawing.py:draws" in failure.value.problems[0]
    assert "of the train split twice in an epoch" in failure.value.problems[0]


def test_data_that_do_not_offer_targets_are_not_named_as_data_that_do(catalog: Catalog, tmp_path: Path) -> None:
    towns = Experiment(dataset=use("towns"), architecture="tabular_mlp", loss="mse", batch_size=16, epochs=1)
    text = problem(towns, "balanced_", catalog, tmp_path)
    offering = next(line for line in text.splitlines() if "datasets whose splits offer it" in line)
    assert "'towns'" not in offering
    assert "its splits offer: targets, the class number of each row, unless the target is a number" in text


LABELLED = '''
"""Does balance help?"""
import attrs
import torch
from lab import Callback, Data, Experiment, Study, use


class Rows:
    def __init__(self):
        self.values, self.labels = torch.randn(32, 3), torch.arange(32) % 2

    def __len__(self):
        return 32

    def __getitem__(self, index):
        return self.values[index], self.labels[index]


@attrs.define(eq=False, kw_only=True)
class RowData(Data):
    """Rows."""

    input_size: int = 3
    output_size: int = 2


def rows() -> RowData:
    """Rows with labels."""
    return RowData(train=Rows(), valid=Rows())


class Counts(Callback):
    """Counts epochs."""

    def after_epochs(self, learner):
        pass


parts = {"architecture": "mlp", "loss": "cross_entropy", "callbacks": [use(Counts)]}
base = Experiment(dataset=use(rows), **parts, sampler="balanced_", batch_size=16, epochs=1)
study = Study(base, seeds=1)
'''


def test_labels_are_led_to_targets_and_other_problems_are_told_with_it(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "labelled.py").write_text(LABELLED, encoding="utf-8")
    with pytest.raises(StudyError) as failure:
        plan_study(load_study(tmp_path / "labelled.py", catalog), Workspace.open(tmp_path / "runs", catalog, "cpu"))
    text = "\n".join(failure.value.problems)
    assert "the split has `labels`: call it `targets`, or return it as such in `split_facts`" in text
    assert "needs 'targets'" in text
    assert "did you mean: after_epoch?" in text


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

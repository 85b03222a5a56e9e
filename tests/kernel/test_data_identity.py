"""The identity of data: no two contents have one fingerprint, unseeded data is found, runs do not touch each other."""

from __future__ import annotations

import random

import numpy as np
import pandas
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from lab import Callback, Data, Study, use
from lab.errors import DataError, StudyError
from lab.study.build import DataCache
from lab.study.examples import fingerprint_of_examples
from lab.study.execute import run_study
from lab.training import Learner
from tests.kernel.toys import Points, experiment


def tensors(seed: int = 0, scale: float = 1.0) -> Points:
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(24, 2, generator=generator)
    y = x.sum(1, keepdim=True)
    return Points(TensorDataset(x[:16], y[:16]), TensorDataset(x[16:], y[16:]))


def answer(tmp_path, catalog, dataset, name="runs", **changes):
    study = Study(experiment(dataset=dataset, **changes), seeds=2, name="small")
    return run_study(study, runs=tmp_path / name, catalog=catalog)


# --- fingerprints of examples -----------------------------------------------------------------------------------------


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


CONTENTS = {
    "tensors": lambda v: TensorDataset(torch.full((4, 2), float(v))),
    "bfloat16": lambda v: TensorDataset(torch.full((4, 2), float(v), dtype=torch.bfloat16)),
    "a scalar": lambda v: Rows(torch.tensor(v)),
    "arrays": lambda v: Rows(np.full((4, 2), v)),
    "texts": lambda v: Rows(["a", f"b{v}"]),
    "pairs": lambda v: Rows([(1, v), (2, 3)]),
    "dictionaries": lambda v: Rows([{"a": torch.tensor([v]), "b": 1}]),
    "a subset": lambda v: Subset(Rows([1, 2, 3, 4]), [0, v]),
    "a seeded generator": lambda v: Rows([np.random.default_rng(v)]),
    "objects": lambda v: Rows([Rows([v])]),
    "array of objects": lambda v: Rows(np.array([["a"], [f"{v}"]], dtype=object)),
    "a sparse tensor": lambda v: Rows(torch.eye(4).to_sparse() * v),
    "a column of pandas": lambda v: Rows(pandas.Series([1.0, v])),
    "a view": lambda v: TensorDataset(torch.arange(8).reshape(4, 2).t()[:, v:]),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_other_content_has_another_fingerprint_and_the_same_content_the_same(kind):
    def fingerprint(value):
        return fingerprint_of_examples(Data(CONTENTS[kind](value), Rows([0])), "dataset 'x'")

    assert fingerprint(1) == fingerprint(1) != fingerprint(2)


def test_examples_that_are_read_lazily_count_by_the_content_of_their_files(tmp_path):
    def fingerprint():
        return fingerprint_of_examples(Data(Rows([str(tmp_path / "a.txt")]), Rows([tmp_path])), "dataset 'x'")

    (tmp_path / "a.txt").write_text("1")
    first = fingerprint()
    assert fingerprint() == first
    (tmp_path / "a.txt").write_text("2")
    assert fingerprint() != first


def test_an_open_file_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "a.txt").write_text("1")
    with (tmp_path / "a.txt").open() as file, pytest.raises(DataError) as caught:
        fingerprint_of_examples(Data(Rows(file), Rows([0])), "dataset 'x'")
    assert "give one: Data(..., fingerprint=...)" in str(caught.value)


def test_data_without_a_fingerprint_is_keyed_by_its_examples(tmp_path, catalog):
    one = answer(tmp_path, catalog, use(tensors, scale=1.0))
    two = answer(tmp_path, catalog, use(tensors, scale=1.0))
    assert [run.key for run in one.runs] == [run.key for run in two.runs]


def test_a_file_that_a_dataset_reads_by_itself_is_seen_when_it_changes(tmp_path, catalog):
    path = tmp_path / "scale.txt"

    def from_file() -> Points:
        return tensors(scale=float(path.read_text()))

    path.write_text("1")
    one = answer(tmp_path, catalog, from_file)
    path.write_text("2")
    two = answer(tmp_path, catalog, from_file)
    assert not {run.key for run in one.runs} & {run.key for run in two.runs}


class Hidden(Dataset):
    """Reads a file whose name stands in no attribute."""

    file = ""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        with open(Hidden.file) as file:
            return torch.full((2,), float(file.read())), torch.ones(1)


def hidden() -> Points:
    return Points(Hidden(), Hidden())


def test_what_a_dataset_reads_when_an_example_is_asked_for_counts(tmp_path, catalog):
    Hidden.file = str(tmp_path / "scale.txt")
    (tmp_path / "scale.txt").write_text("1")
    first = answer(tmp_path, catalog, hidden)
    (tmp_path / "scale.txt").write_text("2")
    second = answer(tmp_path, catalog, hidden)
    assert {run.key for run in first.runs}.isdisjoint(run.key for run in second.runs)


def test_the_name_under_which_a_study_file_is_imported_is_no_part_of_its_data():
    found = set()
    for module in ("lab_experiment_study_1", "lab_experiment_study_2"):
        kind = type("Rows", (Rows,), {"__module__": module})
        found.add(fingerprint_of_examples(Points(kind([1]), kind([2])), "data"))
    assert len(found) == 1


class Drawing(Dataset):
    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        drawn = (self.generator if self.generator is not None else np.random.default_rng()).random(2)
        return torch.from_numpy(drawn).float(), torch.ones(1)


class DrawingAnew(Drawing):
    def __init__(self):
        self.generator = None


def drawing_anew() -> Points:
    return Points(DrawingAnew(), DrawingAnew())


def drawing() -> Points:
    return Points(Drawing(0), Drawing(1))


def test_examples_that_are_drawn_anew_whenever_they_are_asked_for_are_a_problem_of_the_plan(tmp_path, catalog):
    with pytest.raises(StudyError, match="other examples each time"):
        answer(tmp_path, catalog, drawing_anew)


def test_examples_from_a_seeded_generator_of_the_dataset_are_the_same_in_every_process(catalog):
    component = experiment(dataset=drawing).resolve(catalog)[0].component("dataset")
    one, two = DataCache().get(component), DataCache().get(component)
    assert one.fingerprint == two.fingerprint
    assert torch.equal(one.train[0][0], two.train[0][0])


def unseeded() -> Points:
    x = torch.from_numpy(np.random.default_rng().normal(size=(24, 2)).astype(np.float32))
    return Points(TensorDataset(x[:16], x[:16, :1]), TensorDataset(x[16:], x[16:, :1]))


def test_unseeded_data_is_a_problem_of_the_plan(tmp_path, catalog):
    with pytest.raises(StudyError) as caught:
        answer(tmp_path, catalog, unseeded)
    assert "gives other examples each time it is built" in str(caught.value)


@pytest.mark.parametrize("draw", ["torch", "numpy", "python"])
def test_data_that_draws_from_global_generators_is_the_same_in_every_process(draw):
    def drawn() -> Points:
        numbers = {
            "torch": lambda: torch.randn(24, 2),
            "numpy": lambda: torch.from_numpy(np.random.normal(size=(24, 2)).astype(np.float32)),
            "python": lambda: torch.tensor([[random.random(), random.random()] for _ in range(24)]),
        }[draw]()
        return Points(TensorDataset(numbers[:16], numbers[:16, :1]), TensorDataset(numbers[16:], numbers[16:, :1]))

    from lab.registry.plugins import Catalog
    from lab.study.experiment import checked
    from tests.kernel.toys import COMPONENTS, plugin_module

    catalog = Catalog(strict=True)
    catalog.add_module(plugin_module(**COMPONENTS), "toys", "1.0")
    dataset = checked(experiment(dataset=drawn), catalog).component("dataset")
    first = DataCache().get(dataset).fingerprint
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert DataCache().get(dataset).fingerprint == first


# --- runs do not touch each other -------------------------------------------------------------------------------------


def padding_in_place(batch):
    for x, _ in batch:
        x.mul_(0.9)
    return torch.utils.data.default_collate(batch)


def padded() -> Points:
    data = tensors()
    data.collate = padding_in_place
    return data


class Writing(Callback):
    def after_epoch(self, learner):
        learner.data.train.tensors[0].add_(1.0)


class Replacing(Callback):
    def after_fit(self, learner):
        learner.data.train = learner.data.valid


def test_a_collate_that_writes_into_examples_is_a_problem_of_the_plan(tmp_path, catalog):
    with pytest.raises(StudyError) as caught:
        answer(tmp_path, catalog, padded)
    assert "its examples are changed by its collate" in str(caught.value)


class Growing(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 1)

    def forward(self, x):
        x.mul_(2)
        return super().forward(x)


def whole() -> Points:
    """One example is the whole split, and collate hands it on as it is."""
    data = tensors()
    examples = [data.train.tensors]
    return Points(Rows(examples), Rows([data.valid.tensors]), collate=lambda batch: batch[0])


def test_a_model_that_writes_into_examples_is_a_problem_of_the_plan(tmp_path, catalog):
    with pytest.raises(StudyError) as caught:
        answer(tmp_path, catalog, whole, architecture=Growing, batch_size=1)
    assert "its examples are changed by a training step" in str(caught.value)


@pytest.mark.parametrize(("dataset", "callbacks"), [(tensors, [Writing]), (tensors, [Replacing])])
def test_a_run_that_writes_into_shared_data_does_not_change_the_next(tmp_path, catalog, dataset, callbacks):
    both = answer(tmp_path, catalog, dataset, callbacks=callbacks)
    study = Study(experiment(dataset=dataset, callbacks=callbacks), seeds=[1], name="small")
    alone = run_study(study, runs=tmp_path / "alone", catalog=catalog)
    assert alone.runs[0].metrics == both.runs[1].metrics


# --- generators are streams of the run --------------------------------------------------------------------------------


class Noisy(Dataset):
    """Noise from every global generator."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        noise = np.random.normal() + random.random() + float(torch.rand(()))
        return self.x[index] + noise, self.x[index].sum(0, keepdim=True)


def noisy() -> Points:
    x = torch.arange(48.0).reshape(24, 2) / 48
    return Points(Noisy(x[:16]), Noisy(x[16:]), Noisy(x[16:]), fingerprint="noisy")


def test_noise_from_global_generators_is_the_same_in_every_process_and_another_for_every_seed(tmp_path, catalog):
    one = answer(tmp_path, catalog, noisy, name="one")
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    two = answer(tmp_path, catalog, noisy, name="two")
    assert [run.metrics for run in one.runs] == [run.metrics for run in two.runs]
    assert one.runs[0].metrics != one.runs[1].metrics
    assert "test_loss" in one.runs[0].metrics


class Stop(Exception):
    pass


class Breaking(Callback):
    def after_batch(self, learner):
        if learner.position.step == 5:
            from lab.training.checkpoint import save_checkpoint

            save_checkpoint(learner, learner.folder)
            raise Stop


def learner_on_noise(folder=None, callbacks=(), workers=0, seed=0):
    data = noisy()
    model = torch.nn.Linear(2, 1)
    torch.nn.init.ones_(model.weight)
    torch.nn.init.zeros_(model.bias)
    return Learner(
        model,
        data,
        torch.nn.functional.mse_loss,
        batch_size=4,
        folder=folder,
        callbacks=callbacks,
        seed=seed,
        progress=False,
        workers=workers,
    )


def losses(learner):
    return [(row["train_loss"], row["valid_loss"]) for row in learner.history]


def test_a_resumed_run_draws_the_noise_of_an_undisturbed_one(tmp_path):
    undisturbed = learner_on_noise()
    undisturbed.fit(3)
    (tmp_path / "run").mkdir()
    with pytest.raises(Stop):
        learner_on_noise(tmp_path / "run", [Breaking()]).fit(3)
    resumed = learner_on_noise(tmp_path / "run")
    resumed.resume(3)
    assert losses(resumed) == losses(undisturbed)


@pytest.mark.slow
def test_worker_processes_draw_other_noise_for_every_seed_and_epoch_and_the_same_after_a_resume(tmp_path):
    first, again, other = (learner_on_noise(workers=1, seed=seed) for seed in (0, 0, 1))
    for learner in (first, again, other):
        learner.fit(2)
    assert losses(first) == losses(again) != losses(other)
    (tmp_path / "run").mkdir()
    from lab.training.checkpoint import save_checkpoint

    half = learner_on_noise(tmp_path / "run", workers=1)
    half.position.epochs = 2
    half.fit(1)
    half.epochs_before_fit, half.position.epoch, half.position.epochs = 0, 1, 2
    save_checkpoint(half, tmp_path / "run")
    resumed = learner_on_noise(tmp_path / "run", workers=1)
    resumed.resume(2)
    assert losses(resumed) == losses(first)


def test_training_leaves_the_global_generators_of_the_process_alone():
    learner = learner_on_noise()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    learner.fit(1)
    learner.validate()
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(2), torch.zeros(1))])


@pytest.mark.parametrize("stream", [Stream(), iter([1, 2])])
def test_a_stream_is_refused_as_a_split(stream):
    with pytest.raises(DataError) as caught:
        Data(stream, Rows([0])).split("train")
    assert "a split is map-style: len(split) and split[i]" in str(caught.value)


def test_an_edit_that_keeps_size_and_time_of_change_is_seen(tmp_path):
    import os

    from lab.cache import file_digest

    path = tmp_path / "w.txt"
    path.write_text("1")
    first, state = file_digest(path), path.stat()
    path.write_text("2")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file_digest(path) != first

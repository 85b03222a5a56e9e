"""Translation models of a third party that cannot decode: told in the plan and by the kit, never after training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from lab import Experiment, Study, use
from lab.errors import StudyError
from lab.registry.component import Use
from lab.registry.plugins import Catalog, load_catalog
from lab.study.execute import run_study
from lab.study.preflight import plan_study
from lab.study.workspace import Workspace
from lab.testing import check_entry
from tests.third_party.site import lay_module

PLUGIN = '''
from typing import NamedTuple

import torch
from lab import hookimpl
from lab_seq2seq.protocols import PrefixDecoder
from lab_seq2seq.transformer import Transformer
from torch import nn


class Plain(nn.Module):
    """The last target word gives the next one.

    Args:
        width: of the embedding.
    """

    def __init__(
        self, source_vocab_size: int, target_vocab_size: int, bos_id: int, eos_id: int, max_length: int, *,
        width: int = 4
    ):
        super().__init__()
        self.bos_id, self.eos_id, self.max_length = bos_id, eos_id, max_length
        self.source = nn.Embedding(source_vocab_size, width)
        self.target = nn.Embedding(target_vocab_size, width)
        self.output = nn.Linear(width, target_vocab_size)

    def forward(self, source, prefix):
        return self.output(self.target(prefix) + self.source(source).mean(0))

    def start(self, source):
        return State(self.source(source).mean(0))

    def step(self, tokens, state):
        return self.output(self.target(tokens) + state.mean), state, None


class State(NamedTuple):
    mean: torch.Tensor

    def select(self, rows):
        return State(self.mean[rows])

    reorder = select


class Whole(Plain):
    """All is well."""


class TwoValues(Plain):
    """Two values."""

    def step(self, tokens, state):
        return super().step(tokens, state)[:2]


class TimeFirst(Plain):
    """Logits with a dimension of time."""

    def step(self, tokens, state):
        logits, state, weights = super().step(tokens, state)
        return logits[None], state, weights


class OddWeights(Plain):
    """Weights with the batch first."""

    def step(self, tokens, state):
        logits, state, _ = super().step(tokens, state)
        return logits, state, torch.ones(len(tokens), 99)


class NoSelect(Plain):
    """The state is a dict."""

    def start(self, source):
        return {"mean": self.source(source).mean(0)}

    def step(self, tokens, state):
        return self.output(self.target(tokens) + state["mean"]), state, None


class NoReorder(Plain):
    """The state cannot be reordered."""

    def start(self, source):
        state = super().start(source)
        return Selectable(state.mean)

    def step(self, tokens, state):
        logits, _, weights = super().step(tokens, state)
        return logits, state, weights


class Selectable:
    def __init__(self, mean):
        self.mean = mean

    def select(self, rows):
        return Selectable(self.mean[rows])


class Raises(Plain):
    """It raises."""

    def start(self, source):
        return self.sourcebook(source)


class Other(Plain):
    """Steps disagree with the whole."""

    def step(self, tokens, state):
        logits, state, weights = super().step(tokens, state)
        return 2 * logits, state, weights


class NoPacking(Transformer):
    """Knows the mask, and not `packed`.

    Args:
        size: width.
    """

    def __init__(
        self, source_vocab_size: int, target_vocab_size: int, source_vectors: object, target_vectors: object,
        pad_id: int, bos_id: int, eos_id: int, max_length: int, *, size: int = 8
    ):
        super().__init__(
            source_vocab_size, target_vocab_size, source_vectors, target_vectors, pad_id, bos_id, eos_id, max_length,
            width=size, heads=2, encoder_layers=1, decoder_layers=1, feed_forward=8,
        )

    def forward(self, source, target=None, forced=None, *, at_least=0):
        return super().forward(source, target, forced, at_least=at_least)


class NoLength(NoPacking):
    """Cannot be asked for a length."""

    def forward(self, source, target=None, forced=None):
        return super().forward(source, target, forced)


class BatchFirst(nn.Module):
    """Forgets that time comes first."""

    def __init__(self, source_vocab_size: int, target_vocab_size: int):
        super().__init__()
        self.target = nn.Embedding(target_vocab_size, target_vocab_size)

    def forward(self, source, prefix):
        return self.target(prefix).transpose(0, 1)


class Pair(BatchFirst):
    """Returns weights, too."""

    def forward(self, source, prefix):
        return super().forward(source, prefix), None


class NoEnd(Plain):
    """Has steps, and does not say what ends a sentence."""

    def __init__(self, source_vocab_size: int, target_vocab_size: int, bos_id: int, max_length: int, *, width: int = 4):
        super().__init__(source_vocab_size, target_vocab_size, bos_id, 0, max_length, width=width)
        del self.eos_id


BROKEN = (NoEnd, BatchFirst, Pair, TwoValues, TimeFirst, OddWeights, NoSelect, NoReorder, Raises, Other, NoLength)
KINDS = (Whole, NoPacking, *BROKEN)


@hookimpl
def lab_architectures():
    return {kind.__name__.lower(): f"lab_undecoded:{kind.__name__}" for kind in KINDS}
'''

FAULTS = {
    "twovalues": ("`step` of a TwoValues must return three values (logits, state, weights), not 2", "class TwoValues"),
    "timefirst": ("`step` of a TimeFirst must return logits (B, V) = (", "class TimeFirst"),
    "oddweights": ("`step` of a OddWeights must return weights (S, B)", "class OddWeights"),
    "noselect": ("the state of a NoSelect has no `select`", "class NoSelect"),
    "noreorder": ("the state of a NoReorder has no `reorder`", "class NoReorder"),
    "raises": ("a Raises cannot decode: start(source (", "return self.sourcebook(source)"),
    "other": ("step 1 of a Other gives other logits than `forward` with the same tokens", "class Other"),
    "nolength": ("forward of a NoLength must take (source, at_least=T)", "class NoLength"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    lay_module("lab_undecoded", PLUGIN, folder)
    return folder


@pytest.fixture
def catalog(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    monkeypatch.syspath_prepend(site)
    return load_catalog(strict=True)


def study(*names: str, beam: int = 3, callbacks: bool = True) -> Study:
    base = Experiment(
        dataset=use("fr_en_questions", pairs=48, tokenizer="whitespace", holdout=0.25),
        architecture="whole",
        loss="seq2seq_loss",
        stepper="always_forced",
        callbacks=[use("translations", count=3, beam=beam)] if callbacks else [],
        metrics=["bleu"],
        batch_size=16,
        epochs=1,
    )
    made = Study(base, seeds=1)
    return made.swap("architecture", {name: name for name in names}) if names else made


def line_of(source: str, catalog: Catalog) -> str:
    """File and line of a piece of the plugin."""
    at = next(n for n, line in enumerate(PLUGIN.splitlines(), 1) if line.strip().startswith(source))
    return f"lab_undecoded.py, line {at}"


def test_model_that_cannot_decode_is_told_in_the_plan_with_plugin_file_and_line(
    catalog: Catalog, tmp_path: Path
) -> None:
    with pytest.raises(StudyError) as failure:
        plan_study(study(*FAULTS), Workspace.open(tmp_path / "runs", catalog, "cpu"))
    assert len(failure.value.problems) == len(FAULTS)
    for name, (message, source) in FAULTS.items():
        (problem,) = [each for each in failure.value.problems if f"'{name}'" in each.splitlines()[0]]
        assert message in problem
        assert "lab_undecoded 1.0" in problem
        assert line_of(source, catalog) in problem, problem


def test_steps_that_disagree_are_told_in_the_plan_without_any_callback(catalog: Catalog, tmp_path: Path) -> None:
    base = attrs.evolve(study("other", callbacks=False).base, stepper="teacher_forcing", architecture="other")
    with pytest.raises(StudyError) as failure:
        plan_study(Study(base, seeds=1), Workspace.open(tmp_path / "runs", catalog, "cpu"))
    (problem,) = failure.value.problems
    assert FAULTS["other"][0] in problem
    assert line_of("class Other", catalog) in problem


@pytest.mark.parametrize(
    ("callback", "name", "note"),
    [
        (use("translations"), "noend", "a NoEnd has no `eos_id`: it decodes by `forward`, not step by step"),
        (use("attention_maps"), "noend", "no attention maps: a NoEnd cannot decode step by step: it has no `eos_id`"),
        (use("attention_maps"), "whole", "no attention maps: `step` of a Whole returns no attention weights"),
        (use("aer", file="embedded"), "whole", "no aer: `step` of a Whole returns no attention weights"),
        (use("aer", file="embedded"), "noend", "no aer: a NoEnd has no `eos_id`"),
    ],
)
def test_what_a_model_lacks_for_a_callback_is_noted_in_the_plan(
    callback: Use, name: str, note: str, catalog: Catalog, tmp_path: Path
) -> None:
    # the alignments of the embedded corpus are those of its first pairs
    data = use("fr_en_questions", pairs=48, tokenizer="whitespace", holdout=0.25)
    base = attrs.evolve(study().base, dataset=data, architecture=name, callbacks=[callback])
    plan = plan_study(Study(base, seeds=1), Workspace.open(tmp_path / "runs", catalog, "cpu"))
    assert note in plan.checks["base"].notes


def test_state_needs_no_reorder_where_nothing_is_reordered(catalog: Catalog, tmp_path: Path) -> None:
    plan = plan_study(study("noreorder", beam=1), Workspace.open(tmp_path / "runs", catalog, "cpu"))
    assert set(plan.checks) == {"base", "noreorder"}


def test_model_that_takes_no_packed_gets_padded_logits_and_model_with_a_plain_forward_decodes_by_steps(
    catalog: Catalog, tmp_path: Path
) -> None:
    results = run_study(study("nopacking", beam=2), runs=tmp_path / "runs", catalog=catalog)
    assert [run.status for run in results.runs] == ["finished"] * 2
    assert all((run.folder / "artefacts/translations.jsonl").is_file() for run in results.runs)


def test_failure_of_translations_after_training_is_said_and_the_run_is_kept(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("a rare case")

    monkeypatch.setattr("lab_seq2seq.callbacks.decode", fails)
    results = run_study(study(), runs=tmp_path / "runs", catalog=catalog)
    assert [run.status for run in results.runs] == ["finished"]
    assert "no translations: ValueError: a rare case" in caplog.text
    assert "the run is kept" in caplog.text


@pytest.mark.parametrize("name", ["whole", "nopacking"])
def test_kit_finds_nothing_at_models_that_decode(name: str, catalog: Catalog) -> None:
    entry = next(e for e in catalog.registries["architectures"].entries() if e.name == name)
    outcomes = {each.check: each for each in check_entry(entry, catalog)}
    assert outcomes["keeps the protocol of its family"].status == "ok"


@pytest.mark.parametrize(
    ("name", "message"),
    [(name, message) for name, (message, _) in FAULTS.items()],
)
def test_kit_finds_models_that_cannot_decode(name: str, message: str, catalog: Catalog) -> None:
    entry = next(e for e in catalog.registries["architectures"].entries() if e.name == name)
    outcomes = {each.check: each for each in check_entry(entry, catalog)}
    assert message in outcomes["keeps the protocol of its family"].text


def test_changed_stepper_gives_the_plain_model_the_same_numbers(catalog: Catalog, tmp_path: Path) -> None:
    """Steps and whole prefixes of one model validate alike."""
    plain = attrs.evolve(study(callbacks=False).base, epochs=2)
    scores = []
    for steps in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not steps:
                patch.setattr("lab_seq2seq.steppers.StepwiseModel", type("Nothing", (), {}))
            done = run_study(Study(plain, seeds=1), runs=tmp_path / str(steps), catalog=catalog)
        scores.append(done.runs[0].metrics["valid_loss"])
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("batchfirst", "time comes first: transpose the output, logits.transpose(0, 1)"),
        ("pair", "it returns the logits alone, as one tensor"),
    ],
)
def test_output_of_another_shape_gets_the_advice_that_fits_it(
    name: str, hint: str, catalog: Catalog, tmp_path: Path
) -> None:
    with pytest.raises(StudyError) as failure:
        plan_study(study(name), Workspace.open(tmp_path / "runs", catalog, "cpu"))
    (problem,) = failure.value.problems
    assert hint in problem
    assert "batch norm" not in problem


def test_wrong_shape_that_a_full_batch_hides_is_no_matter_of_batch_norm(catalog: Catalog, tmp_path: Path) -> None:
    base = study("batchfirst", callbacks=False)
    workspace = Workspace.open(tmp_path / "runs", catalog, "cpu")
    # One of these sizes is the length of its batch, and all leave a small batch in the end.
    for size in range(8, 20):
        arms = attrs.evolve(base, base=attrs.evolve(base.base, batch_size=size))
        with pytest.raises(StudyError) as failure:
            plan_study(arms, workspace)
        assert "batch norm" not in str(failure.value)
        assert "returns logits (T, B, V)" in str(failure.value)

"""Text that networks make."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from lab_charlm.data import char_text
from lab_charlm.models import Char3, CharRNN
from lab_text.generation import choose, generate
from lab_text.losses import sequence_nll
from lab_text.report import sections
from torch import nn

from lab import Experiment, Learner, Study, use
from lab.errors import LabError, ParameterError
from lab.study.results import Results


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "abc.txt"
    path.write_text("abcabcabcabc\n" * 60)
    return char_text(path=str(path), bptt=6)


@pytest.fixture(scope="module")
def learner(data):
    torch.manual_seed(0)
    model = CharRNN(data.vocab_size, hidden_size=16, embedding_dim=8)
    learner = Learner(model, data, sequence_nll, lr=0.02, batch_size=8, progress=False)
    learner.fit(6)
    return learner


def test_a_network_that_has_learnt_the_text_goes_on_with_it(learner):
    assert generate(learner, "abca", 6, greedy=True) == "abcabcabca"


def test_a_beam_search_finds_the_likeliest_text(learner, data):
    # every text of two characters, scored one after the other
    with learner.evaluating(), torch.no_grad():
        first = learner.model(data.vocab.encode("ab").unsqueeze(1))[-1, 0]
        first[:2] = -torch.inf
        scores = {}
        for one in range(2, data.vocab_size):
            ids = torch.cat([data.vocab.encode("ab"), torch.tensor([one])])
            second = learner.model(ids.unsqueeze(1))[-1, 0]
            second[:2] = -torch.inf
            for two in range(2, data.vocab_size):
                scores[one, two] = float(first.log_softmax(0)[one] + second.log_softmax(0)[two])
    best = max(scores, key=scores.get)
    assert generate(learner, "ab", 2, beam=data.vocab_size) == "ab" + data.vocab.decode(best)
    assert generate(learner, "ab", 9, beam=1) == generate(learner, "ab", 9, greedy=True)


def test_the_same_seed_gives_the_same_text_and_another_another(learner):
    texts = [generate(learner, "a", 60, temperature=3.0, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_a_text_begins_with_its_prompt_and_has_the_length_that_was_asked_for(learner):
    text = generate(learner, "bca", 25)
    assert text.startswith("bca")
    assert len(text) == 28


def test_generating_changes_nothing(learner):
    weights, state = [w.clone() for w in learner.model.parameters()], torch.get_rng_state()
    generate(learner, "a", 10)
    assert all(torch.equal(a, b) for a, b in zip(weights, learner.model.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_with_a_window_generates_too(data):
    torch.manual_seed(0)
    learner = Learner(
        Char3(data.vocab_size, hidden_size=16, embedding_dim=8), data, sequence_nll, lr=0.02, progress=False
    )
    learner.fit(6)
    assert generate(learner, "abc", 6, greedy=True) == "abcabcabc"


def test_padding_and_the_unknown_are_never_written(data):
    assert set(generate(_untrained(data), "a", 200, temperature=100.0)) <= set("abc\n")


def _untrained(data):
    return Learner(CharRNN(data.vocab_size, hidden_size=4, embedding_dim=4), data, sequence_nll, progress=False)


def test_top_k_and_top_p_leave_out_the_unlikely():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    generator = torch.Generator().manual_seed(0)
    assert {choose(logits, 1.0, 2, None, generator) for _ in range(200)} == {0, 1}
    assert {choose(logits, 1.0, None, 0.7, generator) for _ in range(200)} == {0, 1}
    assert {choose(logits, 1.0, None, 0.01, generator) for _ in range(50)} == {0}
    assert {choose(logits, 1.0, None, 1.0, generator) for _ in range(500)} == {0, 1, 2, 3}


def test_draws_follow_the_probabilities_and_the_temperature():
    logits = torch.log(torch.tensor([0.8, 0.2]))
    generator = torch.Generator().manual_seed(0)
    for temperature, expected in ((1.0, 0.8), (0.5, 0.64 / 0.68), (2.0, 0.8**0.5 / (0.8**0.5 + 0.2**0.5))):
        share = sum(choose(logits, temperature, None, None, generator) == 0 for _ in range(4000)) / 4000
        assert share == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("xyéa", {}, "not in the vocabulary: 'x', 'y', 'é'\n  prompt 'xyéa'\n  known: abc"),
        ("", {}, "the prompt is empty\n  generate\n  at least one character is needed"),
        (
            "a",
            {"temperature": 0.0},
            "temperature must be above 0, got 0.0\n  generate\n  greedy=True always takes the most likely token",
        ),
        ("a", {"temperature": -1.0}, "temperature must be above 0, got -1.0\n  generate\n"
         "  greedy=True always takes the most likely token"),
        ("a", {"top_k": 0}, "top_k must be at least 1, got 0\n  generate"),
        ("a", {"top_p": 1.5}, "top_p must lie in (0, 1], got 1.5\n  generate"),
    ],
)  # fmt: skip
def test_what_cannot_be_generated_is_refused(learner, prompt, options, message):
    with pytest.raises(ParameterError) as error:
        generate(learner, prompt, 5, **options)
    assert str(error.value) == message


def test_a_length_of_nothing_is_refused(learner):
    with pytest.raises(ParameterError, match="length must be at least 1, got 0"):
        generate(learner, "a", 0)


def test_a_learner_of_something_else_is_refused():
    from lab_basics.points import MLP, points

    data = points(count=16)
    learner = Learner(MLP(data.input_size, data.output_size), data, nn.functional.cross_entropy, progress=False)
    with pytest.raises(LabError, match="text generation needs a model that was trained on running text"):
        generate(learner, "a")


# --- in a study -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    base = Experiment(
        dataset=use("char_text", max_chars=4000),
        architecture=use("char_rnn", hidden_size=8, embedding_dim=4, stateful=True),
        loss="sequence_nll",
        sampler="streams",
        valid_sampler="streams",
        callbacks=[use("sample_text", prompt="the", length=30), "tensorboard"],
        batch_size=8,
        epochs=2,
    )
    study = Study(base, seeds=1, name="characters").swap("architecture.cell", ["rnn"])
    return study.run(runs=folder / "runs"), folder / "runs"


def test_every_epoch_leaves_a_text(study):
    results, _ = study
    text = (results.runs[0].folder / "artefacts" / "samples.txt").read_text()
    assert text.count("--- epoch ") == 2
    assert "--- epoch 2 ---\nthe" in text


def test_the_report_shows_a_text_of_every_arm(study):
    results, _ = study
    assert isinstance(results, Results)
    [section] = sections(results.runs)
    assert section.title == "Generated text"
    assert "base" in section.text
    assert "cell=rnn" in section.text or "rnn" in section.text


def test_a_finished_run_generates_from_the_command_line(study, monkeypatch):
    from lab.cli.main import cli

    results, runs = study
    arguments = ["generate", results.runs[0].key, "--runs", str(runs), "--prompt", "th", "--length", "12"]
    first, again = (CliRunner().invoke(cli, arguments, catch_exceptions=False) for _ in range(2))
    assert first.exit_code == 0
    assert first.output.startswith("th")
    assert first.output == again.output


def test_a_loaded_learner_has_the_method(study):
    import lab

    results, runs = study
    learner = lab.load(results.runs[0].key, runs)
    assert learner.generate("the ", length=5).startswith("the ")

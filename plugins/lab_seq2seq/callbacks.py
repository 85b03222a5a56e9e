"""Callbacks that save sample translations and attention maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lab.errors import LabError, ParameterError, describe_error
from lab.training.callback import Callback
from lab.training.data import to_device
from lab_seq2seq.decode import Hypothesis, decode, greedy, sentences, translate
from lab_seq2seq.protocols import StepwiseModel, almost_stepwise, check_agreement, check_decoding, stepwise

if TYPE_CHECKING:
    from lab.training.learner import Learner
    from lab.training.state import Training

__all__ = ["AttentionMaps", "Translations"]


class _Samples(NamedTuple):
    """Sample validation sentences: source ids (S, B), texts and references."""

    source: Tensor
    texts: list[str]
    references: list[str]


class _AtTheEnd(Callback):
    """Base class of callbacks that save artifacts about sample validation sentences when training ends."""

    # Reads the trained model only, so it is not part of a run's key.
    observer = True

    @property
    def width(self) -> int:
        """Width of the beam that it decodes with."""
        return 1

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ParameterError(f"count must be at least 1, got {count}", where=f"callback '{self.name}'")
        self.count = count

    def after_fit(self, learner: Learner) -> None:
        # An interrupted fit calls ``after_fit``, too; samples of half a training would look like final ones.
        if not learner.is_finished or learner.folder is None or self.lacks(learner) is not None:
            return
        try:
            with learner.evaluating():
                self.leave(learner, _samples(learner, self.count))
        except Exception as error:
            # The training is done, and samples of it can be made later; a full disk or memory stops the run elsewhere.
            learner.say(
                f"no {self.title}: {describe_error(error)}\n  the run is kept: learner.translate(...) of lab.load "
                "translates once that is mended"
            )

    @property
    def title(self) -> str:
        """Its name in sentences."""
        return self.name.replace("_", " ")

    def lacks(self, learner: Training) -> LabError | None:
        """Return what the model or the data lack for the artifacts, or None."""
        try:
            stepwise(learner.model, learner.data)
        except LabError as error:
            return error
        return None

    def remarks(self, learner: Training) -> list[str]:
        error = self.lacks(learner)
        if error is not None:
            return [f"no {self.title}: {error.what}"]
        # After training it would be too late to say that a model cannot decode.
        if isinstance(learner.model, StepwiseModel):
            with learner.evaluating():
                source = _samples(learner, 2).source
                has_weights = check_decoding(learner.model, source, beam=self.width)
                check_agreement(learner.model, source)
            return self.without_weights(learner) if not has_weights else []
        if lacking := almost_stepwise(learner.model):
            return [f"a {type(learner.model).__name__} has no {lacking}: it decodes by `forward`, not step by step"]
        return []

    def without_weights(self, learner: Training) -> list[str]:
        """Return what to say of a model whose steps give no attention weights."""
        return []

    def leave(self, learner: Learner, samples: _Samples) -> None:
        """Write the artifacts."""
        raise NotImplementedError


class Translations(_AtTheEnd):
    """Save ``translations.jsonl`` and a readable ``translations.txt`` with source, reference and prediction.

    The sentences are evenly spaced in the validation split, so every run of a study translates the same ones.
    Signatures of metrics, such as BLEU's and chrF's, are saved as ``signatures.json``.

    Args:
        count: number of sentences.
        beam: width of the beam; 1 is greedy.
        texts: further sentences to translate, which have no reference.
    """

    def __init__(self, *, count: int = 20, beam: int = 1, texts: tuple[str, ...] = ()) -> None:
        super().__init__(count)
        if beam < 1:
            raise ParameterError(f"beam must be at least 1, got {beam}", where=f"callback '{self.name}'")
        self.beam, self.texts = beam, texts

    @property
    def width(self) -> int:
        return self.beam

    def leave(self, learner: Learner, samples: _Samples) -> None:
        model = stepwise(learner.model, learner.data)
        predictions = sentences(learner.data, decode(model, samples.source, beam=self.beam))
        rows = [
            {"source": source, "reference": reference, "prediction": prediction}
            for source, reference, prediction in zip(samples.texts, samples.references, predictions, strict=True)
        ]
        if self.texts:
            found = translate(learner, self.texts, beam=self.beam)
            rows = [
                *(
                    {"source": text, "reference": "", "prediction": each}
                    for text, each in zip(self.texts, found, strict=True)
                ),
                *rows,
            ]
        # One JSON object per line, so that a damaged file still has readable sentences.
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        learner.artefact("translations.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")
        blocks = ["".join(f"{name + ':':<12}{text}\n" for name, text in row.items()) for row in rows]
        learner.artefact("translations.txt").write_text("\n".join(blocks), encoding="utf-8")
        signatures = {name: str(getattr(metric, "signature", "")) for name, metric in learner.metrics.items()}
        known = {name: signature for name, signature in signatures.items() if signature}
        if known:
            learner.artefact("signatures.json").write_text(json.dumps(known, indent=1), encoding="utf-8")


class AttentionMaps(_AtTheEnd):
    """Save attention maps of sample validation sentences, as images and as JSON.

    ``attention/01.png`` … are images; ``attention/maps.json`` has, per sentence, ``source`` and ``target`` tokens, the
    ``reference``, and ``weights``, one row per target token. Models with ``attention_weights``, such as Transformers,
    also save ``views``: a map per layer and head of the decoder over the source, of the decoder over itself and of the
    encoder over itself. Models without attention save nothing.

    Args:
        count: number of sentences.
    """

    def __init__(self, *, count: int = 6) -> None:
        super().__init__(count)

    def lacks(self, learner: Training) -> LabError | None:
        if isinstance(learner.model, StepwiseModel):
            return None
        name, lacking = type(learner.model).__name__, almost_stepwise(learner.model)
        if lacking:
            return LabError(f"a {name} cannot decode step by step: it has no {lacking}")
        return LabError(f"a {name} has no `step`, which returns attention weights")

    def without_weights(self, learner: Training) -> list[str]:
        return [f"no {self.title}: `step` of a {type(learner.model).__name__} returns no attention weights"]

    def leave(self, learner: Learner, samples: _Samples) -> None:
        found = greedy(learner.model, samples.source, with_weights=True)
        # Models without attention are arms of the same studies: nothing to save is not an error.
        if found[0].weights is None:
            return
        # Imported on use, because matplotlib is slow to import.
        from lab_seq2seq.plots import attention_map

        maps = [
            _as_map(learner.data, samples.source[:, at], hypothesis, samples.references[at])
            for at, hypothesis in enumerate(found)
        ]
        if hasattr(learner.model, "attention_weights"):
            for one, views in zip(maps, _views(learner, samples, found), strict=True):
                one["views"] = views
        text = json.dumps(maps, ensure_ascii=False)
        learner.artefact("attention/maps.json").write_text(text, encoding="utf-8")
        for number, one in enumerate(maps, 1):
            figure = attention_map(one["source"], one["target"], one["weights"])
            figure.savefig(learner.artefact(f"attention/{number:02}.png"), dpi=120)


def _as_map(data: Any, source: Tensor, hypothesis: Hypothesis, reference: str) -> dict[str, Any]:
    """Return one sentence's attention as plain JSON, without the source's padding."""
    assert hypothesis.weights is not None
    real = source != data.pad_id
    weights = hypothesis.weights[:, real].cpu()
    return {
        "source": _words(data.source_vocab, source[real].tolist()),
        "target": _words(data.target_vocab, hypothesis.ids),
        "reference": reference,
        # Four digits: maps are read by people, and full floats would multiply the size of the file.
        "weights": [[round(value, 4) for value in row] for row in weights.tolist()],
    }


def _views(learner: Learner, samples: _Samples, found: Sequence[Hypothesis]) -> list[list[dict[str, Any]]]:
    """Return, per sentence, a map of each layer and head: its name, what is written and read, and weights."""
    data, source = learner.data, samples.source
    ids = [torch.tensor(one.ids, device=source.device) for one in found]
    target = pad_sequence(ids, padding_value=data.pad_id)  # (T, B)
    weights = learner.model.attention_weights(source, target)
    kinds = {"decoder over source": weights.cross, "decoder": weights.decoder, "encoder": weights.encoder}
    views: list[list[dict[str, Any]]] = []
    for at, hypothesis in enumerate(found):
        real = source[:, at] != data.pad_id
        words = _words(data.source_vocab, source[real, at].tolist())
        written = _words(data.target_vocab, hypothesis.ids)
        # The decoder reads what was written one step before.
        inputs = _words(data.target_vocab, [learner.model.bos_id, *hypothesis.ids[:-1]])
        tokens = {
            "decoder over source": (words, written),
            "decoder": (inputs, written),
            "encoder": (words, words),
        }
        views.append(
            [
                {
                    "name": f"{kind}, layer {layer}, head {head}",
                    "source": read,
                    "target": rows,
                    # Padding stands behind the tokens of either side.
                    "weights": [
                        [round(value, 3) for value in row]
                        for row in each[layer - 1, head - 1, at, : len(rows), : len(read)].tolist()
                    ],
                }
                for kind, each in kinds.items()
                for layer in range(1, each.shape[0] + 1)
                for head in range(1, each.shape[1] + 1)
                for read, rows in (tokens[kind],)
            ]
        )
    return views


def _words(vocabulary: Any, ids: Sequence[int]) -> list[str]:
    return [vocabulary.words[position] for position in ids]


def _samples(learner: Learner, count: int) -> _Samples:
    """Return ``count`` evenly spaced sentences of the validation split, or all if there are fewer."""
    split = learner.data.split("valid")
    count = min(count, len(split))
    # Evenly spaced, not drawn: every arm and seed of a study translates the same sentences.
    indices = [number * len(split) // count for number in range(count)]
    # Splits of ``lab_text`` build whole batches; third-party ones may only have single samples.
    fetch = getattr(split, "__getitems__", None)
    batch = learner.data.collate(fetch(indices) if fetch else [split[index] for index in indices])
    source = to_device(batch, learner.device)[0]
    return _Samples(source, [_source_text(learner.data, split, index) for index in indices], list(batch.references))


def _source_text(data: Any, split: Any, index: int) -> str:
    if hasattr(split, "source_text"):
        return str(split.source_text(index))
    return " ".join(data.source_vocab.tokens(split[index][0].tolist()))

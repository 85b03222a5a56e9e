"""Alignment error rate: attention of a trained model against word alignments by humans.

Alignments are between words of the original texts, separated by spaces; tokens, also pieces of words, are mapped to
them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.errors import DataError, ParameterError
from lab.training.callback import Callback
from lab.training.data import to_device
from lab_seq2seq.decode import alignments
from lab_seq2seq.protocols import StepwiseModel, almost_stepwise, check_decoding

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = ["SCORES", "Aer", "Alignment", "ErrorCounts", "read_alignments", "word_numbers"]

Format = Literal["auto", "pharaoh", "naacl"]
Links = frozenset[tuple[int, int]]
SCORES = "aer.json"
_PHARAOH = re.compile(r"(\d+)([-p?])(\d+)")
_NAACL = re.compile(r"(\d+)\s+(\d+)\s+(\d+)(?:\s+([SP]))?(?:\s+[\d.eE+-]+)?")
_AT_ONCE = 64


class Alignment(NamedTuple):
    """Links (source word, target word) of one sentence pair, counted from 0.

    Attributes:
        sure: links that an annotator is sure of.
        possible: all links, the sure ones among them.
    """

    sure: Links
    possible: Links


def read_alignments(path: str | Path, layout: Format = "auto") -> dict[int, Alignment]:
    """Read alignments by humans: sentence → its links; sentences count from 0.

    ``pharaoh`` has a line per sentence, ``0-0 1-2 2p3``, with words counted from 0; ``p`` or ``?`` in place of ``-`` is
    a possible link. ``naacl`` (Mihalcea & Pedersen 2003) has a line per link, ``sentence source target [S|P]
    [confidence]``, all counted from 1.

    Raises:
        DataError: the file is missing or empty, or a line is neither; the message names the line.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read alignments: {error}", where=str(path)) from error
    filled = next((line for line in lines if line.strip()), None)
    if filled is None:
        raise DataError("there are no alignments", where=str(path))
    if layout == "auto":
        layout = "pharaoh" if _PHARAOH.match(filled.strip()) else "naacl"
    found = _read_pharaoh(lines, path) if layout == "pharaoh" else _read_naacl(lines, path)
    return {
        sentence: Alignment(frozenset(link for link, sure in links if sure), frozenset(link for link, _ in links))
        for sentence, links in found.items()
    }


def _read_pharaoh(lines: Sequence[str], path: str | Path) -> dict[int, list[tuple[tuple[int, int], bool]]]:
    found: dict[int, list[tuple[tuple[int, int], bool]]] = {}
    for number, line in enumerate(lines):
        links = [(_PHARAOH.fullmatch(text), text) for text in line.split()]
        for match, text in links:
            if match is None:
                raise _unreadable(text, number, path, "0-0 1-2 2p3")
        found[number] = [((int(match[1]), int(match[3])), match[2] == "-") for match, _ in links if match]
    return found


def _read_naacl(lines: Sequence[str], path: str | Path) -> dict[int, list[tuple[tuple[int, int], bool]]]:
    found: dict[int, list[tuple[tuple[int, int], bool]]] = {}
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        match = _NAACL.fullmatch(line.strip())
        if match is None or "0" in {each.lstrip("0") or "0" for each in match.group(1, 2, 3)}:
            raise _unreadable(line.strip(), number, path, "1 2 3 S, counted from 1")
        sentence, source, target = (int(each) - 1 for each in match.group(1, 2, 3))
        found.setdefault(sentence, []).append(((source, target), match[4] != "P"))
    return found


def _unreadable(text: str, number: int, path: str | Path, wanted: str) -> DataError:
    return DataError(f"not an alignment: {text[:40]!r}", where=f"{path}, line {number + 1}", hint=f"it reads {wanted}")


def embedded_alignments(split: Any, count: int = 200) -> dict[int, Alignment]:
    """Return the alignments of the first pairs of a split of the embedded corpus, French to English.

    Raises:
        DataError: the pairs are others.
    """
    from lab_text import embedded

    rows = [int(row) for row in split.rows[:count]]
    generated = list(islice(embedded.generate(max(rows) + 1), max(rows) + 1))
    found = {}
    for at, row in enumerate(rows):
        pair, texts = generated[row], (split.source_text(at), split.target_text(at))
        if texts != (pair.french, pair.english):
            raise DataError(
                "the pairs are not those of the embedded corpus, French to English",
                where="callback 'aer'",
                hint="dataset=fr_en_questions(corpus='embedded'), or a file of alignments",
            )
        source, target = (word_numbers(embedded.tokens(text), text) for text in texts)
        sure = frozenset((source[french], target[english]) for french, english in pair.alignment)
        others = set(target) - {word for _, word in sure}
        found[at] = Alignment(sure, sure | {(word, other) for word in source for other in others})
    return found


class ErrorCounts:
    """Counts of links, for the alignment error rate of a corpus (Och & Ney 2003, "A Systematic Comparison").

    ``AER = 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|)`` for links A against sure S and possible P.
    """

    def __init__(self) -> None:
        self.found = self.sure = self.found_sure = self.found_possible = 0

    def add(self, links: Iterable[tuple[int, int]], gold: Alignment) -> None:
        """Count the links of one sentence."""
        links = set(links)
        self.found += len(links)
        self.sure += len(gold.sure)
        self.found_sure += len(links & gold.sure)
        self.found_possible += len(links & gold.possible)

    @property
    def error_rate(self) -> float:
        """The rate, from 0 to 1; NaN without any link."""
        total = self.found + self.sure
        return 1 - (self.found_sure + self.found_possible) / total if total else float("nan")

    @property
    def precision(self) -> float:
        """The share of the links that are possible; NaN without any."""
        return self.found_possible / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        """The share of the sure links that were found; NaN without any."""
        return self.found_sure / self.sure if self.sure else float("nan")


def word_numbers(tokens: Sequence[str], text: str) -> list[int]:
    """Return the number of the word of ``text`` that each token belongs to, or begins in.

    Raises:
        DataError: the tokens are not the letters of the text.

    >>> word_numbers(["qu'", "est", "-ce", "▁qu", "e"], "Qu'est-ce que")
    [0, 0, 0, 1, 1]
    """
    words = text.lower().split()
    owner = [number for number, word in enumerate(words) for _ in word]
    numbers, place = [], 0
    for token in tokens:
        letters = "".join(token.lower().replace("▁", "").split())
        # A piece that is a mark of a space alone belongs to the word behind it.
        if place >= len(owner) or not "".join(words).startswith(letters, place):
            raise DataError(f"the token {token!r} is not where it should be in the text", where=text[:60])
        numbers.append(owner[place])
        place += len(letters)
    return numbers


class Aer(Callback):
    """Alignment error rate of the attention, after each epoch: the column ``aer``, lower is better.

    The reference translation is the input. Each target word is linked to the source word that gets the most
    attention, summed over tokens; a word that attends to the end of the sentence most has no link. The artifact
    ``aer.json`` and the report have every layer and head. A model without attention is left out.

    Args:
        file: alignments of validation pairs, as ``read_alignments`` reads them; sentence n is pair n of the split.
            "embedded" takes those of the embedded corpus, for its first 200 pairs: content words have sure links, and
            every link of another target word is possible.
        layout: "pharaoh", "naacl", or "auto".
        reverse: the file has the target first.
        layer: of the column, counted from 1; None for the last one.
        head: of the column, counted from 1; None for the mean of the heads.
    """

    name = "aer"
    observer = True

    def __init__(
        self,
        *,
        file: str = "",
        layout: Format = "auto",
        reverse: bool = False,
        layer: int | None = None,
        head: int | None = None,
    ) -> None:
        for what, value in (("layer", layer), ("head", head)):
            if value is not None and value < 1:
                raise ParameterError(f"{what} counts from 1, got {value}", where="callback 'aer'")
        self.file, self.layout, self.reverse, self.layer, self.head = file, layout, reverse, layer, head
        self.metrics = {"aer": False}

    def check(self, learner: Any) -> None:
        if not self.file:
            raise ParameterError("no file of alignments was given", where="callback 'aer'", hint="file=…")
        if not hasattr(learner.data.valid, "pairs"):
            raise ParameterError(
                f"{type(learner.data).__name__} does not keep its texts",
                where="callback 'aer'",
                hint="a dataset of sentence pairs, such as parallel_text",
            )
        # Reading now reports a wrong file before training.
        self._gold(learner.data)

    def remarks(self, learner: Any) -> list[str]:
        lacks = self._lacks(learner)
        return [f"no aer: {lacks}"] if lacks else []

    def _lacks(self, learner: Any) -> str:
        """Return what the model lacks for alignments, or an empty string."""
        model, name = learner.model, type(learner.model).__name__
        if not isinstance(model, StepwiseModel):
            return f"a {name} has no {almost_stepwise(model) or '`step`'}"
        with learner.evaluating():
            source = to_device(learner.data.collate(learner.data.valid.__getitems__([0])), learner.device)[0]
            has_weights = hasattr(model, "attention_weights") or check_decoding(model, source, beam=1)
        return "" if has_weights else f"`step` of a {name} returns no attention weights"

    def _gold(self, data: Any) -> dict[int, Alignment]:
        if self.file == "embedded":
            return embedded_alignments(data.valid)
        gold = read_alignments(self.file, self.layout)
        if self.reverse:
            gold = {at: Alignment(*(frozenset((t, s) for s, t in links) for links in one)) for at, one in gold.items()}
        pairs = len(data.valid)
        if (last := max(gold)) >= pairs:
            raise DataError(f"alignments of sentence {last + 1}, but {pairs} validation pairs", where=self.file)
        for at, one in gold.items():
            sizes = (len(text(at).split()) for text in (data.valid.source_text, data.valid.target_text))
            for side, size, place in zip(("source", "target"), sizes, (0, 1), strict=True):
                if (most := max((link[place] for link in one.possible), default=-1)) >= size:
                    raise DataError(
                        f"sentence {at + 1} has {size} {side} words, and a link to word {most + 1}",
                        where=self.file,
                        hint="words of the texts are separated by spaces; is reverse=True meant?",
                    )
        return gold

    def after_validate(self, learner: Learner) -> None:
        model: Any = learner.model
        if self._lacks(learner):
            return
        with learner.evaluating():
            counts = attention_errors(model, learner.data, self._gold(learner.data), learner.device)
        learner.history[-1]["aer"] = self._chosen(counts).error_rate
        if learner.folder is not None:
            rows = [
                {"layer": layer, "head": head, "aer": one.error_rate, "precision": one.precision, "recall": one.recall}
                for (layer, head), one in counts.items()
            ]
            learner.artefact(SCORES).write_text(json.dumps(rows, indent=1), encoding="utf-8")

    def _chosen(self, counts: Mapping[tuple[int, int | None], ErrorCounts]) -> ErrorCounts:
        layer = max(layer for layer, _ in counts) if self.layer is None else self.layer
        if (layer, self.head) not in counts:
            last = max(counts, key=lambda place: (place[0], place[1] or 0))
            raise ParameterError(
                f"there is no layer {layer} with head {self.head}",
                where="callback 'aer'",
                hint=f"the model has {last[0]} layers of {last[1]} heads",
            )
        return counts[layer, self.head]


@torch.no_grad()
def attention_errors(
    model: Any, data: Any, gold: Mapping[int, Alignment], device: Any
) -> dict[tuple[int, int | None], ErrorCounts]:
    """Return the error counts of each layer and head, counted from 1; head None is the mean of a layer's heads."""
    counts: dict[tuple[int, int | None], ErrorCounts] = {}
    for rows in _by_length(data.valid, sorted(gold)):
        batch = to_device(data.collate(data.valid.__getitems__(rows)), device)
        weights = _source_attention(model, batch.source, batch.target)  # (layers, H, B, T, S)
        for place, row in enumerate(rows):
            each = _word_weights(data.valid, row, weights[:, :, place].cpu().numpy())
            for layer, heads in enumerate(each, 1):
                views = {(layer, head): one for head, one in enumerate(heads, 1)} | {(layer, None): heads.mean(0)}
                for view, one in views.items():
                    counts.setdefault(view, ErrorCounts()).add(_links(one), gold[row])
    return counts


def _by_length(split: Any, rows: Sequence[int]) -> Iterator[list[int]]:
    order = sorted(rows, key=lambda row: int(split.lengths[row]))
    return (order[start : start + _AT_ONCE] for start in range(0, len(order), _AT_ONCE))


def _source_attention(model: Any, source: Tensor, target: Tensor) -> Tensor:
    """Return the attention of the decoder over the source, (layers, H, B, T, S)."""
    if hasattr(model, "attention_weights"):
        cross: Tensor = model.attention_weights(source, target).cross
        return cross
    return alignments(model, source, target).permute(2, 0, 1)[None, None]


def _word_weights(split: Any, row: int, weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the attention between words, with the end of the source behind them: (layers, H, target, source + 1).

    Tokens of a word are summed; words that were cut off have no attention.
    """
    corpus_row = int(split.rows[row])
    sides = ((split.pairs.source, split.source_text(row), 1), (split.pairs.target, split.target_text(row), 0))
    for (side, text, extra), axis in zip(sides, (-1, -2), strict=True):
        numbers = word_numbers(side.tokens(corpus_row), text)[: weights.shape[axis]]
        words = len(text.split())
        table = np.zeros((weights.shape[axis], words + extra))
        table[np.arange(len(numbers)), numbers] = 1
        if extra and len(numbers) < len(table):
            # Behind the tokens stands the end of the sentence.
            table[len(numbers), words] = 1
        weights = weights @ table if axis == -1 else np.moveaxis(table, 0, 1) @ weights
    return weights


def _links(weights: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Return the links of attention (target, source + 1)."""
    best = weights.argmax(1)
    end = weights.shape[1] - 1
    return [(int(at), word) for word, at in enumerate(best) if at != end and weights[word].any()]

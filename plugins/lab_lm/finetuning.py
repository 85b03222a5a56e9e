"""Fine-tuning: the weights of an earlier run as the start of another, with the vocabulary remapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from lab_basics.pretraining import FromRun
from torch import Tensor, nn

from lab.errors import LabError
from lab_lm.encoders import LanguageEncoder

if TYPE_CHECKING:
    from lab import Experiment
    from lab.training import Learner

__all__ = ["StartFrom", "remapped", "start_from"]

_WHERE = "callback 'start_from'"
_SHOWN = 5
_ALIASES = {"_unk": "<unk>", "_eos_": "<eos>", "_pad_": "<pad>"}
"""Special tokens of ``lab_text`` and what they are in a language model."""


class StartFrom(FromRun):
    """Start from the weights of an earlier run.

    A language model takes all weights of a run of the same architecture. A model with an ``encoder`` of this plugin
    (``text_classifier`` with ``encoder="rnn_lm"``, ``awd_lstm``, ``gpt`` or ``bert``) takes those of the encoder and of
    the embedding. Tokens that both vocabularies have keep their rows, others get the mean of all known rows (Howard &
    Ruder 2018, arXiv:1801.06146, section 3); how many is logged.

    Name the run by its key, or give the experiment of the pretraining: the first run that needs it trains it, with one
    seed, in the same folder of runs, and all others find it.

    Args:
        run: key of a finished run, or its first digits.
        pretraining: a function without parameters that returns the experiment to train first, instead of ``run``.
        settings: changes of the pretraining, written as after ``--set``: ``["epochs=1", "dataset.max_lines=300"]``.
        seed: of the pretraining; None is the seed of the run that begins with it.
        remap: if the vocabularies differ, map the rows of the embedding; False refuses other vocabularies.
        runs: folder of runs; None for that of this run.

    Raises:
        ParameterError: neither or both of ``run`` and ``pretraining`` are given, or ``settings`` without the latter.
        StudyError: the pretraining has no such settings.
        LabError: the run is gone or not finished, is of another architecture or size, has no token in common, or has
            another vocabulary and ``remap`` is False.
    """

    def __init__(
        self,
        *,
        run: str = "",
        pretraining: Callable[[], Experiment] | None = None,
        settings: Sequence[str] = (),
        seed: int | None = 0,
        remap: bool = True,
        runs: str | None = None,
    ) -> None:
        super().__init__(run=run, pretraining=pretraining, settings=settings, seed=seed, runs=runs)
        self.remap = remap

    def take(self, learner: Learner, source: Learner) -> None:
        lines = start_from(learner.model, learner.data, source.model, source.data, remap=self.remap)
        learner.say("\n  ".join(["start_from:", *lines]))


def start_from(model: nn.Module, data: Any, source: nn.Module, source_data: Any, *, remap: bool = True) -> list[str]:
    """Copy the weights of a language model into another model, and return sentences on what was copied.

    Args:
        model: a language model of the same class, or a model with ``embedding`` and an ``encoder`` of this plugin.
        data: its data, with the attribute ``vocab`` or ``vocabulary``.
        source: the trained language model.
        source_data: its data.
        remap: as of ``StartFrom``.

    Raises:
        LabError: as of ``StartFrom``.
    """
    mine, theirs = _tokens(data), _tokens(source_data)
    if mine != theirs and not remap:
        raise LabError(f"the run has another vocabulary: {_difference(mine, theirs)}", where=_WHERE, hint="remap=True")
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, LanguageEncoder):
        names = {f"encoder.{name}": name for name in encoder.state_dict()}
        own = dict(model.state_dict())
        kinds = [name for name in ("trained", "frozen") if f"embedding.{name}.weight" in own]
        names |= {f"embedding.{kind}.weight": "embedding.weight" for kind in kinds}
    elif type(model) is type(source):
        names = {name: name for name in model.state_dict() if not name.endswith("_extra_state")}
    else:
        raise LabError(
            f"a {type(model).__name__} cannot start from a {type(source).__name__}",
            where=_WHERE,
            hint="name a run of the same architecture, or use a text encoder of lab_lm",
        )
    _copy(model, source, names, mine, theirs)
    known = len(set(mine) & set(theirs))
    lines = [f"{len(names):,} tensors copied"]
    if mine != theirs:
        lines.append(f"{known:,} of {len(mine):,} tokens have rows there, {len(mine) - known:,} get the mean")
    return lines


@torch.no_grad()
def _copy(
    model: nn.Module, source: nn.Module, names: Mapping[str, str], mine: Sequence[str], theirs: Sequence[str]
) -> None:
    there, here = source.state_dict(), model.state_dict()
    found: dict[str, Tensor] = {}
    for name, other in names.items():
        if other not in there:
            raise LabError(
                f"the run has no weights '{other}', so it is of another architecture",
                where=_WHERE,
                hint=f"it is a {type(source).__name__}",
            )
        value, wanted = there[other], tuple(here[name].shape)
        if len(value) == len(theirs) and wanted == (len(mine), *value.shape[1:]):
            value = remapped(value, theirs, mine)
        if tuple(value.shape) != wanted:
            raise LabError(
                f"the run has other sizes: '{other}' is {tuple(value.shape)} there and {wanted} here",
                where=_WHERE,
                hint="use the sizes of the run: lab runs show KEY",
            )
        found[name] = value
    # Copied after all were checked: a model is never half started.
    for name, value in found.items():
        here[name].copy_(value)
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx] = 0.0


def remapped(rows: Tensor, theirs: Sequence[str], mine: Sequence[str]) -> Tensor:
    """Return the rows (V', …) of tokens ``mine`` from the rows (V, …) of tokens ``theirs``; unknown ones are the mean.

    >>> remapped(torch.tensor([1.0, 3.0]), ["a", "b"], ["b", "c"]).tolist()
    [3.0, 2.0]

    Raises:
        LabError: no token is in both.
    """
    numbers = {token: number for number, token in enumerate(theirs)}
    places = [numbers.get(token, -1) for token in mine]
    if all(place < 0 for place in places):
        raise LabError(f"the vocabularies have no token in common: {_difference(mine, theirs)}", where=_WHERE)
    index = torch.tensor(places, device=rows.device)
    found = rows[index.clamp(min=0)].clone()
    found[index < 0] = rows.mean(0)
    return found


def _tokens(data: Any) -> list[str]:
    """Return the tokens of data by id, special ones by the names of language models."""
    vocabulary = getattr(data, "vocab", None) or getattr(data, "vocabulary", None)
    for name in ("tokens", "words", "characters"):
        tokens = getattr(vocabulary, name, None)
        if isinstance(tokens, list):
            return [_ALIASES.get(token, token) for token in tokens]
    raise LabError("the data have no vocabulary", where=f"{_WHERE}, {type(data).__name__}", hint="dataset='text'")


def _difference(mine: Sequence[str], theirs: Sequence[str]) -> str:
    known = set(theirs)
    new = [token for token in mine if token not in known]
    shown = ", ".join(map(repr, new[:_SHOWN])) + (" …" if len(new) > _SHOWN else "")
    return f"{len(mine):,} tokens here, {len(theirs):,} there, {len(new):,} of these are not there ({shown})"

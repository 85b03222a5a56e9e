"""Teacher forcing: the training step of translation models."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from lab_basics.steppers import LossStepper
from torch import Tensor, nn
from torch.nn import functional

from lab.errors import ParameterError
from lab.training.means import Weight, loss_weight, states_mean
from lab.training.stepper import Evaluation
from lab_seq2seq.losses import fit_length
from lab_seq2seq.protocols import PrefixDecoder, StepwiseModel, check_agreement, generated_by_steps, is_plain

if TYPE_CHECKING:
    from lab_text.batches import TranslationBatch

    from lab.training.learner import Learner

__all__ = ["TeacherForcing"]


class TeacherForcing(LossStepper):
    """Teacher forcing with scheduled sampling: the decoder gets the true previous token with a falling probability.

    The forcing mask has one flag per step for the whole batch, sampled before the forward pass from the stream
    ``stepper``. The probability is ``start · max(0, 1 - epoch / decay_epochs)``, with the epoch of this fit counted
    from 0: with the defaults 1.0, 0.9, … 0.1, then 0. Bengio, Vinyals, Jaitly & Shazeer 2015, arXiv:1506.03099, as in
    fast.ai's 2018 translation lesson (one flag per step, linear decay). The lesson trains at least ``decay_epochs``
    epochs; a shorter fit ends while the decoder still gets true tokens that it will not have in validation. ``decay``
    makes the decay a fraction of the fit instead, step by step: ``start · max(0, 1 - step / (decay · steps))``. The
    training loss of an epoch depends on its probability, so compare validation losses, which are never forced.

    Validation decodes greedily to the end of every sentence: the loss covers the target's length, and the metrics see
    the whole output, with the target padded to its length.

    A plain model (``lab_seq2seq.protocols.TranslationModel``) is called as ``model(source, prefix)``, once per step
    that is not forced; ``always_forced`` trains it in one call per batch. If it has ``start`` and ``step``, they decode
    in validation. A model that knows the mask is called as ``model(source, target, forced)``, with ``packed=True`` if
    it takes that and the loss has ``accepts_packed``, with ``unprojected=True`` if the loss also has
    ``accepts_unprojected`` and the model ``gives_unprojected`` (the loss then computes the projection onto the
    vocabulary, chunk by chunk), and as ``model(source, at_least=T)`` in validation.

    Args:
        pad_id: id of padding.
        start: probability in the first epoch, in [0, 1].
        decay_epochs: epochs until the probability is 0; None keeps it at ``start``.
        decay: fraction of the steps of the fit until the probability is 0, in (0, 1]; replaces ``decay_epochs``.
        clip: maximum norm of all gradients together; None does not clip.
        accumulate: number of batches whose gradients are averaged into one step.
        precision: dtype of autocast.
        alpha: weight of activation regularization, the mean square of the decoder's outputs after dropout.
        beta: weight of temporal activation regularization, the mean square of the difference between its outputs,
            before dropout, at neighboring steps. Both after Merity, McCann & Socher 2017, arXiv:1708.01009; the
            training loss contains them, the validation loss does not.

    Raises:
        ParameterError: a value is out of range, or ``alpha`` or ``beta`` is given for a model without
            ``output_dropout``, where the outputs are read.
    """

    def __init__(
        self,
        pad_id: int,
        *,
        start: float = 1.0,
        decay_epochs: float | None = 10,
        clip: float | None = None,
        accumulate: int = 1,
        precision: Literal["float32", "bfloat16", "float16"] = "float32",
        alpha: float = 0.0,
        beta: float = 0.0,
        decay: float | None = None,
    ) -> None:
        super().__init__(clip=clip, accumulate=accumulate, precision=precision)
        if not 0 <= start <= 1:
            raise ParameterError(f"start must lie in [0, 1], got {start}", where="stepper 'teacher_forcing'")
        # 0 would divide by zero in the schedule.
        if decay_epochs is not None and decay_epochs <= 0:
            raise ParameterError(
                f"decay_epochs must be positive, got {decay_epochs}",
                where="stepper 'teacher_forcing'",
                hint="decay_epochs=None keeps the probability; start=0 never forces",
            )
        if decay is not None and not 0 < decay <= 1:
            raise ParameterError(
                f"decay must lie in (0, 1], got {decay}",
                where="stepper 'teacher_forcing'",
                hint="a fraction of the steps of the fit",
            )
        if min(alpha, beta) < 0:
            raise ParameterError(
                f"alpha and beta must not be negative, got {alpha} and {beta}", where="stepper 'teacher_forcing'"
            )
        self.pad_id, self.start, self.decay_epochs, self.decay = pad_id, start, decay_epochs, decay
        self.alpha, self.beta = alpha, beta

    def attach(self, learner: Learner) -> None:
        super().attach(learner)
        self._plain, self._has_compared = is_plain(learner.model), False
        taken = inspect.signature(learner.model.forward).parameters
        self._packs = "packed" in taken or any(each.kind is each.VAR_KEYWORD for each in taken.values())
        if (self.alpha or self.beta) and not isinstance(getattr(learner.model, "output_dropout", None), nn.Module):
            raise ParameterError(
                f"a {type(learner.model).__name__} has no output_dropout, whose inputs alpha and beta regularize",
                where="stepper 'teacher_forcing'",
                hint="use seq2seq_rnn, or alpha=0 and beta=0",
            )

    @property
    def probability(self) -> float:
        """Probability of a forced step at the current position of the fit."""
        position = self.learner.position
        if self.decay is not None:
            # A plan steps once without a fit, which has no steps to take a fraction of.
            return self.start * max(0.0, 1 - position.step / max(1.0, self.decay * position.steps))
        if self.decay_epochs is None:
            return self.start
        return self.start * max(0.0, 1 - position.epoch / self.decay_epochs)

    def sample_forcing_mask(self, steps: int) -> list[bool]:
        """Return a flag per step, true for a forced one; the model ignores the first, whose input is ``bos``."""
        # Drawn even at a probability of 0 or 1: the stream then advances alike in arms that differ in the schedule.
        draws = torch.rand(steps, generator=self.learner.streams.generator("stepper"))
        return (draws < self.probability).tolist()

    def train_loss(self, batch: TranslationBatch) -> Tensor:
        source, target = batch[0], batch[1]
        forced = self.sample_forcing_mask(len(target))
        if self._plain:
            return self.learner.loss(self._prefixes().forced(source, target, forced), target)
        if not (self.alpha or self.beta):
            return self.learner.loss(self.model(source, target, forced, **self._output_format()), target)
        calls: list[tuple[Tensor, Tensor]] = []
        module: Any = self.learner.model.output_dropout
        handle = module.register_forward_hook(lambda _, inputs, output: calls.append((inputs[0], output)))
        try:
            loss = self.learner.loss(self.model(source, target, forced, **self._output_format()), target)
        finally:
            handle.remove()
        # A step whose prediction becomes an input goes through dropout with its run, so these are all steps in order.
        outputs, dropped = (torch.cat([each.flatten(0, -2) for each in part]) for part in zip(*calls, strict=True))
        lengths = (target != self.pad_id).sum(0).clamp(min=1)
        return loss + self.alpha * dropped.pow(2).mean() + self.beta * _slowness(outputs, lengths, target.shape)

    def _prefixes(self) -> PrefixDecoder:
        """Return the decoder over a plain model; the model is the one that the learner trains at this moment."""
        data: Any = self.learner.data
        return PrefixDecoder(self.model, data.bos_id, data.eos_id, data.max_length)

    def _output_format(self) -> dict[str, bool]:
        """Return the options of the model that leave out what the loss does not need."""
        loss, model = self.learner.loss, self.learner.model
        # Third-party losses and models get padded logits unless they ask for more.
        if not getattr(loss, "accepts_packed", False) or not self._packs:
            return {}
        if getattr(loss, "accepts_unprojected", False) and getattr(model, "gives_unprojected", False):
            return {"packed": True, "unprojected": True}
        return {"packed": True}

    def weight(self, batch: TranslationBatch) -> Weight:
        return self._weight(None, batch[1])

    def evaluate(self, batch: TranslationBatch) -> Evaluation:
        source, target = batch[0], batch[1]
        # Never shorter than the target: the loss needs a prediction for each of its tokens.
        steps = len(target)
        output = self._generated(source, steps)
        loss = self.learner.loss(fit_length(output, len(target)), target)
        # Metrics compare position by position; the output may run on after the target's end.
        longer = functional.pad(target, (0, 0, 0, len(output) - len(target)), value=self.pad_id)
        return Evaluation(loss, output, longer, self._weight(output, target))

    def _generated(self, source: Tensor, at_least: int) -> Tensor:
        model = self.learner.model
        if not self._plain:
            return self.model(source, at_least=at_least)
        if isinstance(model, StepwiseModel):
            if not self._has_compared:
                # once, in the plan already: scores of steps that compute something else are those of another model
                self._has_compared = True
                check_agreement(model, source[:, :2])
            return generated_by_steps(model, source, at_least)
        return self._prefixes().generated(source, at_least)

    def _weight(self, output: Any, target: Tensor) -> Weight:
        """Return the number of real tokens, unless the loss states what it is a mean over."""
        return (
            loss_weight(self.learner.loss, output, target)
            if states_mean(self.learner.loss)
            else (target != self.pad_id).sum()
        )


def _slowness(outputs: Tensor, lengths: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the mean square of the difference of neighboring steps.

    Args:
        outputs: (N, E), step after step: all sentences, or only those that go on, the longest first.
        lengths: (B,) of the targets.
        shape: (T, B) of the target.
    """
    steps, count = shape
    sizes = torch.full((steps,), count)
    if len(outputs) != steps * count:
        sizes = (torch.arange(steps).unsqueeze(1) < lengths.cpu()).sum(1)
    later = torch.arange(int(sizes[0]), len(outputs))
    # The row of the same sentence one step before: each step begins as many rows later as the last one had.
    earlier = later - sizes[:-1].repeat_interleave(sizes[1:])
    if not len(later):
        return outputs.new_zeros(())
    return (outputs[later.to(outputs.device)] - outputs[earlier.to(outputs.device)]).pow(2).mean()

"""Support for the conformance kit: the checks of attentions and of positions."""

from __future__ import annotations

import torch
from torch import Tensor

from lab import use
from lab.errors import ParameterError
from lab.testing import ComponentCase, Conformance, ConformanceSupport, Finding, clear_error, no_global_randomness, same
from lab.training.rng import Streams
from lab_attention.attention import Attention
from lab_attention.positions import Positions

__all__ = ["AttentionConformance", "PositionsConformance", "support"]

BATCH, STEPS, WIDTH = 3, 5, 6


class AttentionConformance(Conformance):
    """Checks of attentions: a subclass of ``lab_attention.attention.Attention``."""

    kind = "attentions"

    def build(self, query_size: int = WIDTH, key_size: int = WIDTH, seed: int = 0) -> Attention:
        """Return the attention of a decoder and an encoder of these widths."""
        with Streams(seed).initializing():
            attention = self.resolved.build({}, query_size=query_size, key_size=key_size)
        if not isinstance(attention, Attention):
            raise Finding(f"{self.label} must be an Attention, not a {type(attention).__name__}")
        return attention.eval()

    def look(self, attention: Attention, keys: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return context (B, K) and weights (S, B) of one query."""
        context, weights = attention(_random(1, BATCH, attention.query_size), keys, mask)
        return context, weights

    def test_gives_context_and_weights(self) -> None:
        """context (B, K), weights (S, B); also where queries and keys differ in width, unless it refuses that."""
        for key_size in (WIDTH, 4):
            try:
                attention = self.build(key_size=key_size)
            except ParameterError:
                # Dot-product attention may refuse keys of another width, but not keys of the query's width.
                if key_size == WIDTH:
                    raise
                continue
            context, weights = self.look(attention, _random(2, STEPS, BATCH, key_size))
            given = (tuple(context.shape), tuple(weights.shape))
            if given != ((BATCH, key_size), (STEPS, BATCH)):
                raise Finding(f"{self.label}: context and weights have the shapes {given[0]} and {given[1]}")

    def test_weights_sum_to_one_over_the_source(self) -> None:
        """Weights sum to 1 over the source, not over the batch; none is negative."""
        _, weights = self.look(self.build(), _random(2, STEPS, BATCH, WIDTH))
        if not same(weights.sum(0), torch.ones(BATCH), 1e-5) or bool((weights < 0).any()):
            raise Finding(f"{self.label}: the weights of a sentence sum to {weights.sum(0).tolist()}")

    def test_masked_positions_do_not_leak(self) -> None:
        """Values at padding change neither context nor weights, and get no weight."""
        mask = torch.ones(STEPS, BATCH, dtype=torch.bool)
        mask[3:, 1] = False
        keys, attention = _random(2, STEPS, BATCH, WIDTH), self.build()
        context, weights = self.look(attention, keys, mask)
        other = self.look(attention, torch.where(mask.unsqueeze(2), keys, 9.0), mask)
        if bool(weights[~mask].any()) or not same((context, weights), other, 1e-5):
            raise Finding(f"{self.label}: masked positions leak", hint="put no weight where the mask is False")

    def test_step_by_step_is_the_same_as_at_once(self) -> None:
        """``remember`` and ``attend`` give the same as a call."""
        keys, attention = _random(2, STEPS, BATCH, WIDTH), self.build()
        stepwise = attention.attend(_random(1, BATCH, WIDTH), attention.remember(keys))
        if not same(self.look(attention, keys), tuple(stepwise), 1e-6):
            raise Finding(f"{self.label}: attend(query, remember(keys)) differs from a call")

    def test_sentences_of_a_batch_do_not_see_each_other(self) -> None:
        """Other sentences of the batch do not change the result."""
        keys, attention = _random(2, STEPS, BATCH, WIDTH), self.build()
        # Every sentence but the first changes.
        changed = torch.cat([keys[:, :1], keys[:, 1:] + 1], 1)
        if not same(self.look(attention, keys)[0][0], self.look(attention, changed)[0][0], 1e-5):
            raise Finding(f"{self.label}: the context of a sentence depends on the others of its batch")

    def test_fused_scores_equal_the_scores(self) -> None:
        """``fused_scores``, if defined, has the numbers and gradients of ``score``."""
        attention, results = self.build().train(), []
        keys, query = _random(2, STEPS, BATCH, WIDTH).requires_grad_(), _random(1, BATCH, WIDTH).requires_grad_()
        given = [keys, query, *attention.parameters()]
        for fused in (True, False):
            prepared = attention.prepare(keys)
            stage = attention.fused_scores(prepared) if fused else None
            if fused and stage is None:
                return
            scores = stage(query).t() if stage else attention.score(query, prepared)
            results.append((scores, *torch.autograd.grad(scores.sin().sum(), given)))
        if not same(*results, 1e-4):
            raise Finding(f"{self.label}: fused_scores and score differ in numbers or gradients")

    def test_gradients_reach_every_trainable_parameter(self) -> None:
        """Gradients reach the keys and the query, too."""
        attention = self.build().train()
        keys, query = _random(2, STEPS, BATCH, WIDTH).requires_grad_(), _random(1, BATCH, WIDTH).requires_grad_()
        attention(query, keys)[0].square().sum().backward()
        weights = {**dict(attention.named_parameters()), "keys": keys, "query": query}
        missed = [name for name, weight in weights.items() if weight.grad is None]
        if missed:
            raise Finding(f"{self.label}: no gradient reaches {', '.join(missed)}")

    def test_same_seed_gives_the_same_weights(self) -> None:
        """Initial weights come from torch's generator alone."""
        keys = _random(2, STEPS, BATCH, WIDTH)
        with no_global_randomness(self.label, torch_too=False):
            first, second = (self.look(self.build(), keys) for _ in range(2))
        if not same(first, second):
            raise Finding(f"{self.label}: two attentions of the same seed differ")

    def test_wrong_shape_gives_a_clear_error(self) -> None:
        """Keys of another width raise an error that names the shapes."""
        attention = self.build()
        wrong = _random(2, STEPS, BATCH, WIDTH + 1)
        clear_error(lambda: self.look(attention, wrong), f"{self.label}: keys of a wrong width")


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class PositionsConformance(Conformance):
    """Checks of positions: a subclass of ``lab_attention.positions.Positions``."""

    kind = "positions"

    def build(self, width: int = 8, heads: int = 2) -> Positions:
        """Return the positions of a model."""
        with Streams(0).initializing():
            positions = self.resolved.build({}, width=width, heads=heads)
        if not isinstance(positions, Positions):
            raise Finding(f"{self.label} must be a Positions, not a {type(positions).__name__}")
        return positions.eval()

    def test_shapes_are_kept(self) -> None:
        """``add`` and ``rotate`` keep the shape; a bias has one row per query and head."""
        positions, x, heads = self.build(), _random(1, BATCH, STEPS, 8), _random(2, BATCH, 2, STEPS, 4)
        if positions.add(x).shape != x.shape or positions.rotate(heads).shape != heads.shape:
            raise Finding(f"{self.label}: add or rotate changes the shape")
        bias = positions.bias(2, STEPS, heads)
        if bias is not None and tuple(bias.shape) != (2, 2, STEPS):
            raise Finding(f"{self.label}: a bias of 2 queries and {STEPS} keys has the shape {tuple(bias.shape)}")

    def test_step_by_step_is_the_same_as_at_once(self) -> None:
        """A position at ``start`` is the same alone as behind those before it."""
        positions, x, heads = self.build(), _random(1, BATCH, STEPS, 8), _random(2, BATCH, 2, STEPS, 4)
        alone = (positions.add(x[:, 3:], 3), positions.rotate(heads[:, :, 3:], 3))
        if not same((positions.add(x)[:, 3:], positions.rotate(heads)[:, :, 3:]), alone, 1e-5):
            raise Finding(f"{self.label}: a position depends on where a call starts")
        whole, last = positions.bias(STEPS, STEPS, heads), positions.bias(1, STEPS, heads)
        if whole is not None and (last is None or not same(whole[:, -1:], last, 1e-6)):
            raise Finding(f"{self.label}: the bias of the last query depends on the others")


def support() -> ConformanceSupport:
    """Return the checks of attentions and positions."""
    return ConformanceSupport(
        kinds={"attentions": AttentionConformance, "positions": PositionsConformance},
        # The checks have a width of 6, which 4 heads do not divide.
        cases={"attentions.multi_head": ComponentCase(use("multi_head", heads=2))},
    )

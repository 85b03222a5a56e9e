"""Training steps of the sequence model, plain and lab's; as a program, a server of plain steps.

    python -m tests.benchmarks.forcing_steps VOCAB_SIZE ATTENTION PROBABILITY SHORTEST

For each line of input it computes one step and prints its milliseconds. The plain loop needs its own process, because
the allocator settings of lab cannot be reset to glibc's defaults.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import IO, Any, cast

import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.losses import seq2seq_loss
from lab_seq2seq.models import Seq2SeqRNN
from torch import Tensor

from tests.plugins.lab_seq2seq.reference import plain_forward, plain_loss

PAD, BOS, EOS = 1, 0, 2
BATCH, LONGEST, THREADS = 125, 15, 2


class Steps:
    """A model and one batch.

    Args:
        vocab_size: words on either side.
        attention: whether the model has one.
        probability: of a forced step.
        shortest: tokens of the shortest target; the longest has 15.
    """

    def __init__(self, vocab_size: int, attention: bool, probability: float, shortest: int) -> None:
        torch.set_num_threads(THREADS)
        generator = torch.Generator().manual_seed(0)
        kind = AdditiveAttention if attention else None
        self.model = Seq2SeqRNN(vocab_size, vocab_size, None, None, PAD, BOS, EOS, 30, attention=kind).train()
        self.source = sentences(vocab_size, 5, generator)
        self.target = sentences(vocab_size, shortest, generator)
        self.forced = (torch.rand(LONGEST, generator=generator) < probability).tolist()

    def plain(self) -> Tensor:
        """Return the loss of the plain loop."""
        return plain_loss(plain_forward(self.model, self.source, self.target, self.forced), self.target, PAD)

    def fast(self) -> Tensor:
        """Return the loss as in training."""
        scores = self.model(self.source, self.target, self.forced, packed=True, unprojected=True)
        return seq2seq_loss(scores, self.target, PAD)

    def milliseconds(self, step: Callable[[], Tensor], settings: Callable[[], Any] = nullcontext) -> float:
        """Return the milliseconds of forward, loss and backward."""
        with settings():
            self.model.zero_grad(set_to_none=True)
            started = time.perf_counter()
            step().backward()
            return 1000 * (time.perf_counter() - started)


def sentences(vocab_size: int, shortest: int, generator: torch.Generator) -> Tensor:
    """Return (T, B) ids: sentences of ``shortest`` to ``LONGEST`` tokens, padded."""
    ids = torch.randint(4, vocab_size, (LONGEST, BATCH), generator=generator)
    lengths = torch.randint(shortest, LONGEST + 1, (BATCH,), generator=generator)
    lengths[0] = LONGEST
    ids[lengths - 1, torch.arange(BATCH)] = EOS
    ids[torch.arange(LONGEST).unsqueeze(1) >= lengths] = PAD
    return ids


@contextmanager
def plain_elsewhere(*what: object) -> Iterator[Callable[[], float]]:
    """Yield a function that runs a plain step in another process and returns its milliseconds."""
    command = [sys.executable, "-m", __spec__.name, *map(str, what)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        to, answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)

        def ask() -> float:
            print(file=to, flush=True)
            return float(answers.readline())

        yield ask
        to.close()


def main() -> None:
    """Run a plain step for every line of input."""
    vocab_size, attention, probability, shortest = sys.argv[1:]
    steps = Steps(int(vocab_size), attention == "True", float(probability), int(shortest))
    for _ in sys.stdin:
        print(steps.milliseconds(steps.plain), flush=True)


if __name__ == "__main__":
    main()

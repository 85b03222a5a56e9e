"""Sample texts generated after every epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import Callback
from lab_text.generation import PromptVocabulary, generate

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["SAMPLES", "SampleText"]

SAMPLES = "samples.txt"


class SampleText(Callback):
    """Generate a text after every epoch into the artefact ``samples.txt``.

    The callback ``tensorboard`` shows it in TensorBoard, and reports show the last text of each arm. Sampling uses a
    separate generator, so training is unaffected.

    Args:
        prompt: start of the text; tokens that are not in the vocabulary are dropped.
        length: generated tokens.
        temperature, top_k, top_p, greedy: as in ``generate``.
    """

    observer = True

    def __init__(
        self,
        *,
        prompt: str = "the ",
        length: int = 200,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        greedy: bool = False,
    ) -> None:
        self.prompt, self.length = prompt, length
        self.options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "greedy": greedy}
        self._texts: list[str] = []

    def check(self, learner: Learner) -> None:
        # One token is enough to find a prompt or an option that cannot work.
        generate(learner, self._prompt(learner), 1, **self.options)

    def after_epoch(self, learner: Learner) -> None:
        # An epoch that was cancelled has no row in the history, and its weights are not worth a text.
        if learner.folder is None or not learner.history or learner.history[-1]["epoch"] != learner.epochs_done:
            return
        epoch = learner.epochs_done
        # Seeded by the epoch, so that a resumed run writes the same texts.
        text = generate(learner, self._prompt(learner), self.length, seed=epoch, **self.options)
        self._texts.append(f"--- epoch {epoch + 1} ---\n{text}\n")
        learner.artefact(SAMPLES).write_text("\n".join(self._texts), encoding="utf-8")

    def _prompt(self, learner: Learner) -> str:
        vocabulary = getattr(learner.data, "vocab", None)
        # ``generate`` tells what is wrong with other data.
        return vocabulary.known_part(self.prompt) if isinstance(vocabulary, PromptVocabulary) else self.prompt

    def state_dict(self) -> dict[str, Any]:
        return {"texts": list(self._texts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._texts = list(state["texts"])

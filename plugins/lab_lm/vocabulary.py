"""Vocabulary of a language model: tokens by id, from a prompt and back to text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from lab_text.generation import PromptVocabulary
from lab_text.tokenizer import Tokenizer
from torch import Tensor

from lab.errors import ParameterError

__all__ = ["EOS_ID", "PAD_ID", "UNK_ID", "Level", "TokenVocabulary"]

Level = Literal["words", "subwords", "characters"]

SPECIAL = ("<pad>", "<unk>", "<eos>")
PAD_ID, UNK_ID, EOS_ID = range(3)
_MAX_SHOWN = 10


class TokenVocabulary(PromptVocabulary):
    """Tokens by id: ``<pad>``, ``<unk>``, ``<eos>``, further special tokens, then the known ones, frequent ones first.

    A token that is spelled ``<unk>`` is the unknown token, as in prepared corpora. ``<eos>`` ends every line.

    Args:
        tokens: known tokens, without special ones.
        level: what a token is.
        tokenizer: of words or subwords; None for characters.
        lower: whether text is converted to lower case.
        extra: further special tokens, such as ``<mask>``.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        level: Level = "words",
        tokenizer: Tokenizer | None = None,
        *,
        lower: bool = False,
        extra: Sequence[str] = (),
    ) -> None:
        self.special = (*SPECIAL, *extra)
        self.tokens = [*self.special, *tokens]
        self.level, self.tokenizer, self.lower = level, tokenizer, lower
        self.ids: dict[str, int] = {token: number for number, token in enumerate(self.tokens)}

    @classmethod
    def of(cls, counts: Mapping[str, int], max_size: int | None, min_freq: int, **options: Any) -> TokenVocabulary:
        """Return the vocabulary of the ``max_size`` most frequent tokens that occur at least ``min_freq`` times."""
        special = {*SPECIAL, *options.get("extra", ())}
        # By token where counts are equal, so that ids do not depend on the order of the text.
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        known = [token for token, count in ordered if count >= min_freq and token not in special]
        return cls(known[:max_size], **options)

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenVocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(tuple(self.tokens))

    def split(self, line: str) -> list[str]:
        """Return the tokens of a line, without its end."""
        line = line.lower() if self.lower else line
        return list(line) if self.tokenizer is None else self.tokenizer(line)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the ids of tokens."""
        find = self.ids.get
        return [find(token, UNK_ID) for token in tokens]

    @property
    def unwritable(self) -> list[int]:
        """Ids of special tokens but ``<eos>``, which is written as the end of a line."""
        return [number for number in range(len(self.special)) if number != EOS_ID]

    def prompt_ids(self, prompt: str) -> Tensor:
        """Return the ids of a prompt; it continues behind its last token, within the line.

        Raises:
            ParameterError: it has no token, or one that is not in the vocabulary.
        """
        lines = prompt.split("\n")
        tokens = self.split(lines[0])
        for line in lines[1:]:
            tokens += [SPECIAL[EOS_ID], *self.split(line)]
        if not tokens:
            raise ParameterError("the prompt has no token", where="generate", hint="at least one token is needed")
        unknown = [token for token in dict.fromkeys(tokens) if token not in self.ids]
        if unknown:
            raise ParameterError(
                f"not in the vocabulary: {', '.join(map(repr, unknown[:_MAX_SHOWN]))}"
                + (f" and {len(unknown) - _MAX_SHOWN:,} more" if len(unknown) > _MAX_SHOWN else ""),
                where=f"prompt {prompt[:200]!r}",
                hint=f"known: {', '.join(self.tokens[len(self.special) :][:_MAX_SHOWN])} …",
            )
        return torch.tensor(self.encode(tokens))

    def known_part(self, prompt: str) -> str:
        """Return the prompt without tokens that are not in the vocabulary; its most frequent token if none is."""
        known = [token for token in self.split(prompt.replace("\n", " ")) if token in self.ids]
        return self._joined(known or self.tokens[len(self.special) : len(self.special) + 1])

    def continued(self, prompt: str, ids: Sequence[int]) -> str:
        """Return the prompt with these tokens behind it, as lines."""
        if self.tokenizer is None:
            return prompt + "".join("\n" if number == EOS_ID else self.tokens[number] for number in ids)
        # Together with the prompt, since spaces between two tokens depend on both.
        start, line = prompt.rpartition("\n")[::2]
        lines: list[list[str]] = [self.split(line)]
        for number in ids:
            if number == EOS_ID:
                lines.append([])
            else:
                lines[-1].append(self.tokens[number])
        written = "\n".join(self._joined(each) for each in lines)
        return f"{start}\n{written}" if start else written

    def _joined(self, tokens: Sequence[str]) -> str:
        if self.tokenizer is None:
            return "".join(tokens)
        return self.tokenizer.detokenize(tokens) if tokens else ""

"""Completion in bash of words with ``=`` in them."""

from __future__ import annotations

import os

from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

__all__ = ["join_words_in_bash"]


class _Bash(BashComplete):
    """Completion in bash, which takes ``--set PATH=VALUE`` for three words, and replaces only the last of them."""

    _replaced = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor, and the one that it stands in, with the pieces around ``=`` joined."""
        words, last = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        joined: list[str] = []
        for word in words[1 : last + 1]:
            # "optimizer" and "=", and then what follows; a word that begins with "=" stands alone
            if joined and (word == "=" or joined[-1].endswith("=")) and not joined[-1].endswith("=="):
                joined[-1] += word
            else:
                joined.append(word)
        incomplete = joined.pop() if joined else ""
        # whole where COMP_WORDBREAKS has no "="
        whole = last < len(words) and words[last] == incomplete
        self._replaced = "" if whole else incomplete[: incomplete.rfind("=") + 1]
        return joined, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return a completion without what stands before the ``=`` already."""
        return f"{item.type},{item.value.removeprefix(self._replaced)}"


def join_words_in_bash() -> None:
    """Complete behind ``=`` in bash."""
    add_completion_class(_Bash)

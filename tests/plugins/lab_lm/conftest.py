"""What the tests of language models share."""

from __future__ import annotations

import pytest
from lab_lm.data import text

WORDS = ("the", "a", "cat", "dog", "sat", "ran", "on", "to", "mat", "hat")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A text of 120 lines in which every word is followed by the same one, but for the animal."""
    folder = tmp_path_factory.mktemp("lm")
    lines = [f"the {'cat' if number % 3 else 'dog'} sat on a mat" for number in range(120)]
    (folder / "tiny.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_CACHE", str(folder / "cache"))
        return text(path=str(folder / "tiny.txt"), bptt=7, tokenizer="whitespace")

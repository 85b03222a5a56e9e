"""Cache entries depend on the code that wrote them."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from lab_text.cache import content_key, entry
from lab_text.parallel import parallel_text
from lab_text.tokenizers import WhitespaceTokenizer

from lab.errors import DataError


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"ab {n}\tcd {n}\n" for n in range(40)), encoding="utf-8")
    return path


class Letters(WhitespaceTokenizer):
    """Inherits its identity, and tokenizes in another way."""

    def pipe(self, texts):
        for text in texts:
            yield [letter for letter in text if letter != " "]


def words(corpus: Path, tokenizer) -> list[str]:
    data = parallel_text(source=str(corpus), tokenizer=tokenizer)
    return list(data.source_vocab.words)


def test_a_tokenizer_that_inherits_its_identity_has_tokens_of_its_own(corpus: Path) -> None:
    assert "ab" not in words(corpus, Letters)
    assert "ab" in words(corpus, WhitespaceTokenizer)
    assert "ab" not in words(corpus, Letters)


def test_an_entry_is_made_anew_when_the_code_that_made_it_changed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    made = []
    for text in ("def write(folder):\n    return 1\n", "def write(folder):\n    return 2\n"):
        (tmp_path / "writer_of_entries.py").write_text(text)
        monkeypatch.delitem(sys.modules, "writer_of_entries", raising=False)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        import writer_of_entries

        made.append(entry(content_key({"a": 1}), writer_of_entries.write))
        made.append(entry(content_key({"a": 1}), writer_of_entries.write))
    assert made[0] == made[1] != made[2] == made[3]


def test_a_cache_that_is_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match="cannot write to the cache: No space left on device"):
        entry(content_key({"a": 1}), write)


def test_a_cache_that_is_no_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="cannot write to the cache"):
        entry(content_key({"a": 1}), lambda folder: None)


def test_a_missing_corpus_is_not_called_a_fault_of_the_cache(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (tmp_path / "no corpus").read_text()

    with pytest.raises(FileNotFoundError):
        entry(content_key({"a": 1}), write)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("source.ids.npy", lambda content: content[:-4]),
        ("source.ids.npy", lambda content: content[:-4] + b"\xff" * 4),
        ("target.bounds.npy", lambda content: content[:-8] + b"\x7f" * 8),
        ("target.words.json", lambda content: content[:-2]),
        ("statistics.json", lambda content: b""),
        ("source.text.npy", lambda content: b""),
    ],
)
def test_a_damaged_entry_is_told(corpus: Path, own_cache: Path, name: str, damage) -> None:
    words(corpus, WhitespaceTokenizer)
    (path,) = own_cache.rglob(name)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="a cache entry is damaged"):
        words(corpus, WhitespaceTokenizer)

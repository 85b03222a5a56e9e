"""Code blocks of the README, CONTRIBUTING and docs/."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import attrs
from markdown_it import MarkdownIt

__all__ = ["DOCS", "PAGES", "ROOT", "Block", "blocks_of", "commands_of"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


@attrs.frozen
class Block:
    """One fenced block.

    Attributes:
        language: the info string of the fence.
        text: its content.
        line: line number of the fence in the page, from 1.
        note: the HTML comment directly above it, such as ``output`` or ``insert file setup.py``.
    """

    language: str
    text: str
    line: int
    note: str

    @property
    def is_inserted(self) -> bool:
        """Return whether the block is a copy of another file, which has its own tests."""
        return self.note.startswith("insert ")

    @property
    def file(self) -> str:
        """Return the path in its first line, as in ``# experiments/wider.py``; otherwise an empty string."""
        first = self.text.partition("\n")[0]
        return first[2:] if first.startswith("# ") and first.endswith(".py") and " " not in first[2:] else ""


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found, note = [], ""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            assert token.map is not None
            found.append(Block(token.info.strip(), token.content, token.map[0] + 1, note))
        note = (
            token.content.strip().removeprefix("<!--").removesuffix("-->").strip() if token.type == "html_block" else ""
        )
    return found


def commands_of(block: Block) -> Iterator[list[str]]:
    """Yield the commands of a shell block as lists of words, without comments and leading variable assignments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for command in _split(shlex.split(line, comments=True)):
            while command and "=" in command[0] and command[0].partition("=")[0].isidentifier():
                command = command[1:]
            if command:
                yield command


def _split(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in words:
        if word in ("&&", "||", "|", ";"):
            yield command
            command = []
        else:
            command.append(word)
    yield command

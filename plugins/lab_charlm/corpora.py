"""Texts that the courses used, in the data directory."""

from __future__ import annotations

from lab_text.corpora import Corpus, Download

__all__ = ["andersen", "nietzsche", "timemachine"]


def nietzsche() -> Corpus:
    """Nietzsche in English, 600,901 bytes: the text of fast.ai 2018, lesson 6."""
    return Corpus(
        name="nietzsche",
        title="Nietzsche in English, one file",
        languages=("en",),
        license="public domain",
        publisher="https://s3.amazonaws.com/text-datasets/nietzsche.txt",
        files={"text": ("nietzsche/nietzsche.txt",)},
        downloads=(
            Download("https://s3.amazonaws.com/text-datasets/nietzsche.txt", "nietzsche/nietzsche.txt", 600_901),
        ),
    )


def timemachine() -> Corpus:
    """H. G. Wells, The Time Machine: the text of *Dive into Deep Learning*, chapter 9."""
    return Corpus(
        name="timemachine",
        title="H. G. Wells, The Time Machine",
        languages=("en",),
        license="public domain (Project Gutenberg)",
        publisher="https://www.gutenberg.org/ebooks/35",
        files={"text": ("timemachine/timemachine.txt",)},
        downloads=(
            Download(
                "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt", "timemachine/timemachine.txt", 178_979
            ),
        ),
    )


def andersen() -> Corpus:
    """Andersen's fairy tales in English; Project Gutenberg's license is stripped when the text is read."""
    return Corpus(
        name="andersen",
        title="Andersen's fairy tales in English",
        languages=("en",),
        license="public domain (Project Gutenberg)",
        publisher="https://www.gutenberg.org/ebooks/1597",
        files={"text": ("andersen/andersen.txt",)},
        downloads=(Download("https://www.gutenberg.org/cache/epub/1597/pg1597.txt", "andersen/andersen.txt", 318_071),),
    )

"""Mutated tables, pictures, corpora, vectors and ratings: read, or refused in a sentence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.sandbox import fuzz, only_lab_errors

CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            "1",
            "1.0",
            "-3",
            "1e400",
            "nan",
            "NA",
            "1,5",
            "1.234,50",
            "$3",
            "5 %",
            "05/12/2024",
            "2024-01-02",
            "é",
            '"',
            '"a\nb"',
            "a;b",
            "a\tb",
            "\0",
            "x" * 500,
            " 1",
            "true",
            "0001",
            "١",
        ]
    ),
    st.text(max_size=6),
    st.integers().map(str),
    st.floats().map(str),
)
MARKS = st.tuples(
    st.sampled_from([",", ";", "\t", "|", "::"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"]),
)


def _table(rows: list[list[str]], marks: tuple[str, str, str], header: list[str]) -> bytes:
    separator, end, encoding = marks
    lines = [separator.join(header), *(separator.join(row) for row in rows)]
    return end.join(lines).encode(encoding, "replace")


TABLES = st.builds(
    _table,
    st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=12),
    MARKS,
    st.lists(st.sampled_from(["a", "b", "target", "self", "", "a b", "c"]), min_size=1, max_size=4),
)
BYTES = st.binary(max_size=200)


def reading(read: Callable[[Path], Any], name: str, folder: Path) -> Callable[[bytes], None]:
    """A test that reads a file of the given bytes, and looks at what it gives."""

    def try_once(content: bytes) -> None:
        path = folder / name
        path.write_bytes(content)
        with only_lab_errors():
            data = read(path)
            for split in ("train", "valid"):
                examples = data.split(split)
                batch = data.collate(
                    [examples[0]] if not hasattr(examples, "__getitems__") else examples.__getitems__([0])
                )
                assert batch is not None

    return try_once


@pytest.mark.filterwarnings("ignore")
def test_tables(tmp_path: Path, minutes: float) -> None:
    from lab_tabular.data import table

    fuzz(
        reading(lambda path: table(path=str(path), target="target"), "t.csv", tmp_path),
        TABLES | BYTES,
        minutes,
        examples=40,
    )


@pytest.mark.filterwarnings("ignore")
def test_ratings(tmp_path: Path, minutes: float) -> None:
    from lab_collab.data import ratings

    header = st.lists(
        st.sampled_from(["userId", "movieId", "rating", "timestamp", "title", ""]), min_size=1, max_size=4
    )
    rows = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=12)
    strategy = st.builds(_table, rows, MARKS, header) | BYTES
    fuzz(reading(lambda path: ratings(path=str(path)), "r.csv", tmp_path), strategy, minutes, examples=40)


@pytest.mark.filterwarnings("ignore")
def test_parallel_texts(tmp_path: Path, minutes: float) -> None:
    from lab_text.parallel import parallel_text

    def read(path: Path) -> Any:
        return parallel_text(source=str(path), tokenizer="whitespace")

    lines = st.lists(st.lists(CELLS, max_size=3).map("\t".join), max_size=12)
    strategy = st.builds(lambda found, marks: marks[1].join(found).encode(marks[2], "replace"), lines, MARKS) | BYTES
    fuzz(reading(read, "p.tsv", tmp_path), strategy, minutes, examples=25)


@pytest.mark.filterwarnings("ignore")
def test_texts_of_characters(tmp_path: Path, minutes: float) -> None:
    from lab_charlm.data import char_text

    strategy = st.builds(lambda text, marks: text.encode(marks[2], "replace"), st.text(max_size=300), MARKS) | BYTES
    fuzz(reading(lambda path: char_text(path=str(path)), "t.txt", tmp_path), strategy, minutes, examples=25)


def _vectors(rows: list[tuple[str, list[str]]], header: str, blank: str) -> bytes:
    return "\n".join([*([header] if header else []), *(blank.join([word, *numbers]) for word, numbers in rows)]).encode(
        "utf-8", "surrogatepass"
    )


@pytest.mark.filterwarnings("ignore")
def test_word_vectors(tmp_path: Path, minutes: float) -> None:
    from lab_text.vectors import TextVectors

    numbers = st.lists(st.one_of(st.floats(-1, 1).map(str), CELLS), min_size=1, max_size=4)
    rows = st.lists(st.tuples(st.sampled_from(["the", "a", "New York", "_eos_", "é", ""]), numbers), max_size=8)
    headers = st.sampled_from(["", "3 2", "8 3", "x y", "99999999 300", "-1 -1"])
    strategy = st.builds(_vectors, rows, headers, st.sampled_from([" ", "\t", "  ", "\u00a0"])) | BYTES

    def try_once(content: bytes) -> None:
        (tmp_path / "v.vec").write_bytes(content)
        with only_lab_errors():
            width, found = TextVectors(path=str(tmp_path / "v.vec")).find(["the", "a", "New York"], list)
            assert all(len(vector) == width and np.isfinite(vector).all() for vector in found.values())

    fuzz(try_once, strategy, minutes, examples=40)


def _picture(mode: str, size: tuple[int, int], form: str, cut: float, flips: list[tuple[float, int]]) -> bytes:
    image = Image.effect_noise((64, 64), 50).resize(size).convert(mode if mode != "I;16" else "L")
    file = io.BytesIO()
    try:
        image.save(file, form)
    except (OSError, ValueError):
        image.convert("RGB").save(file, form)
    content = bytearray(file.getvalue()[: max(1, int(cut * len(file.getvalue())))])
    for where, bit in flips:
        content[int(where * len(content))] ^= 1 << bit
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
def test_pictures(tmp_path: Path, minutes: float) -> None:
    from lab_vision.sources import image_folder

    pictures = st.builds(
        _picture,
        st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F"]),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]),
        st.one_of(st.just(1.0), st.floats(0, 1)),
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=3),
    )
    good = _picture("RGB", (8, 8), "PNG", 1.0, [])

    def try_once(content: bytes) -> None:
        for number, name in enumerate(["cat", "dog"]):
            folder = tmp_path / "pictures" / name
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(6):
                (folder / f"{index}.png").write_bytes(good[:-12] + bytes([number, index]) + good[-12:])
        (tmp_path / "pictures" / "cat" / "odd.png").write_bytes(content)
        with only_lab_errors():
            data = image_folder(path=str(tmp_path / "pictures"), size=8)
            assert len(data.train) + len(data.valid) >= 2

    fuzz(try_once, pictures | BYTES, minutes, examples=20)

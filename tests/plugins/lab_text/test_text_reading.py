from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from lab_text.reading import AlignedFiles, TabFile, questions_only, read_lines

from lab.errors import DataError, ParameterError


def message(error: pytest.ExceptionInfo[BaseException]) -> list[str]:
    return str(error.value).splitlines()


def nothing(count: int) -> None:
    pass


def test_plain_and_gzip_files_read_alike(tmp_path: Path) -> None:
    text = "Où ?\nQui ?\n".encode()
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "packed").write_bytes(gzip.compress(text))
    assert list(read_lines(tmp_path / "plain")) == list(read_lines(tmp_path / "packed")) == ["Où ?", "Qui ?"]


def test_only_newlines_separate_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("\ufeffun\u2028deux\x85trois\r\nquatre".encode())
    assert list(read_lines(tmp_path / "a")) == ["un\u2028deux\x85trois", "quatre"]


def test_progress_adds_up_to_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"un deux trois\n" * 10_000))
    told: list[int] = []
    assert sum(1 for _ in read_lines(path, told.append)) == 10_000
    assert sum(told) == path.stat().st_size


def test_missing_corpus_file(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(read_lines(tmp_path / "a.fr"))
    assert message(caught) == ["corpus file not found", f"  {tmp_path / 'a.fr'}", "  check the path, or see `lab data`"]


def test_folder_instead_of_a_corpus_file(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(read_lines(tmp_path))
    assert message(caught) == ["corpus file not found", f"  {tmp_path}", "  this is a folder; name a file in it"]


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["plain", "compressed"])
def test_empty_corpus_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.fr").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_lines(tmp_path / "a.fr"))
    assert message(caught) == ["corpus file is empty", f"  {tmp_path / 'a.fr'}", "  fetch or write it again"]


def test_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.fr"
    path.write_bytes("où\nété\n".encode() + "déjà\n".encode("latin-1"))
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert message(caught) == [
        "line 3 is not UTF-8 (byte 0xe9 at column 2)",
        f"  {path}",
        "  encoding='cp1252' reads 'déjà'",
        "  or convert the file, for example: iconv -f latin1 -t utf-8 a.fr",
    ]


def test_compressed_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"un\n" * 10)[:-9])
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert message(caught)[0].startswith("the compressed file is damaged or truncated after line ")
    assert message(caught)[1:] == [f"  {path}", "  fetch or write it again"]


@pytest.mark.parametrize(("french", "english"), [(3, 5), (5, 3)])
def test_files_of_unequal_length(tmp_path: Path, french: int, english: int) -> None:
    source, target = tmp_path / "a.fr", tmp_path / "a.en"
    source.write_text("où\n" * french)
    target.write_text("where\n" * english)
    with pytest.raises(DataError) as caught:
        list(AlignedFiles(source, target).pairs(nothing))
    assert message(caught) == [
        f"the files have different numbers of lines: {french} and {english}",
        f"  {source}",
        f"  {target}",
        "  line n of one file must be the translation of line n of the other",
    ]


def test_columns_of_one_file_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "fra.txt"
    path.write_text("Go.\tVa !\tCC-BY\n", encoding="utf-8")
    assert list(TabFile(path, (1, 0)).pairs(nothing)) == [("Va !", "Go.")]


def test_a_line_without_a_tab(tmp_path: Path) -> None:
    path = tmp_path / "fra.txt"
    path.write_text("Go.\tVa !\nHi.\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(TabFile(path, (1, 0)).pairs(nothing))
    assert message(caught) == [
        "line 2 has 1 tab-separated column, expected at least 2",
        f"  {path}",
        "  write source<TAB>target on every line, or give two files",
    ]


def test_questions_are_kept_and_cut_to_the_question() -> None:
    pairs = [
        ("Qui est là ? Moi.", "Who is there? Me."),
        ("Es-tu là ?", "Are you there?"),
        ("Va là !", "Who knows?"),
        ("Il dit. Quoi ?", "What does he say?"),
    ]
    assert list(questions_only(pairs, "fr", "en")) == [("Qui est là ?", "Who is there?")]


def test_questions_go_the_other_way_too() -> None:
    assert list(questions_only([("Who is there?", "Qui est là ?")], "en", "fr")) == [("Who is there?", "Qui est là ?")]


def test_questions_need_english_on_one_side() -> None:
    with pytest.raises(ParameterError) as caught:
        list(questions_only([], "fr", "de"))
    assert message(caught) == [
        "questions=True needs English as source or target",
        "  source fr, target de",
        "  set questions to false",
    ]


def test_identity_follows_the_content_not_the_name(tmp_path: Path) -> None:
    for name, text in (("a", "x\ty\n"), ("b", "x\ty\n"), ("c", "x\tz\n")):
        (tmp_path / name).write_text(text)
    a, b, c = (TabFile(tmp_path / name).identity for name in "abc")
    assert a == b != c

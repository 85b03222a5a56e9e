from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from lab_text import corpora
from lab_text.corpora import Corpus, Download, find_corpus, known_checksums, record_checksum, status

from lab.errors import DataError, UnknownNameError

TEXT = b"Go.\tVa !\n"


def message(error: pytest.ExceptionInfo[BaseException]) -> list[str]:
    return str(error.value).splitlines()


@pytest.fixture
def letters() -> Corpus:
    return Corpus(
        name="letters",
        title="letters",
        languages=("fr", "en"),
        license="CC0",
        publisher="https://example.org",
        files={"fr": ("letters/a.fr.gz", "letters/a.fr"), "en": ("letters/a.en",)},
        downloads=(
            Download(url="https://example.org/a.fr.gz", path="letters/a.fr.gz", size=300),
            Download(url="https://example.org/a.en", path="letters/a.en", size=200),
        ),
    )


def put(folder: Path, path: str, content: bytes = TEXT) -> str:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_the_data_directory_is_lab_data(empty_data: Path) -> None:
    assert corpora.data_folder() == empty_data


def test_without_lab_data_it_is_the_platforms_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_DATA", raising=False)
    assert corpora.data_folder().parts[-2:] == ("lab", "data")


def test_status_tells_what_is_there_and_what_it_costs(empty_data: Path, letters: Corpus) -> None:
    assert status(letters).word == "absent"
    assert status(letters).bytes_to_fetch == 500
    put(empty_data, "letters/a.fr")
    assert status(letters).word == "partly"
    assert (status(letters).bytes_here, status(letters).bytes_to_fetch) == (len(TEXT), 200)
    put(empty_data, "letters/a.en")
    assert (status(letters).word, status(letters).bytes_to_fetch) == ("here", 0)


def test_a_corpus_that_is_not_here_says_how_to_get_it(empty_data: Path, letters: Corpus) -> None:
    with pytest.raises(DataError) as caught:
        letters.path("fr")
    assert message(caught) == [
        "corpus 'letters' is not here: letters/a.fr.gz is missing",
        f"  data directory {empty_data}",
        "  fetch it with: lab data get letters",
        "  or set LAB_DATA to a directory that has it",
    ]


def test_the_manifest_is_believed_above_the_record(empty_data: Path) -> None:
    record_checksum(empty_data, "a", "recorded")
    record_checksum(empty_data, "b", "recorded")
    (empty_data / "MANIFEST.tsv").write_text('dataset\tfile\tbytes\tsha256\nx\ta\t1\tlisted\nx\t"q\t1\tquoted\n')
    assert known_checksums(empty_data) == {"a": "listed", "b": "recorded", '"q': "quoted"}


def test_a_file_with_another_checksum_is_not_used(empty_data: Path, letters: Corpus) -> None:
    record_checksum(empty_data, "letters/a.fr", put(empty_data, "letters/a.fr"))
    assert letters.path("fr") == empty_data / "letters/a.fr"
    put(empty_data, "letters/a.fr", b"something else")
    with pytest.raises(DataError) as caught:
        letters.path("fr")
    assert message(caught) == [
        "letters/a.fr has another sha256 than the one on record",
        f"  corpus 'letters' in {empty_data}",
        "  remove the file and fetch it again: lab data get letters",
    ]


def test_a_file_put_there_by_hand_needs_no_checksum(empty_data: Path, letters: Corpus) -> None:
    put(empty_data, "letters/a.fr")
    assert letters.path("fr").is_file()
    assert known_checksums(empty_data) == {}


def test_a_damaged_record_is_an_error(empty_data: Path) -> None:
    (empty_data / "checksums.json").write_text("{")
    with pytest.raises(DataError) as caught:
        known_checksums(empty_data)
    assert message(caught) == [
        "the record of checksums is damaged",
        f"  {empty_data / 'checksums.json'}",
        "  repair it, or remove it to record them anew",
    ]


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../b", ""])
def test_a_description_cannot_leave_the_data_directory(path: str) -> None:
    with pytest.raises(DataError) as caught:
        Download(url="https://example.org", path=path)
    assert str(caught.value) == f"a corpus may only name files inside the data directory, not {path!r}"


def test_members_of_archives_cannot_leave_it_either() -> None:
    with pytest.raises(DataError, match="inside the data directory"):
        Download(url="https://example.org", path="a.zip", members={"a": "../../a"})


def test_an_unknown_corpus_gets_a_close_match() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_corpus("tatoba")
    assert message(caught) == ["unknown corpus 'tatoba'", "  did you mean: tatoeba?", "  all corpora: lab data"]


@pytest.mark.parametrize("name", ["embedded", "giga-fren", "multi30k", "tatoeba"])
def test_built_in_corpora_say_who_published_them_and_under_which_license(name: str) -> None:
    corpus = find_corpus(name)
    assert corpus.name == name
    assert all([corpus.title, corpus.license, corpus.publisher, corpus.languages])
    served = {path for paths in corpus.files.values() for path in paths}
    assert all(set(download.results) <= served for download in corpus.downloads)


def test_the_layout_of_the_shared_data_is_accepted(real_data: Path) -> None:
    for name in ("tatoeba", "multi30k"):
        assert status(find_corpus(name)).word == "here"
    assert find_corpus("tatoeba").path("pairs").name == "fra.txt.gz"


def test_checksums_of_multi30k_are_those_of_the_manifest(real_data: Path) -> None:
    listed = known_checksums(real_data)
    downloads = find_corpus("multi30k").downloads
    assert {download.path: download.sha256 for download in downloads}.items() <= listed.items()


def test_the_record_is_plain_json(empty_data: Path) -> None:
    record_checksum(empty_data, "a", "1")
    assert json.loads((empty_data / "checksums.json").read_text()) == {"a": "1"}

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from lab_text import corpora, download
from lab_text.commands import data
from lab_text.corpora import Corpus, Download, known_checksums, known_corpora, record_checksum
from lab_text.download import fetch_corpus

from lab.errors import DataError

CONTENT = b"".join(f"Go {number}.\tVa {number} !\n".encode() for number in range(20_000))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Publisher(ThreadingHTTPServer):
    """A web server with one file per path that honours ranges, and can be told to fail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, bytes] = {"/a.txt": CONTENT}
        self.etag: str | None = '"one"'
        self.stop_after: int | None = None
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """Range and If-Range as in RFC 9110, sections 13 and 14."""

    server: Publisher

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if content is None:
            self.send_error(404)
            return
        same = self.headers.get("If-Range") in (None, self.server.etag)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and same else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        self.wfile.write(content[start : self.server.stop_after])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Publisher()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def corpus(publisher: Publisher, **options: object) -> Corpus:
    given = {"url": f"{publisher.url}/a.txt", "path": "letters/a.txt", **options}
    results = tuple(dict(options.get("members", {})).values()) or (str(given["path"]),)  # type: ignore[call-overload]
    return Corpus(
        name="letters",
        title="letters",
        languages=("fr", "en"),
        license="CC0",
        publisher="https://example.org",
        files={"pairs": results},
        downloads=(Download(**given),),  # type: ignore[arg-type]
    )


def interrupted(publisher: Publisher, folder: Path, **options: object) -> Path:
    """A download that stopped after 100,000 bytes: its partial file."""
    publisher.stop_after = 100_000
    with pytest.raises(DataError) as caught:
        fetch_corpus(corpus(publisher, **options), folder)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("the download failed: ")
    assert lines[1:] == [f"  {publisher.url}/a.txt", "  run it again to resume"]
    publisher.stop_after = None
    return folder / "letters" / "a.txt.part"


def test_a_first_download_records_its_checksum(publisher: Publisher, empty_data: Path) -> None:
    (done,) = fetch_corpus(corpus(publisher), empty_data)
    assert (done.path, done.sha256, done.origin) == ("letters/a.txt", sha256(CONTENT), "recorded")
    assert (empty_data / "letters/a.txt").read_bytes() == CONTENT
    assert known_checksums(empty_data) == {"letters/a.txt": sha256(CONTENT)}
    assert [path.name for path in (empty_data / "letters").iterdir()] == ["a.txt"]


def test_what_is_there_is_not_fetched_again(publisher: Publisher, empty_data: Path) -> None:
    fetch_corpus(corpus(publisher), empty_data)
    (again,) = fetch_corpus(corpus(publisher), empty_data)
    assert again.origin == "there"
    assert len(publisher.ranges) == 1


def test_a_partial_file_goes_on_where_it_stopped(publisher: Publisher, empty_data: Path) -> None:
    part = interrupted(publisher, empty_data)
    kept = part.stat().st_size
    assert 80_000 < kept <= 100_000
    assert not (empty_data / "letters/a.txt").exists()
    (done,) = fetch_corpus(corpus(publisher), empty_data)
    assert publisher.ranges == [None, f"bytes={kept}-"]
    assert done.sha256 == sha256(CONTENT)


def test_a_file_that_changed_in_between_is_fetched_anew(publisher: Publisher, empty_data: Path) -> None:
    kept = interrupted(publisher, empty_data).stat().st_size
    publisher.files["/a.txt"], publisher.etag = CONTENT[::-1], '"two"'
    (done,) = fetch_corpus(corpus(publisher), empty_data)
    assert publisher.ranges[-1] == f"bytes={kept}-"
    assert done.sha256 == sha256(CONTENT[::-1])


def test_without_etag_and_checksum_a_download_starts_anew(publisher: Publisher, empty_data: Path) -> None:
    publisher.etag = None
    interrupted(publisher, empty_data)
    fetch_corpus(corpus(publisher), empty_data)
    assert publisher.ranges == [None, None]


def test_without_etag_a_known_checksum_is_enough_to_go_on(publisher: Publisher, empty_data: Path) -> None:
    publisher.etag = None
    kept = interrupted(publisher, empty_data, sha256=sha256(CONTENT)).stat().st_size
    (done,) = fetch_corpus(corpus(publisher, sha256=sha256(CONTENT)), empty_data)
    assert publisher.ranges == [None, f"bytes={kept}-"]
    assert done.origin == "checked"


def test_a_partial_file_that_is_complete_is_used(publisher: Publisher, empty_data: Path) -> None:
    interrupted(publisher, empty_data).write_bytes(CONTENT)
    (done,) = fetch_corpus(corpus(publisher), empty_data)
    assert done.sha256 == sha256(CONTENT)


@pytest.mark.parametrize("known_by", ["publisher", "record", "manifest"])
def test_a_wrong_checksum_is_an_error_and_the_file_is_kept_aside(
    publisher: Publisher, empty_data: Path, known_by: str
) -> None:
    expected = sha256(b"the right one")
    if known_by == "record":
        record_checksum(empty_data, "letters/a.txt", expected)
    if known_by == "manifest":
        (empty_data / "MANIFEST.tsv").write_text(f"file\tsha256\nletters/a.txt\t{expected}\n")
    with pytest.raises(DataError) as caught:
        fetch_corpus(corpus(publisher, sha256=expected if known_by == "publisher" else None), empty_data)
    aside = empty_data / "letters" / "a.txt.rejected"
    assert str(caught.value).splitlines() == [
        "a.txt has the wrong sha256",
        f"  expected {expected}",
        f"  got      {sha256(CONTENT)}",
        f"  renamed to {aside}; if the publisher replaced the file, edit or remove the old checksum",
    ]
    assert aside.read_bytes() == CONTENT
    assert [path.name for path in (empty_data / "letters").iterdir()] == ["a.txt.rejected"]


def test_an_answer_that_is_an_error(publisher: Publisher, empty_data: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch_corpus(corpus(publisher, url=f"{publisher.url}/b.txt"), empty_data)
    assert str(caught.value).splitlines() == [
        "the download failed: the server answered 404 Not Found",
        f"  {publisher.url}/b.txt",
        "  run it again to resume",
    ]


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("_about.txt", "about")
        archive.writestr("fra-eng/fra.txt", CONTENT)
        archive.writestr("../../evil.txt", "evil")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("fra.txt")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    return file.getvalue()


@pytest.mark.parametrize("archive", [zipped(), tarred()], ids=["zip", "tar"])
def test_only_the_named_members_of_an_archive_are_unpacked(
    publisher: Publisher, empty_data: Path, archive: bytes
) -> None:
    publisher.files["/a.txt"] = archive
    done = fetch_corpus(corpus(publisher, path="letters/all", members={"fra.txt": "letters/fra.txt"}), empty_data)
    assert [(one.path, one.origin) for one in done] == [("letters/all", "recorded"), ("letters/fra.txt", "recorded")]
    assert (empty_data / "letters/fra.txt").read_bytes() == CONTENT
    assert [path.name for path in (empty_data / "letters").iterdir()] == ["fra.txt"]
    assert set(known_checksums(empty_data)) == {"letters/all", "letters/fra.txt"}


def test_an_archive_without_the_member(publisher: Publisher, empty_data: Path) -> None:
    publisher.files["/a.txt"] = zipped()
    with pytest.raises(DataError) as caught:
        fetch_corpus(corpus(publisher, path="letters/all", members={"deu.txt": "letters/deu.txt"}), empty_data)
    assert str(caught.value).splitlines()[0] == "the archive has no deu.txt"


def test_an_archive_that_is_none(publisher: Publisher, empty_data: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch_corpus(corpus(publisher, path="letters/all", members={"fra.txt": "letters/fra.txt"}), empty_data)
    assert str(caught.value).splitlines()[0].startswith("the archive is damaged: ")


def test_a_generated_corpus_has_nothing_to_download() -> None:
    with pytest.raises(DataError) as caught:
        fetch_corpus(corpora.embedded())
    assert str(caught.value) == "corpus 'embedded' is generated, so there is nothing to download"


def test_a_data_directory_that_cannot_be_written(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as caught:
        fetch_corpus(corpus(publisher), tmp_path / "file" / "data")
    assert str(caught.value).splitlines() == [
        "cannot write to the data directory: Not a directory",
        f"  {tmp_path / 'file' / 'data'}",
        "  set LAB_DATA or --data-dir to another directory",
    ]


def test_the_command_shows_license_publisher_and_checksum(
    publisher: Publisher, empty_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(corpora._BUILT_IN, "letters", lambda: corpus(publisher))
    other = tmp_path / "other"
    result = CliRunner().invoke(data, ["get", "letters", "--data-dir", str(other)], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "letters: letters",
        "  license: CC0",
        "  from https://example.org",
        f"  letters/a.txt  sha256 {sha256(CONTENT)}  recorded, required from now on",
        f"in {other}",
    ]


def test_the_command_lists_every_corpus_with_its_cost(empty_data: Path) -> None:
    (empty_data / "multi30k").mkdir()
    (empty_data / "multi30k" / "train.fr").write_bytes(b"x" * 2000)
    printed = CliRunner().invoke(data, [], catch_exceptions=False).output
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    first = lines.index("embedded fr en built in, generated when used")
    assert lines[first + 1] == "French-English questions from a grammar, generated"
    assert "giga-fren fr en absent (2.6 GB to fetch)" in lines
    assert "multi30k en fr de partly (2.0 kB on disk, 1.3 MB to fetch)" in lines
    assert "CC BY 2.0 FR (Tatoeba); https://www.manythings.org/anki/" in lines
    assert lines[-1] == f"data directory: {empty_data} (fetch with: lab data get NAME)"


@pytest.mark.parametrize("is_right", [True, False])
def test_the_first_digits_of_a_checksum_are_compared_where_no_more_are_known(
    publisher: Publisher, empty_data: Path, is_right: bool
) -> None:
    digits = sha256(CONTENT)[:8] if is_right else "00000000"
    letters = Corpus(
        "letters", "letters", ("fr",), "none", publisher.url, files={"a": ("letters/a.txt",)},
        downloads=(Download(f"{publisher.url}/a.txt", "letters/a.txt", len(CONTENT), sha256_starts=digits),),
    )  # fmt: skip
    if is_right:
        fetch_corpus(letters, empty_data)
        assert (empty_data / "letters" / "a.txt").read_bytes() == CONTENT
    else:
        with pytest.raises(DataError, match=r"a.txt has the wrong sha256\n  expected 00000000…"):
            fetch_corpus(letters, empty_data)
        assert not (empty_data / "letters" / "a.txt").exists()


# --- other processes, no network, damaged records ---------------------------------------------------------------------


def test_two_that_fetch_at_once_fetch_one_after_the_other(publisher: Publisher, empty_data: Path) -> None:
    from filelock import FileLock

    origins: list[str] = []

    def fetch() -> None:
        origins.extend(done.origin for done in fetch_corpus(corpus(publisher), empty_data))

    thread = threading.Thread(target=fetch)
    with FileLock(empty_data / ".letters.lock"):
        thread.start()
        thread.join(0.1)
        assert publisher.ranges == []
    thread.join()
    assert origins == ["recorded"]
    assert fetch_corpus(corpus(publisher), empty_data)[0].origin == "there"


def test_what_is_there_needs_no_directory_that_can_be_written(
    publisher: Publisher, empty_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_corpus(corpus(publisher), empty_data)
    monkeypatch.setattr(download, "_alone", None)
    assert fetch_corpus(corpus(publisher), empty_data)[0].origin == "there"


def test_a_server_that_cannot_be_reached_is_told(empty_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    letters = Corpus(
        "letters", "letters", ("fr",), "none", "", files={"a": ("a.txt",)},
        downloads=(Download("http://127.0.0.1:9/a.txt", "a.txt"),),
    )  # fmt: skip
    with pytest.raises(DataError) as caught:
        fetch_corpus(letters, empty_data)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("the server cannot be reached: ")
    assert lines[1:] == [
        "  http://127.0.0.1:9/a.txt",
        "  is this machine online? behind a proxy set HTTPS_PROXY",
    ]


@pytest.mark.parametrize(
    ("content", "what"), [(b"<!DOCTYPE html><html>log in", "a web page"), (b" ", None), (b"", "an empty file")]
)
def test_a_web_page_or_nothing_instead_of_a_file_is_put_aside(
    publisher: Publisher, empty_data: Path, content: bytes, what: str | None
) -> None:
    publisher.files["/a.txt"] = content
    if what is None:
        assert fetch_corpus(corpus(publisher), empty_data)[0].origin == "recorded"
        return
    with pytest.raises(DataError, match=f"the server sent {what} instead of a.txt"):
        fetch_corpus(corpus(publisher), empty_data)
    assert not (empty_data / "letters" / "a.txt").exists()
    assert known_checksums(empty_data) == {}


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', "[" * 100_000, "null"])
def test_a_damaged_record_of_checksums_is_told(empty_data: Path, content: str) -> None:
    (empty_data / "checksums.json").write_text(content)
    with pytest.raises(DataError, match="the record of checksums is damaged"):
        known_checksums(empty_data)


def test_a_manifest_that_is_no_text_is_told(empty_data: Path) -> None:
    (empty_data / "MANIFEST.tsv").write_bytes(b"file\tsha256\n\xff\xfe\t1\n")
    with pytest.raises(DataError, match="the manifest cannot be read"):
        known_checksums(empty_data)


def test_the_longest_name_of_a_corpus_does_not_run_into_its_languages(empty_data: Path) -> None:
    printed = CliRunner().invoke(data, [], catch_exceptions=False).output
    longest = max(known_corpora(), key=len)
    assert f"\n{longest}  " in f"\n{printed}"

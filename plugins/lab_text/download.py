"""Download of corpora, resumable and checked.

pooch keeps the files; the downloader it is given continues a partial file with an HTTP range request.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

import attrs

from lab.errors import DataError
from lab_text.corpora import Corpus, Download, data_folder, known_checksums, record_checksum
from lab_text.progress import progress_bar

__all__ = ["Fetched", "ResumingDownloader", "fetch_corpus"]

log = logging.getLogger("lab")

_BLOCK_BYTES = 1 << 18
# Small blocks: at most one is lost when the connection breaks.
_RECEIVED_BYTES = 1 << 14
_TIMEOUT_S = 60.0


@attrs.frozen
class Fetched:
    """A file that was downloaded or already there.

    Attributes:
        path: inside the data directory.
        sha256: of its content.
        origin: ``there`` (already), ``checked`` (against a known sha256) or ``recorded`` (the first time).
    """

    path: str
    sha256: str
    origin: str


def fetch_corpus(corpus: Corpus, folder: Path | None = None) -> list[Fetched]:
    """Download missing files of a corpus into the data directory.

    Raises:
        DataError: the corpus has nothing to download, the directory is not writable, the server fails, or a file has a
            wrong sha256; such a file is renamed and never used.
    """
    folder = folder or data_folder()
    if not corpus.downloads:
        raise DataError(f"corpus '{corpus.name}' is generated, so there is nothing to download")
    serving = [_there(corpus, folder, result) for download in corpus.downloads for result in download.results]
    # Also works in a data directory that is read-only.
    if all(serving):
        return [_fetched(folder, path, "there") for path in serving if path]
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(corpus, folder):
            return [done for download in corpus.downloads for done in _fetch(corpus, download, folder)]


@contextlib.contextmanager
def _alone(corpus: Corpus, folder: Path) -> Iterator[None]:
    """Hold the lock of a corpus: two processes would write into the same partial file."""
    from filelock import FileLock, Timeout

    path = folder / f".{corpus.name}.lock"
    try:
        lock = FileLock(path, timeout=0).acquire()
    except Timeout:
        log.info("another process is downloading corpus '%s'; waiting", corpus.name)
        lock = FileLock(path).acquire()
    # Some network file systems have no locks; downloads then run unguarded.
    except NotImplementedError:
        yield
        return
    with lock:
        yield


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise _unwritable(folder, error) from error
    except OSError as error:
        # requests raises subclasses of OSError, which have no errno.
        if error.errno is None:
            raise
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write to the data directory: {error.strerror}",
        where=str(folder),
        hint="set LAB_DATA or --data-dir to another directory",
    )


def _fetch(corpus: Corpus, download: Download, folder: Path) -> list[Fetched]:
    serving = [_there(corpus, folder, result) for result in download.results]
    if all(serving):
        return [_fetched(folder, path, "there") for path in serving if path]
    (folder / download.path).parent.mkdir(parents=True, exist_ok=True)
    archive = _retrieve(download, folder)
    if not download.members:
        return [archive]
    _unpack(folder / download.path, download.members, folder)
    results = [_fetched(folder, path, _accept(folder, path)) for path in download.results]
    # The archive is as large as its members and no longer needed.
    (folder / download.path).unlink()
    return [archive, *results]


def _there(corpus: Corpus, folder: Path, result: str) -> str | None:
    """Return ``result`` or another file of the same role, if it is in the data directory."""
    serving = next((paths for paths in corpus.files.values() if result in paths), (result,))
    return next((path for path in serving if (folder / path).is_file()), None)


def _fetched(folder: Path, path: str, origin: str) -> Fetched:
    from lab.cache import file_digest

    return Fetched(path, file_digest(folder / path), origin)


def _accept(folder: Path, path: str) -> str:
    """Compare a new file with the sha256 that is known of it, or record it: ``checked`` or ``recorded``."""
    from lab.cache import file_digest

    actual, expected = file_digest(folder / path), known_checksums(folder).get(path)
    if expected is None:
        record_checksum(folder, path, actual)
        return "recorded"
    if actual != expected:
        raise _rejected(folder / path, PurePosixPath(path).name, expected, actual)
    return "checked"


def _rejected(path: Path, name: str, expected: str, actual: str) -> DataError:
    """Rename a wrong file to ``<name>.rejected`` and return the error."""
    aside = path.with_name(f"{name}.rejected")
    path.replace(aside)
    return DataError(
        f"{name} has the wrong sha256",
        where=f"expected {expected}\ngot      {actual}",
        hint=f"renamed to {aside}; if the publisher replaced the file, edit or remove the old checksum",
    )


def _retrieve(download: Download, folder: Path) -> Fetched:
    """Download one file with pooch; it gets its final name after its content was checked."""
    import pooch

    expected = download.sha256 or known_checksums(folder).get(download.path)
    target = folder / download.path
    # pooch announces every file; the command prints its own lines.
    pooch.get_logger().setLevel("ERROR")
    pooch.retrieve(
        download.url,
        known_hash=f"sha256:{expected}" if expected else None,
        path=target.parent,
        fname=target.name,
        downloader=ResumingDownloader(target, expected=expected, size=download.size or None),
    )
    sha256 = _digest(target)
    if expected is None and not download.sha256_starts:
        _refuse_other_content(target, download)
    if not sha256.startswith(download.sha256_starts):
        raise _rejected(target, target.name, f"{download.sha256_starts}…", sha256)
    if expected is None:
        record_checksum(folder, download.path, sha256)
    return Fetched(download.path, sha256, "checked" if expected else "recorded")


def _refuse_other_content(target: Path, download: Download) -> None:
    """Raise if a file without known checksum is empty, or the login page of a network provider."""
    with target.open("rb") as file:
        head = file.read(1 << 10)
    # Captive portals answer any address with status 200 and a page.
    is_page = re.match(rb"\s*(<!doctype html|<html)", head, re.IGNORECASE) and target.suffix not in (".html", ".htm")
    if head and not is_page:
        return
    aside = target.with_name(f"{target.name}.rejected")
    target.replace(aside)
    raise DataError(
        f"the server sent {'a web page' if head else 'an empty file'} instead of {target.name}",
        where=download.url,
        hint=f"see {aside}: does the network require a login?",
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@attrs.frozen
class ResumingDownloader:
    """Downloader for pooch that writes ``<target>.part`` and resumes it after an interruption.

    A partial file is resumed only if the server confirms that the file has not changed (ETag or modification date), or
    if the checksum is known; otherwise the download starts again.

    Args:
        target: final path.
        expected: sha256, if known.
        size: size in bytes as last seen, for the progress bar.
    """

    target: Path
    expected: str | None = None
    size: int | None = None

    @property
    def part(self) -> Path:
        """The partial file."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def _version_file(self) -> Path:
        return self.target.with_name(self.target.name + ".part.version")

    def __call__(self, url: str, output_file: str | Path, pooch: Any, check_only: bool = False) -> None:
        """Download the file; pooch then moves ``output_file`` to its place."""
        self._download(url)
        # Checked before the file gets its name: a wrong file is never used.
        if self.expected is not None and (actual := _digest(self.part)) != self.expected:
            self._version_file.unlink(missing_ok=True)
            raise _rejected(self.part, self.target.name, self.expected, actual)
        shutil.move(self.part, output_file)
        self._version_file.unlink(missing_ok=True)

    def _download(self, url: str) -> None:
        import requests

        try:
            with requests.get(url, stream=True, timeout=_TIMEOUT_S, headers=self._headers()) as answer:
                # The partial file is already complete.
                if answer.status_code == requests.codes.requested_range_not_satisfiable and self.part.is_file():
                    return
                answer.raise_for_status()
                self._receive(answer)
        except requests.RequestException as error:
            is_offline = isinstance(error, requests.ConnectionError) and not self.part.is_file()
            raise DataError(
                f"the server cannot be reached: {_cause(error)}"
                if is_offline
                else f"the download failed: {_cause(error)}",
                where=url,
                hint="is this machine online? behind a proxy set HTTPS_PROXY"
                if is_offline
                else "run it again to resume",
            ) from error

    def _headers(self) -> dict[str, str]:
        """Return headers that ask for the rest of a partial file, if it is still the same file, uncompressed."""
        # The offsets of a range are those of the transferred bytes; a compressed transfer would not fit the file.
        headers = {"Accept-Encoding": "identity"}
        if not self.part.is_file() or not self.part.stat().st_size:
            return headers
        rest = {"Range": f"bytes={self.part.stat().st_size}-"}
        if self._version_file.is_file():
            # With If-Range the server sends the whole file if it has changed.
            return {**headers, **rest, "If-Range": self._version_file.read_text(encoding="utf-8")}
        return {**headers, **rest} if self.expected else headers

    def _receive(self, answer: Any) -> None:
        import requests

        # Servers may ignore the range and send everything with status 200.
        goes_on = answer.status_code == requests.codes.partial_content
        self._remember_version(answer.headers)
        done = self.part.stat().st_size if goes_on else 0
        announced = int(answer.headers.get("Content-Length", 0))
        total = done + announced if announced else self.size
        with self.part.open("ab" if goes_on else "wb") as file, progress_bar(self.target.name, total, done=done) as bar:
            for block in answer.iter_content(_RECEIVED_BYTES):
                file.write(block)
                bar.update(len(block))
        # urllib3 before version 2 does not raise if a connection closes early.
        if announced and self.part.stat().st_size < done + announced:
            raise requests.ConnectionError("the server closed the connection early")

    def _remember_version(self, headers: Any) -> None:
        """Save what identifies the server's file; a weak ETag does not."""
        etag = headers.get("ETag", "")
        # A weak ETag promises equal meaning, not equal bytes.
        version = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
        if version:
            self._version_file.write_text(version, encoding="utf-8")
        else:
            self._version_file.unlink(missing_ok=True)


def _cause(error: Exception) -> str:
    """Return the first line of what went wrong, without the objects that requests prints."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server answered {answer.status_code} {answer.reason}"
    return str(error).splitlines()[0] if str(error) and "object at 0x" not in str(error) else type(error).__name__


def _unpack(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Take the named members out of an archive, and nothing else."""
    try:
        with _opened(archive) as (names, read):
            for member, path in members.items():
                _unpack_one(archive, names, read, member, folder / path)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DataError(
            f"the archive is damaged: {error}", where=str(archive), hint="remove it and fetch again"
        ) from error


def _unpack_one(archive: Path, names: list[str], read: Callable[[str], IO[bytes]], member: str, target: Path) -> None:
    # By base name: archives of the same release differ in their folders. Nothing else is unpacked.
    name = next((name for name in names if PurePosixPath(name).name == member), None)
    if name is None:
        raise DataError(f"the archive has no {member}", where=str(archive), hint="the publisher has changed it")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A file under its final name is always complete.
    temporary = target.with_name(f".{target.name}.unpacking")
    with read(name) as source, temporary.open("wb") as file:
        shutil.copyfileobj(source, file, _BLOCK_BYTES)
    temporary.replace(target)


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[str], Callable[[str], Any]]]:
    """Yield the names in an archive and a function that opens one of them."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield zipped.namelist(), zipped.open
    else:
        with tarfile.open(archive) as tarred:
            yield tarred.getnames(), tarred.extractfile

"""Named corpora: files, state, download sizes and sources.

A corpus is described by :class:`Corpus`; the registry ``corpora`` (hook ``lab_corpora``) holds functions that give
one. Its files lie in the data directory (``LAB_DATA``, or the platform's place for caches). A ``MANIFEST.tsv`` there
gives the sha256 of files; what it does not list is recorded at the first download, in ``checksums.json``, and required
after that.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

import attrs

from lab.errors import DataError, LabError, UnknownNameError

__all__ = [
    "Corpus",
    "Download",
    "Status",
    "data_folder",
    "embedded",
    "find_corpus",
    "giga_fren",
    "known_checksums",
    "known_corpora",
    "multi30k",
    "record_checksum",
    "status",
    "tatoeba",
]

CHECKSUMS_FILE = "checksums.json"
MANIFEST_FILE = "MANIFEST.tsv"


def _safe_path(instance: object, attribute: object, value: str) -> None:
    """Raise if a path of a description leaves the data directory."""
    # Descriptions come from plugins and must not write outside of the data directory.
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise DataError(f"a corpus may only name files inside the data directory, not {value!r}")


@attrs.frozen
class Download:
    """One file to fetch.

    Attributes:
        url: of the publisher.
        path: destination inside the data directory.
        size: bytes to download, as last seen; 0 if unknown.
        sha256: the publisher's, if known; otherwise the manifest's or the recorded one is used.
        sha256_starts: its first digits, if the publisher gives no more, for example in the file's name.
        members: of an archive (``.zip``, ``.tar``, ``.tar.gz``): the member's base name → its path inside the data
            directory; the archive itself is removed afterwards.
    """

    url: str
    path: str = attrs.field(validator=_safe_path)
    size: int = 0
    sha256: str | None = None
    sha256_starts: str = ""
    members: Mapping[str, str] = attrs.field(
        factory=dict, validator=attrs.validators.deep_mapping(attrs.validators.instance_of(str), _safe_path)
    )

    @property
    def results(self) -> tuple[str, ...]:
        """Files that exist after the download."""
        return tuple(self.members.values()) if self.members else (self.path,)


@attrs.frozen
class Corpus:
    """The description of a named corpus.

    Attributes:
        name: name in experiments and on the command line.
        title: one-line description.
        languages: codes of its languages.
        license: in the publisher's words.
        publisher: page of the original publisher.
        files: role (``train.fr``, ``pairs`` …) → alternative paths inside the data directory.
        columns: languages of the tab-separated columns of a file ``pairs``.
        downloads: files that ``lab data get`` fetches; empty for a generated corpus.
        note: remarks for users.
    """

    name: str
    title: str
    languages: tuple[str, ...]
    license: str
    publisher: str
    files: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    columns: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    note: str = ""

    def path(self, role: str) -> Path:
        """Return the file of one role, after checking its known checksum.

        Raises:
            DataError: it is not in the data directory, or its checksum is wrong.
        """
        folder = data_folder()
        for candidate in self.files[role]:
            if (folder / candidate).is_file():
                _check_content(folder, candidate, self.name)
                return folder / candidate
        raise DataError(
            f"corpus '{self.name}' is not here: {self.files[role][0]} is missing",
            where=f"data directory {folder}",
            hint=(f"fetch it with: lab data get {self.name}\nor " if self.downloads else "put it there, or ")
            + "set LAB_DATA to a directory that has it",
        )


def data_folder() -> Path:
    """Return the data directory: ``LAB_DATA``, or the platform's place for caches."""
    if chosen := os.environ.get("LAB_DATA"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("lab", appauthor=False)) / "data"


@lru_cache(maxsize=8)
def _manifest(path: Path, changed_ns: int) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            return {row["file"]: row["sha256"] for row in rows if row.get("file") and row.get("sha256")}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("the manifest cannot be read", where=f"{path}: {error}", hint="write it again") from error


def known_checksums(folder: Path) -> dict[str, str]:
    """Return the sha256 of paths inside ``folder``: recorded ones, overridden by the manifest."""
    manifest = folder / MANIFEST_FILE
    # The time of change is an argument, so that a cached manifest is read again after it changed.
    listed = _manifest(manifest, manifest.stat().st_mtime_ns) if manifest.is_file() else {}
    return {**_recorded(folder), **listed}


def _recorded(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS_FILE
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValueError("not an object of texts")
    except (ValueError, RecursionError) as error:
        raise DataError(
            "the record of checksums is damaged", where=str(path), hint="repair it, or remove it to record them anew"
        ) from error
    return value


def record_checksum(folder: Path, path: str, sha256: str) -> None:
    """Require this sha256 of ``path`` from now on."""
    book = folder / CHECKSUMS_FILE
    # Written aside and renamed: a crash must not lose the checksums of other corpora.
    temporary = book.with_name(f".{book.name}-{os.getpid()}")
    temporary.write_text(json.dumps({**_recorded(folder), path: sha256}, indent=1, sort_keys=True), encoding="utf-8")
    temporary.replace(book)


def _check_content(folder: Path, path: str, corpus: str) -> None:
    """Compare with the known checksum; digests are cached, so a file is read once per change."""
    from lab.cache import file_digest

    expected = known_checksums(folder).get(path)
    # A corpus that changed on disk would change results under the same name.
    if expected is not None and file_digest(folder / path) != expected:
        raise DataError(
            f"{path} has another sha256 than the one on record",
            where=f"corpus '{corpus}' in {folder}",
            hint=f"remove the file and fetch it again: lab data get {corpus}",
        )


@attrs.frozen
class Status:
    """State of a corpus in the data directory.

    Attributes:
        present, missing: roles with and without a file.
        bytes_here: size on disk.
        bytes_to_fetch: size of the download; 0 if nothing is missing or the size is unknown.
    """

    present: tuple[str, ...]
    missing: tuple[str, ...]
    bytes_here: int
    bytes_to_fetch: int

    @property
    def word(self) -> str:
        """``here``, ``partly`` or ``absent``."""
        if not self.missing:
            return "here"
        return "partly" if self.present else "absent"


def status(corpus: Corpus, folder: Path | None = None) -> Status:
    """Return the state of a corpus; no file is read."""
    folder = folder or data_folder()
    here = {role: path for role, paths in corpus.files.items() if (path := _first(folder, paths))}
    missing = tuple(role for role in corpus.files if role not in here)
    # A plain file stands in for its gzip: nothing is fetched twice.
    wanted = [d for d in corpus.downloads if any(not _stands_in(corpus, folder, result) for result in d.results)]
    return Status(
        tuple(here), missing, sum(p.stat().st_size for p in set(here.values())), sum(d.size for d in wanted if missing)
    )


def _first(folder: Path, paths: tuple[str, ...]) -> Path | None:
    return next((folder / path for path in paths if (folder / path).is_file()), None)


def _stands_in(corpus: Corpus, folder: Path, result: str) -> bool:
    """Return True if ``result`` or another file of the same role is there."""
    serving = [paths for paths in corpus.files.values() if result in paths] or [(result,)]
    return all(_first(folder, paths) is not None for paths in serving)


# --- the built-in corpora ---------------------------------------------------------------------------------------------


def embedded() -> Corpus:
    """French-English questions, generated from a grammar: no download."""
    return Corpus(
        name="embedded",
        title="French-English questions from a grammar, generated",
        languages=("fr", "en"),
        license="as lab",
        publisher="lab",
    )


def tatoeba() -> Corpus:
    """Tatoeba's French-English sentence pairs, as manythings.org publishes them for Anki: short ones first."""
    return Corpus(
        name="tatoeba",
        title="French-English sentence pairs, short ones first",
        languages=("fr", "en"),
        license="CC BY 2.0 FR (Tatoeba)",
        publisher="https://www.manythings.org/anki/",
        files={"pairs": ("tatoeba_fra_eng/fra.txt.gz", "tatoeba_fra_eng/fra.txt")},
        columns=("en", "fr"),
        downloads=(
            Download(
                url="https://www.manythings.org/anki/fra-eng.zip",
                path="tatoeba_fra_eng/fra-eng.zip",
                size=8_000_000,
                members={"fra.txt": "tatoeba_fra_eng/fra.txt"},
            ),
        ),
        note="the publisher replaces the file now and then; the release of 2019-04-07 has 167,130 pairs",
    )


_MULTI30K_URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
_MULTI30K_FILES = {
    "train.en": (568_929, "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"),
    "train.fr": (604_242, "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c"),
    "train.de": (637_044, "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"),
    "val.en": (21_650, "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
    "val.fr": (23_001, "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9"),
    "val.de": (24_681, "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"),
    "test_2016_flickr.en": (21_077, "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9"),
    "test_2016_flickr.fr": (22_310, "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90"),
    "test_2016_flickr.de": (22_890, "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8"),
}


def multi30k() -> Corpus:
    """Multi30k: captions of 31,014 images in English, French and German (Elliott et al. 2016, arXiv:1605.00459)."""
    return Corpus(
        name="multi30k",
        title="image captions in English, French and German",
        languages=("en", "fr", "de"),
        license="captions derived from Flickr30k; research use",
        publisher="https://github.com/multi30k/dataset",
        files={role: (f"multi30k/{role}.gz", f"multi30k/{role}") for role in _MULTI30K_FILES},
        downloads=tuple(
            Download(url=f"{_MULTI30K_URL}/{role}.gz", path=f"multi30k/{role}.gz", size=size, sha256=sha256)
            for role, (size, sha256) in _MULTI30K_FILES.items()
        ),
    )


def giga_fren() -> Corpus:
    """The French-English Giga corpus of WMT 2010: 22 million sentence pairs from Canadian and European web sites."""
    folder, name = "giga-fren", "giga-fren.release2.fixed"
    return Corpus(
        name="giga-fren",
        title="22 million French-English sentence pairs from the web (WMT 2010)",
        languages=("fr", "en"),
        license="see the publisher; for research",
        publisher="https://www.statmt.org/wmt10/translation-task.html",
        files={code: (f"{folder}/{name}.{code}.gz", f"{folder}/{name}.{code}") for code in ("fr", "en")},
        downloads=(
            Download(
                url="https://www.statmt.org/wmt10/training-giga-fren.tar",
                path=f"{folder}/training-giga-fren.tar",
                size=2_595_102_720,
                members={f"{name}.{code}.gz": f"{folder}/{name}.{code}.gz" for code in ("fr", "en")},
            ),
        ),
        note="needs twice its size while it is unpacked",
    )


_BUILT_IN = {"embedded": embedded, "giga-fren": giga_fren, "multi30k": multi30k, "tatoeba": tatoeba}


def known_corpora() -> dict[str, Corpus]:
    """Return all corpora by name: the built-in ones and those of the registry ``corpora``."""
    return {**{name: describe() for name, describe in _BUILT_IN.items()}, **_registered()}


def _registered() -> dict[str, Corpus]:
    """Return the corpora of plugins; broken plugins are reported elsewhere and skipped here."""
    # The catalog is loaded only if no built-in corpus has the name.
    from lab.registry.plugins import load_catalog

    catalog = load_catalog(warn=lambda message: None)
    if "corpora" not in catalog.registries:
        return {}
    found: dict[str, Corpus] = {}
    for entry in catalog.registry("corpora").entries():
        try:
            value = entry.load()
            found[entry.name] = value if isinstance(value, Corpus) else value()
        # A broken plugin must not hide the corpora of others.
        except LabError:
            continue
    return found


def find_corpus(name: str) -> Corpus:
    """Return the corpus called ``name``; an UnknownNameError with close matches if there is none."""
    # Without the catalog, which imports every plugin.
    if name in _BUILT_IN:
        return _BUILT_IN[name]()

    corpora = known_corpora()
    if name not in corpora:
        raise UnknownNameError.among("corpus", name, list(corpora), hint="all corpora: lab data")
    return corpora[name]

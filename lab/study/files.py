"""Files of the store: untrusted when read, sealed when written.

A store may come from elsewhere, and disks lose bits. So a file is read only if it is a regular file inside its folder
and not too large, its JSON has to fit a schema, and the JSON that runs leave is *sealed*: its last line is a digest of
the lines above it. A file without a seal, from an older version of ``lab``, is read as it is and counts as not
verified.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, to_json
from pydantic_core import core_schema as schema

from lab.errors import StoreError
from lab.files import atomic_path

__all__ = [
    "ANY_OBJECT",
    "ENVIRONMENT",
    "EXPERIMENT",
    "FAILURE",
    "MAX_LONG_FILE",
    "MAX_RUN_FILE",
    "RESULT",
    "ROW",
    "SOURCES",
    "STUDY",
    "DamagedError",
    "FileState",
    "digest_of",
    "from_plain",
    "mark_files",
    "numbers",
    "one_line",
    "parse",
    "read_bytes",
    "read_json",
    "seal",
    "standard_json",
    "to_standard",
    "unseal",
    "verify_files",
    "write_sealed",
]

MAX_RUN_FILE = 16 * 2**20
"""Bytes of one JSON file of a run."""
MAX_LONG_FILE = 256 * 2**20
"""Bytes of the history of a run, and of the record of a study with thousands of trials."""
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
SEAL = re.compile(rb',\n "digest": "([0-9a-f]{64})"\n\}\n\Z')
CHUNK = 2**20
# O_NOFOLLOW refuses links, O_NONBLOCK keeps a named pipe from blocking forever; Windows has neither
READING = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags for opening files of a store."""
BROKEN_SEAL = re.compile(rb',\n "[^"\n]+": "[0-9a-f]{64}"\n\}\n\Z')


class DamagedError(StoreError):
    """A file of the store is not what it should be."""


def read_bytes(path: Path | str, limit: int = MAX_RUN_FILE) -> bytes:
    """Return the content of a regular file, following no link that leaves its folder.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is a folder, a pipe, a link to elsewhere, larger than ``limit`` bytes, or cannot be read.
    """
    try:
        # opened before it is inspected: a check by path could be passed and the file replaced before it is opened
        descriptor = os.open(path, READING)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except (OSError, ValueError) as error:
        # a name too long for the file system cannot exist, which is not damage
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
        # O_NOFOLLOW reports a link as ELOOP on Linux and EMLINK on FreeBSD; a link inside the run's folder is allowed
        if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.EMLINK):
            return read_bytes(_inside(Path(path)), limit)
        raise _damaged(path, getattr(error, "strerror", None) or str(error)) from error
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise _damaged(path, "not a regular file")
        if state.st_size > limit:
            raise _damaged(path, f"{state.st_size:,} bytes, more than {limit:,}")
        # os.read takes a third of the time of a file object, and `lab runs` reads thousands of small files
        content = os.read(descriptor, state.st_size + 1)
        # the file may grow between fstat and read
        while (more := os.read(descriptor, CHUNK)) and len(content) <= limit:
            content += more
        return content
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    finally:
        os.close(descriptor)


def _inside(link: Path) -> Path:
    """Return the target of a link in a run's folder.

    Raises:
        DamagedError: it leads out of the folder, or nowhere.
    """
    try:
        target, folder = link.resolve(), link.parent.resolve()
    except (OSError, RuntimeError) as error:
        raise _damaged(link, "a link to itself") from error
    if not target.is_relative_to(folder) or target.is_symlink():
        raise _damaged(link, "a link that leaves its folder")
    if not target.exists():
        raise _damaged(link, "a link to nothing")
    return target


def _damaged(path: Path | str, why: str) -> DamagedError:
    return DamagedError(f"{os.path.basename(path)} is damaged", where=f"{path}: {why}")


# --- schemas ----------------------------------------------------------------------------------------------------------


def _record(required: Mapping[str, Any], optional: Mapping[str, Any]) -> Any:
    """Return the schema of an object with these fields and possibly others."""
    fields = {name: schema.typed_dict_field(kind) for name, kind in required.items()}
    fields |= {name: schema.typed_dict_field(kind, required=False) for name, kind in optional.items()}
    return schema.typed_dict_schema(fields, extra_behavior="allow")


TEXT = schema.str_schema(strict=True)
# keys and file names become paths, so neither may hold a slash or begin with a dot
KEY = schema.str_schema(strict=True, pattern=r"^[0-9A-Za-z_-]{1,128}$")
FILE_NAME = schema.str_schema(strict=True, pattern=r"^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,127}$")
# strict: without it pydantic takes "3" and 3.0 for a number, and a tampered seed would pass
INTEGER = schema.int_schema(strict=True, ge=-(2**63), le=2**64)
TRUTH = schema.bool_schema(strict=True)
NUMBER = schema.union_schema([INTEGER, schema.float_schema(strict=True), schema.literal_schema(list(NON_FINITE))])
NUMBERS = schema.dict_schema(TEXT, NUMBER)
ANYTHING = schema.any_schema()
OBJECT = schema.dict_schema(TEXT, ANYTHING)
DIGESTS = schema.dict_schema(TEXT, TEXT)
STATES = schema.dict_schema(FILE_NAME, _record({"size": INTEGER, "mtime_ns": INTEGER, "digest": TEXT}, {}))
DEVICE = schema.str_schema(strict=True, pattern=r"^[a-z]+(:[0-9]{1,4})?$")

RESULT = SchemaValidator(
    _record(
        {"metrics": NUMBERS},
        {
            "selected": FILE_NAME,
            "epoch": schema.nullable_schema(NUMBER),
            "higher_is_better": schema.dict_schema(TEXT, schema.nullable_schema(TRUTH)),
            "budget": NUMBERS,
            "files": STATES,
        },
    )
)
FAILURE = SchemaValidator(_record({"error": TEXT}, {"traceback": TEXT}))
EXPERIMENT = SchemaValidator(
    _record(
        {"study": TEXT, "arm": TEXT, "seed": INTEGER, "key": KEY, "device": DEVICE, "data": TEXT, "experiment": OBJECT},
        {"torch": TEXT, "code": OBJECT, "files": OBJECT, "file": TEXT, "key_content": OBJECT},
    )
)
ENVIRONMENT = SchemaValidator(
    _record(
        {},
        {
            "python": TEXT,
            "packages": schema.dict_schema(TEXT, schema.nullable_schema(TEXT)),
            "plugins": DIGESTS,
            "git": schema.nullable_schema(OBJECT),
            "machine": OBJECT,
            "device": TEXT,
        },
    )
)
EPOCH = schema.union_schema([INTEGER, schema.float_schema(strict=True, allow_inf_nan=False)])
ROW = SchemaValidator(
    schema.typed_dict_schema({"epoch": schema.typed_dict_field(EPOCH)}, extra_behavior="allow", extras_schema=NUMBER)
)
ANY_OBJECT = SchemaValidator(OBJECT)
SOURCES = SchemaValidator(_record({"study": TEXT, "files": DIGESTS}, {}))
_ARM = _record(
    {
        "difference": schema.dict_schema(TEXT, schema.list_schema(ANYTHING, min_length=2, max_length=2)),
        "factors": DIGESTS,
    },
    {"trial": OBJECT},
)
_COMPONENT = _record(
    {"kind": TEXT, "name": TEXT, "plugin": TEXT, "file": TEXT, "arms": schema.list_schema(TEXT, strict=True)}, {}
)
_RUN = _record({"arm": TEXT, "seed": INTEGER, "key": KEY}, {})
_VARIANT_FIELDS = {
    "name": TEXT,
    "question": TEXT,
    "compare": TEXT,
    "seeds": schema.list_schema(INTEGER, strict=True),
    "file": TEXT,
    "command": TEXT,
    "made": TEXT,
    "lab": TEXT,
    "base": OBJECT,
    "arms": schema.dict_schema(TEXT, _ARM),
    "components": schema.list_schema(_COMPONENT, strict=True),
    "runs": schema.list_schema(_RUN, strict=True),
}
_NOTES = _record(
    {
        "sizes": schema.dict_schema(TEXT, schema.list_schema(TEXT, strict=True)),
        "data": schema.dict_schema(TEXT, schema.list_schema(TEXT, strict=True)),
        "warnings": schema.list_schema(TEXT, strict=True),
        "arms": schema.dict_schema(TEXT, schema.list_schema(TEXT, strict=True)),
    },
    {},
)
_VARIANT_OPTIONS = {
    "notes": _NOTES,
    "search": schema.nullable_schema(OBJECT),
    "variant": KEY,
    "place": TEXT,
    "device": TEXT,
}
STUDY = SchemaValidator(
    _record(
        _VARIANT_FIELDS,
        {**_VARIANT_OPTIONS, "variants": schema.list_schema(_record(_VARIANT_FIELDS, _VARIANT_OPTIONS), strict=True)},
    )
)


def parse(raw: bytes, validator: SchemaValidator, path: Path | str) -> dict[str, Any]:
    """Return JSON that fits a schema.

    Raises:
        DamagedError: it is not JSON, too deep, or of another form.
    """
    try:
        content = validator.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{place}: {first['msg']}" if place else first["msg"]) from error
    # components nest to any depth, which pydantic's schema cannot express without recursion limits of its own
    variants = content.get("variants")
    recipes = [content, *(each for each in variants or () if isinstance(each, dict))]
    for name, recipe in ((name, recipe) for recipe in recipes for name in ("experiment", "base")):
        if not _are_components_whole(recipe.get(name)):
            raise _damaged(path, f"{name}: a component without its name, plugin or parameters")
    return content  # type: ignore[no-any-return]


def _are_components_whole(value: Any) -> bool:
    """Return whether every component in plain JSON, at any depth, has a name, a plugin and parameters."""
    if isinstance(value, list):
        are_components = [isinstance(item, dict) and "component" in item for item in value]
        return all(are_components) >= any(are_components) and all(map(_are_components_whole, value))
    if not isinstance(value, dict):
        return True
    if "component" in value and not (
        isinstance(value["component"], str)
        and isinstance(value.get("plugin", ""), str)
        and isinstance(value.get("params"), dict)
    ):
        return False
    return all(map(_are_components_whole, value.values()))


# --- seals ------------------------------------------------------------------------------------------------------------


def standard_json(content: Any) -> bytes:
    """Return standard JSON: numbers that are not finite become the texts ``NaN``, ``Infinity`` and ``-Infinity``."""
    return to_json(content, indent=1, inf_nan_mode="strings")


def seal(content: Mapping[str, Any]) -> bytes:
    """Return JSON whose last line is a digest of the rest."""
    body = standard_json({name: value for name, value in content.items() if name != "digest"})
    # to_json writes an empty object in one line, which has no last line to put the digest before
    if not body.endswith(b"\n}"):
        body = b'{\n "empty": true\n}'
    return body[:-2] + b',\n "digest": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def unseal(raw: bytes, path: Path | str) -> bool:
    """Return whether sealed JSON is as it was written; False where it has no seal.

    Raises:
        DamagedError: its seal is broken.
    """
    found = SEAL.search(raw, max(0, len(raw) - 128))
    if found is None:
        # a damaged seal must not count as none: a flipped bit in the word "digest" would make the file pass as an old
        # one
        if b'"digest":' in raw[-256:] or BROKEN_SEAL.search(raw, max(0, len(raw) - 128)):
            raise _damaged(path, "changed since it was written (its digest has moved)")
        return False
    if hashlib.sha256(raw[: found.start()] + b"\n}").hexdigest().encode() != found[1]:
        raise _damaged(path, "changed since it was written (its digest differs)")
    return True


def read_json(path: Path | str, validator: SchemaValidator, *, limit: int = MAX_RUN_FILE, strict: bool = True) -> Any:
    """Return the content of a JSON file that fits a schema, without its seal.

    Args:
        path: the file.
        validator: its schema.
        limit: bytes that it may have.
        strict: refuse it if its seal is broken.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is not what it should be.
    """
    raw = read_bytes(path, limit)
    content = parse(raw, validator, path)
    if strict:
        unseal(raw, path)
    content.pop("digest", None)
    return content


def write_sealed(path: Path, content: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write sealed JSON whole or not at all."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(seal(content))


# --- numbers that JSON does not have ----------------------------------------------------------------------------------


def to_standard(value: Any) -> Any:
    """Return a tree of plain values with ``{"$float": "NaN"}`` for numbers that are not finite.

    Parameters need this to be restored exactly; for metrics a text is enough.
    """
    with suppress(ValueError, TypeError):
        # checked by the encoder in C first: hardly any tree has such a number, and the recursion below is slow
        json.dumps(value, allow_nan=False)
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": next(name for name, known in NON_FINITE.items() if repr(known) == repr(value))}
    if isinstance(value, Mapping):
        return {name: to_standard(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_standard(item) for item in value]
    return value


def from_plain(value: Any) -> Any:
    """Return what ``to_standard`` was given."""
    if isinstance(value, dict):
        if len(value) == 1 and value.get("$float") in NON_FINITE:
            return NON_FINITE[value["$float"]]
        return {name: from_plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    return value


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics with ``"NaN"`` and its like as numbers."""
    if not any(type(value) is str for value in values.values()):
        return dict(values)
    return {name: NON_FINITE[value] if isinstance(value, str) else value for name, value in values.items()}


# --- digests of the files of a finished run ---------------------------------------------------------------------------

FileState = Mapping[str, Any]
"""``size``, ``mtime_ns`` and ``digest`` of a file."""


def digest_of(path: Path | str) -> str:
    """Return the sha256 of a regular file."""
    with open(os.open(path, READING), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mark_files(folder: Path, names: tuple[str, ...]) -> dict[str, FileState]:
    """Return the state of those files of a folder that exist."""
    found: dict[str, FileState] = {}
    for name in names:
        path = folder / name
        if path.is_file():
            state = path.stat()
            found[name] = {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "digest": digest_of(path)}
    return found


def verify_files(folder: Path | str, files: Mapping[str, FileState], needed: tuple[str, ...] = ()) -> None:
    """Raise if a file differs from its recorded state. Files with the same size and time of change are not read.

    Files that were removed count only if they are ``needed``: weights may be removed to save space.

    Raises:
        DamagedError: the first file that is another one.
    """
    for name, known in files.items():
        path = f"{folder}/{name}"
        try:
            # lstat: a link put in the place of a file must count as damage
            state = os.lstat(path)
        except FileNotFoundError:
            if name in needed:
                raise _damaged(path, "missing") from None
            continue
        if not stat.S_ISREG(state.st_mode):
            raise _damaged(path, "not a regular file")
        if state.st_size != known["size"]:
            raise _damaged(path, f"{state.st_size:,} bytes, {known['size']:,} when it was written")
        # a copied store has other times, so a changed time alone proves nothing; only then the file is hashed
        if state.st_mtime_ns != known["mtime_ns"] and _cached_digest(path, state) != known["digest"]:
            raise _damaged(path, "changed since it was written (its digest differs)")


_digests: dict[str, dict[str, str]] = {}


def _cached_digest(path: str, state: os.stat_result) -> str:
    """Return the digest of a file, cached by path, size and time: a copied store has times its records do not."""
    from lab.cache import cache_folder, read_cache

    book = str(cache_folder() / "store_digests.json")
    if book not in _digests:
        _digests[book] = {name: value for name, value in read_cache(Path(book)).items() if isinstance(value, str)}
        # written once at exit: a copied store of thousands of runs would rewrite the cache for each file
        atexit.register(_write_digests, book)
    label = f"{os.path.abspath(path)}|{state.st_size}|{state.st_mtime_ns}"
    found = _digests[book].get(label)
    if found is None:
        found = _digests[book][label] = digest_of(path)
    return found


def _write_digests(book: str, most: int = 50_000) -> None:
    from lab.cache import read_cache, write_cache

    known, path = _digests[book], Path(book)
    # another process may have written meanwhile; merging keeps both, and the cap keeps the newest entries
    before = read_cache(path)
    if known != before:
        merged = {**before, **known}
        write_cache(path, dict(list(merged.items())[-most:]))


def one_line(content: Mapping[str, Any]) -> str:
    """Return one line of standard JSON."""
    return to_json(content, inf_nan_mode="strings").decode() + "\n"

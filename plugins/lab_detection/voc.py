"""Folders and archives in the layouts of Pascal VOC and COCO: boxes in XML or JSON, masks as pictures.

Files are read where they lie; archives are not unpacked. All problems of a data set are told at once.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from lab_basics.notes import counted, log_notes, percent
from lab_text.corpora import Corpus, find_corpus

from lab.errors import DataError, ParameterError
from lab_detection.data import IGNORED, BoxData, MaskData, box_data, mask_data
from lab_detection.pictures import decode_mask, decode_picture
from lab_detection.proposals import REGIONS, from_colors, from_file, padded

__all__ = ["bccd", "bccd_corpus", "coco_boxes", "read_annotation", "voc_boxes", "voc_masks"]

SPLITS = ("train", "valid", "test")
MAX_BYTES = 200_000_000
MAX_TOLD = 200
"""Largest number of problems in one message."""
MAX_NOTED = 12
"""Largest number of notes on mended boxes that are kept with a run."""
MAX_NAMED = 5
"""Largest number of names in one warning."""
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_SUFFIXES = (".png", ".bmp", ".gif")


class Files:
    """The files of a folder or a zip, by their path inside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        if path.is_dir():
            found = (each for each in path.rglob("*") if each.is_file())
            self.names = sorted(each.relative_to(path).as_posix() for each in found)
            return
        try:
            self._archive = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise DataError("there is no such folder or archive", where=str(path)) from None
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"this is neither a folder nor a zip: {error}", where=str(path)) from error
        self.names = sorted(each.filename for each in self._archive.infolist() if not each.is_dir())

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            DataError: it cannot be read, or is too large.
        """
        try:
            if self._archive is None:
                return (self.path / name).read_bytes()
            if self._archive.getinfo(name).file_size > MAX_BYTES:
                raise DataError(f"larger than {MAX_BYTES:,} bytes", where=f"{self.path}: {name}")
            return self._archive.read(name)
        except DataError:
            raise
        except Exception as error:
            # BadZipFile, zlib.error, EOFError, RuntimeError for encrypted members …
            raise DataError(f"cannot be read: {error}", where=f"{self.path}: {name}") from error

    def below(self, folder: str, suffixes: Sequence[str]) -> dict[str, list[str]]:
        """Return the stems of the files with these suffixes inside folders of this name → their paths."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            path = PurePosixPath(name)
            if folder in path.parts[:-1] and path.suffix.lower() in suffixes and not path.name.startswith("."):
                found.setdefault(path.stem, []).append(name)
        return found


class Annotation(NamedTuple):
    """Content of an XML file.

    Attributes:
        objects: (class, left, top, right, bottom) in fractions of the picture.
        mended: sentences on boxes that were mended or left out.
        size: height and width that the file has for the picture; None if it has none.
    """

    objects: list[tuple[str, float, float, float, float]]
    mended: list[str]
    size: tuple[float, float] | None = None


def read_annotation(content: bytes, size: tuple[int, int] | None = None) -> Annotation:
    """Read the objects of a picture from an XML file of Pascal VOC, whose corners are pixels counted from 1.

    Swapped corners are put in order and boxes that reach beyond the picture are clipped; those without area are left
    out; each is told. Objects marked as difficult are kept.

    Args:
        content: the bytes of the file.
        size: height and width of the picture; None takes those in the file.

    Raises:
        DataError: it is not XML, declares entities, or lacks names or numbers, all of which are told.
    """
    _refuse_doctype(content)
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        # LookupError and ValueError: an encoding that Python does not know, or that expat cannot use.
        raise DataError(f"not valid XML: {error}") from error
    problems: list[str] = []
    unsized: list[str] = []
    said = (_number(root, "size/height", unsized), _number(root, "size/width", unsized))
    if size is None:
        problems += unsized
    boxes = []
    for each in root.iter("object"):
        name = (each.findtext("name") or "").strip()
        if not name:
            problems.append("an object has no name")
        boxes.append((name, [_number(each, f"bndbox/{side}", problems) for side in _SIDES]))
    if problems:
        raise DataError("; ".join(problems))
    # Some tools write zeros where they do not know the size.
    known = said if min(said) > 0 and np.isfinite(said).all() else None
    return _in_order(boxes, said if size is None else size, first=1)._replace(size=known)


_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _refuse_doctype(content: bytes) -> None:
    """Raise if an XML file declares a document type, in which entities are declared; nothing is expanded.

    An entity may stand for gigabytes, or for another file; none is needed here.
    """

    def refuse(*_: object) -> None:
        raise DataError("the XML declares entities or a document type: not read", hint="remove it")

    # The parser finds it in any encoding; a search for the bytes would miss it in UTF-16.
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"not valid XML: {error}") from error


def _number(element: ElementTree.Element, path: str, problems: list[str]) -> float:
    """Return the number of a field; where it is none, add a problem."""
    text = element.findtext(path)
    try:
        return float(str(text))
    except ValueError:
        problems.append(f"{path} is {text!r}, not a number" if text is not None else f"there is no {path}")
        return 0.0


def _in_order(boxes: Sequence[tuple[str, Sequence[float]]], size: Any, *, first: int) -> Annotation:
    """Return boxes in fractions of a picture of ``size`` (height, width); pixels are counted from ``first``."""
    height, width = size
    if not (height > 0 and width > 0):
        raise DataError(f"the picture would be {width:g} × {height:g} pixels")
    found, mended = [], []
    for name, corners in boxes:
        left, top, right, bottom = corners
        shown = f"{name} ({left:g}, {top:g}, {right:g}, {bottom:g})"
        if not np.isfinite(corners).all():
            mended.append(f"{shown}: not finite, left out")
            continue
        if left > right or top > bottom:
            mended.append(f"{shown}: corners were swapped")
            left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
        # The last pixel of a box belongs to it.
        values = np.array([(left - first) / width, (top - first) / height, right / width, bottom / height])
        inside = values.clip(0, 1)
        # One pixel of difference is a matter of counting, which the archives themselves do in both ways.
        if np.abs(values - inside).max() > 1.5 / min(width, height):
            mended.append(f"{shown}: reaches beyond the picture of {width:g} × {height:g}, clipped")
        if inside[0] >= inside[2] or inside[1] >= inside[3] or left == right or top == bottom:
            mended.append(f"{shown}: no area, left out")
            continue
        found.append((name, *map(float, inside)))
    return Annotation(found, mended)  # type: ignore[arg-type]


def voc_boxes(
    path: str,
    *,
    height: int = 120,
    width: int = 160,
    classes: Sequence[str] | None = None,
    proposals: str | None = None,
    valid_share: float = 0.2,
    split_seed: int = 42,
) -> BoxData:
    """Pictures with boxes in the layout of Pascal VOC: a folder or a zip, at any depth inside it.

    ``JPEGImages`` has the pictures, ``Annotations`` an XML file of the same name for each, and ``ImageSets/Main`` the
    lists ``train.txt``, ``val.txt`` and optionally ``test.txt``; without lists, some pictures are held out at random.
    Pictures without an object are kept: they show what is background; their annotation has no ``object``.

    Args:
        path: the folder or the ``.zip``, which is not unpacked.
        height, width: size in pixels that pictures are resized to; their aspect ratio may change.
        classes: class names by number; None takes those of the training pictures.
        proposals: regions for ``use("fast_rcnn", proposals="given")``: a ``.json``, ``.csv`` or ``.npz`` file with
            boxes of every picture (see ``lab_detection.proposals.read_proposals``), or ``regions``, which computes them
            from colors.
        valid_share, split_seed: fraction and seed of the random split.

    Raises:
        DataError: files are missing or cannot be read, or a class occurs in validation only; all are told.
        ParameterError: a value is out of range.
    """
    _check(height, width, valid_share, split_seed, "voc_boxes")
    files = Files(Path(path))
    pictures, annotations = files.below("JPEGImages", PICTURE_SUFFIXES), files.below("Annotations", (".xml",))
    _check_layout(path, {"JPEGImages": pictures, "Annotations": annotations})
    problems: list[str] = []
    lists, remarks = _lists(files, "Main", sorted({*pictures, *annotations}), valid_share, split_seed, path)
    read: dict[str, _Read] = {}
    for name in dict.fromkeys(each for names in lists for each in names):
        faults = _faults({"picture": pictures.get(name), "annotation": annotations.get(name)})
        if faults:
            problems.append(f"{name}: {'; '.join(faults)}")
            continue
        (picture,), (annotation,) = pictures[name], annotations[name]
        try:
            pixels, own = decode_picture(files.read(picture), (height, width), picture)
            read[name] = _Read(pixels, read_annotation(files.read(annotation), own), own)
        except DataError as error:
            problems.append(f"{name}: {error.what}")
    return _boxes(path, lists, read, classes, problems, proposals, [*remarks, *_other_sizes(read)])


def _check_layout(path: str, folders: Mapping[str, Mapping[str, list[str]]]) -> None:
    """Raise if a folder of Pascal VOC's layout has no files."""
    lacking = [folder for folder, found in folders.items() if not found]
    if lacking:
        raise DataError(
            "; ".join(f"{folder} is missing, or has no files that are read" for folder in lacking),
            where=path,
            hint=f"the layout of Pascal VOC: {' and '.join(folders)}, with files of the same names",
        )


def _faults(found: Mapping[str, list[str] | None]) -> list[str]:
    """Return sentences on the kinds of files of which a picture has none, or several."""
    faults = []
    for kind, paths in found.items():
        if not paths:
            faults.append(f"no {kind}")
        elif len(paths) > 1:
            faults.append(f"{len(paths)} files for one {kind}: {', '.join(paths)}")
    return faults


def _other_sizes(read: Mapping[str, _Read]) -> list[str]:
    """Return a sentence on pictures whose annotation says another size, if there are any."""
    others = [
        f"{name} ({each.annotation.size[1]:g} × {each.annotation.size[0]:g} instead of {each.size[1]} × {each.size[0]})"
        for name, each in read.items()
        if each.annotation.size not in (None, each.size)
    ]
    if not others:
        return []
    return [
        f"{counted(len(others), 'annotation says', 'annotations say')} another size than the picture has, so the boxes "
        f"may not fit: {_named(others)}"
    ]


def _named(names: Sequence[str]) -> str:
    """Return the first names of many."""
    return ", ".join(_shortened(list(names), MAX_NAMED))


class _Read(NamedTuple):
    """A picture that was read: its pixels (3, H, W), its objects, and its own height and width."""

    pixels: np.ndarray
    annotation: Annotation
    size: tuple[int, int]


def coco_boxes(
    path: str,
    *,
    annotations: str = "annotations.json",
    height: int = 120,
    width: int = 160,
    classes: Sequence[str] | None = None,
    proposals: str | None = None,
    valid_share: float = 0.2,
    split_seed: int = 42,
) -> BoxData:
    """Pictures with boxes in a JSON file of COCO's format; some pictures are held out at random.

    Args:
        path: the folder or the ``.zip`` with the file and the pictures, at any depth.
        annotations: name of the JSON file inside it.
        height, width: size in pixels that pictures are resized to; their aspect ratio may change.
        classes: class names by number; None takes those of the training pictures.
        proposals: a file with regions, or ``regions``; as of ``voc_boxes``.
        valid_share, split_seed: fraction and seed of the random split.

    Raises:
        DataError: the file is none of COCO's, or pictures are missing or cannot be read; all are told.
        ParameterError: a value is out of range.
    """
    _check(height, width, valid_share, split_seed, "coco_boxes")
    files = Files(Path(path))
    there = [name for name in files.names if name == annotations or name.endswith(f"/{annotations}")]
    if not there:
        raise DataError(f"there is no '{annotations}'", where=path, hint="annotations=NAME.json")
    content = _coco(files.read(there[0]), f"{path}: {there[0]}")
    problems: list[str] = []
    names = _entries(content["categories"], "category", "name", there[0], problems)
    images = _entries(content["images"], "image", "file_name", there[0], problems)
    rows = content["annotations"]
    boxes: dict[Any, list[tuple[str, list[float]]]] = {each: [] for each in images}
    files_of = Counter(name for name in images.values() if name)
    problems += [f"{name}: {count} images of this name" for name, count in files_of.items() if count > 1]
    for number, each in enumerate(rows):
        unknown = _problems_of(each, boxes, names)
        if unknown:
            problems.append(f"{there[0]}: annotation {number}: {'; '.join(unknown)}")
        else:
            x, y, w, h = map(float, each["bbox"])
            boxes[each["image_id"]].append((names[each["category_id"]], [x, y, x + w, y + h]))
    places = _places(files)
    read: dict[str, _Read] = {}
    for number, name in images.items():
        if not name:
            continue
        found = _place(name, places)
        if len(found) != 1:
            problems.append(f"{name}: " + ("no picture" if not found else f"{len(found)} pictures: {', '.join(found)}"))
            continue
        try:
            pixels, own = decode_picture(files.read(found[0]), (height, width), found[0])
            read[name] = _Read(pixels, _in_order(boxes[number], own, first=0), own)
        except DataError as error:
            problems.append(f"{name}: {error.what}")
    if problems and len(files_of) < 2:
        # That there are too few pictures follows from the problems.
        _raise_all(problems, path)
    lists = _random_lists(sorted(name for name in images.values() if name), valid_share, split_seed, path)
    return _boxes(path, lists, read, classes, problems, proposals)


def _coco(content: bytes, where: str) -> dict[str, list[Any]]:
    """Return the parts of a COCO file, which are lists.

    Raises:
        DataError: it is not JSON, or a part is missing or no list; all of these are told.
    """
    try:
        found = json.loads(content)
    except RecursionError:
        raise DataError("the file cannot be read: its values are nested too deeply", where=where) from None
    except ValueError as error:
        raise DataError(f"the file cannot be read: {error}", where=where, hint="a file of JSON in UTF-8") from error
    parts = ("images", "annotations", "categories")
    if not isinstance(found, dict):
        faults = [f"it holds {_kind(found)} instead of an object"]
    else:
        faults = [f"there is no list '{name}'" for name in parts if not isinstance(found.get(name), list)]
    if faults:
        raise DataError(
            f"not a file of COCO's format: {'; '.join(faults)}",
            where=where,
            hint="it has images (id, file_name), annotations (image_id, category_id, bbox) and categories (id, name)",
        )
    return {name: found[name] for name in parts}


def _kind(value: Any) -> str:
    """Return what JSON calls a value that is no object."""
    return "a list" if isinstance(value, list) else "a text" if isinstance(value, str) else json.dumps(value)


def _entries(rows: list[Any], kind: str, field: str, where: str, problems: list[str]) -> dict[Any, str]:
    """Return the ids of images or categories → their names, empty where there is none; add a problem for each fault."""
    found: dict[Any, str] = {}
    for number, each in enumerate(rows):
        faults, given = [], each if isinstance(each, dict) else {}
        if not isinstance(each, dict):
            faults.append(f"{each!r} is not an object")
        else:
            faults += [f"there is no {name}" for name in ("id", field) if name not in each]
            faults += [
                f"{name} is {given[name]!r}" for name in ("id", field) if isinstance(given.get(name), (list, dict))
            ]
        number_of = given.get("id")
        name = given.get(field)
        if "id" in given and not isinstance(number_of, (list, dict)):
            if number_of in found:
                faults.append(f"id {number_of!r} is also that of an earlier one")
            # Kept without a name, too, or every annotation of it would be told as well.
            found.setdefault(number_of, "" if name is None or isinstance(name, (list, dict)) else str(name))
        if faults:
            problems.append(f"{where}: {kind} {number}: {'; '.join(faults)}")
    return found


def _problems_of(annotation: Any, images: Mapping[Any, Any], categories: Mapping[Any, Any]) -> list[str]:
    """Return sentences on what is wrong with an annotation of a COCO file."""
    if not isinstance(annotation, dict):
        return [f"{annotation!r} is not an object"]
    problems = [f"there is no {name}" for name in ("image_id", "category_id", "bbox") if name not in annotation]
    for name, known, among in (("image_id", images, "images"), ("category_id", categories, "categories")):
        value = annotation.get(name)
        # A list cannot be looked up.
        if name in annotation and (isinstance(value, (list, dict)) or value not in known):
            problems.append(f"{name} {value!r} is none of {among}")
    box = annotation.get("bbox")
    try:
        is_box = isinstance(box, list) and len([float(each) for each in box]) == 4
    except (TypeError, ValueError):
        is_box = False
    if "bbox" in annotation and not is_box:
        problems.append(f"bbox is {box!r}, not four numbers")
    return problems


def _places(files: Files) -> dict[str, list[str]]:
    """Return the names of files without their folders → their paths."""
    found: dict[str, list[str]] = {}
    for each in files.names:
        found.setdefault(PurePosixPath(each).name, []).append(each)
    return found


def _place(name: str, places: dict[str, list[str]]) -> list[str]:
    """Return the paths that end like ``name``, its folders included; or, if none does, all files of this name."""
    wanted = PurePosixPath(name).parts
    paths = places.get(wanted[-1], []) if wanted else []
    return [each for each in paths if PurePosixPath(each).parts[-len(wanted) :] == wanted] or paths


def _boxes(
    path: str,
    lists: list[list[str]],
    read: dict[str, _Read],
    classes: Sequence[str] | None,
    problems: list[str],
    proposals: str | None,
    remarks: Sequence[str] = (),
) -> BoxData:
    named = [{row[0] for name in names if name in read for row in read[name].annotation.objects} for names in lists]
    known = sorted(named[0]) if classes is None else list(classes)
    for split, own in zip(SPLITS, named, strict=False):
        for name in sorted(own - set(known)):
            reason = "not in classes" if classes is not None else "in no training picture"
            problems.append(f"class '{name}' of the {split} pictures: {reason}")
    given: dict[str, np.ndarray] = {}
    if proposals not in (None, REGIONS):
        sizes = {name: each.size for name, each in read.items()}
        try:
            given, faults = from_file(Path(str(proposals)), sizes, {name for names in lists for name in names})
            problems += faults
        except DataError as error:
            problems.append(f"{error.where}: {error.what}" + (f" ({error.hint})" if error.hint else ""))
    _raise_all(problems, path)
    if not known:
        raise DataError("no training picture has an object", where=path)
    most = max(1, *(len(each.annotation.objects) for each in read.values()))
    splits, counts, regions = [], [], []
    for split, names in zip(SPLITS, lists, strict=False):
        objects = np.full((len(names), most, 5), -1, np.float32)
        for row, name in enumerate(names):
            for column, (kind, *corners) in enumerate(read[name].annotation.objects):
                objects[row, column] = (known.index(kind), *corners)
        splits.append((np.stack([read[name].pixels for name in names]), objects))
        if proposals is not None:
            boxes = from_colors(splits[-1][0]) if proposals == REGIONS else [given[name] for name in names]
            regions.append(padded(boxes))
        present = objects[..., 0] >= 0
        shown = ", ".join(f"{name} {int((objects[..., 0] == number).sum())}" for number, name in enumerate(known))
        empty = int((~present.any(1)).sum())
        counts.append(f"{split}: {len(names)} pictures, {int(present.sum())} objects ({shown})")
        counts[-1] += f", {empty} pictures without any" if empty else ""
    mended = [*remarks, *(f"{name}: {line}" for name, each in read.items() for line in each.annotation.mended)]
    told = _shortened(mended, MAX_NOTED)
    log_notes(path, counts, _shortened(mended, MAX_TOLD))
    notes = [*counts, *told]
    if not regions:
        return box_data(splits, known, notes=notes)
    return box_data(splits, known, notes=notes, proposals=regions, proposals_from=str(proposals))


def voc_masks(
    path: str,
    *,
    height: int = 128,
    width: int = 160,
    classes: Sequence[str] | None = None,
    colors: Sequence[Sequence[int]] | None = None,
    valid_share: float = 0.2,
    split_seed: int = 42,
) -> MaskData:
    """Pictures with masks in the layout of Pascal VOC: a folder or a zip, at any depth inside it.

    ``JPEGImages`` has the pictures, ``SegmentationClass`` a mask of the same name for some of them, and
    ``ImageSets/Segmentation`` lists as for ``voc_boxes``. The pixels of a mask are class numbers (a palette or gray
    values), or the colors of classes; 255 is ignored, and so is the color (224, 224, 192) of borders.

    Args:
        path: the folder or the ``.zip``, which is not unpacked.
        height, width: size in pixels that pictures and masks are resized to.
        classes: class names by number, background first; None numbers them.
        colors: red, green and blue of each class, for masks in color; None are Pascal VOC's.
        valid_share, split_seed: fraction and seed of the random split.

    Raises:
        DataError: files are missing or cannot be read, a mask has another size than its picture, or unknown colors, or
            a class occurs in validation only; all are told.
        ParameterError: a value is out of range.
    """
    _check(height, width, valid_share, split_seed, "voc_masks")
    files = Files(Path(path))
    pictures, masks = files.below("JPEGImages", PICTURE_SUFFIXES), files.below("SegmentationClass", MASK_SUFFIXES)
    _check_layout(path, {"JPEGImages": pictures, "SegmentationClass": masks})
    problems: list[str] = []
    lists, remarks = _lists(files, "Segmentation", sorted(masks), valid_share, split_seed, path)
    read: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in dict.fromkeys(each for names in lists for each in names):
        faults = _faults({"picture": pictures.get(name), "mask": masks.get(name)})
        if faults:
            problems.append(f"{name}: {'; '.join(faults)}")
            continue
        try:
            pixels, own = decode_picture(files.read(pictures[name][0]), (height, width), pictures[name][0])
            mask, other = decode_mask(files.read(masks[name][0]), (height, width), masks[name][0])
            if own != other:
                raise DataError(f"the mask has {other[1]} × {other[0]} pixels, the picture {own[1]} × {own[0]}")
            read[name] = pixels, _class_numbers(mask, colors)
        except DataError as error:
            problems.append(f"{name}: {error.what}")
    highest = max((int(mask[mask != IGNORED].max(initial=0)) for _, mask in read.values()), default=0)
    numbered = (f"class {number}" for number in range(1, highest + 1))
    named = ["background", *numbered] if classes is None else list(classes)
    of_split = [
        {int(each) for name in names if name in read for each in np.unique(read[name][1])} - {IGNORED}
        for names in lists
    ]
    for split, own in zip(SPLITS, of_split, strict=False):
        unseen = sorted(own - of_split[0]) if classes is None else []
        problems += [f"class number {number} of the {split} pictures: in no training picture" for number in unseen]
    for name, (_, mask) in read.items():
        beyond = sorted(set(np.unique(mask).tolist()) - set(range(len(named))) - {IGNORED})
        if beyond:
            problems.append(f"{name}: class number {beyond[0]}, but there are {len(named)} classes")
    if classes is None and not problems and not highest:
        white = any((mask == IGNORED).any() for _, mask in read.values())
        problems.append(
            "no mask has an object" + (": 255 marks pixels that count for nothing, not objects" if white else "")
        )
    _raise_all(problems, path)
    splits = [
        (np.stack([read[name][0] for name in names]), np.stack([read[name][1] for name in names])) for names in lists
    ]
    notes = [
        f"{split}: {len(names)} pictures ({_shares(target, named)})"
        for split, names, (_, target) in zip(SPLITS, lists, splits, strict=False)
    ]
    told = (
        remarks if classes is not None else remarks + _gaps({name: mask for name, (_, mask) in read.items()}, highest)
    )
    log_notes(path, notes, told)
    return mask_data(splits, named, notes=[*notes, *told])


def _shares(masks: np.ndarray, names: Sequence[str]) -> str:
    """Return in how many masks (N, H, W) each class occurs, and its share of all pixels."""
    pictures = np.zeros(256, np.int64)
    for mask in masks:
        pictures[np.unique(mask)] += 1
    pixels = np.bincount(masks.reshape(-1), minlength=256)
    found = [
        f"{name} in {pictures[number]} ({percent(int(pixels[number]), masks.size)} of pixels)"
        for number, name in enumerate(names)
        if pictures[number]
    ]
    if pictures[IGNORED]:
        found.append(f"ignored {percent(int(pixels[IGNORED]), masks.size)} of pixels")
    missing = sum(not pictures[number] for number in range(len(names)))
    return ", ".join(_shortened(found, MAX_NOTED) + ([f"{missing} classes in none"] if missing else []))


def _gaps(masks: Mapping[str, np.ndarray], highest: int) -> list[str]:
    """Return a sentence on class numbers below the highest that no mask has; a stray value makes classes of them."""
    present = sorted({int(number) for mask in masks.values() for number in np.unique(mask)} | {0})
    present = [number for number in present if number <= highest]
    between = [(low + 1, high - 1) for low, high in pairwise(present) if high > low + 1]
    if not between:
        return []
    shown = _shortened([f"{low}" if low == high else f"{low} to {high}" for low, high in between], MAX_NOTED)
    having = [name for name, mask in masks.items() if (mask == highest).any()]
    return [
        f"class numbers {', '.join(shown)} are in no mask, but count as classes, since {highest} is in "
        f"{counted(len(having), 'mask')}: {', '.join(_shortened(having, 3))}; classes=[…] names those there are"
    ]


def voc_colors() -> list[tuple[int, int, int]]:
    """Return Pascal VOC's colors of classes: the bits of the number, spread over red, green and blue."""
    found = []
    for number in range(21):
        color = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                color[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
        found.append((color[0], color[1], color[2]))
    return found


def _class_numbers(mask: np.ndarray, colors: Sequence[Sequence[int]] | None) -> np.ndarray:
    """Return a mask as class numbers (height, width) uint8."""
    if mask.ndim == 2:
        return mask.astype(np.uint8)
    codes = (mask.astype(np.int64) * [65536, 256, 1]).sum(-1)
    known = {(r << 16) | (g << 8) | b: number for number, (r, g, b) in enumerate(colors or voc_colors())}
    known[(224 << 16) | (224 << 8) | 192] = IGNORED
    values, index = np.unique(codes, return_inverse=True)
    unknown = [int(each) for each in values if int(each) not in known]
    if unknown:
        color = (unknown[0] >> 16, unknown[0] >> 8 & 255, unknown[0] & 255)
        raise DataError(f"{len(unknown)} unknown colors in the mask, such as {color}", hint="colors=[[r, g, b], …]")
    return np.array([known[int(each)] for each in values], np.uint8)[index].reshape(codes.shape)


def _lists(
    files: Files, folder: str, names: list[str], share: float, seed: int, path: str
) -> tuple[list[list[str]], list[str]]:
    """Return the names of training, validation and optionally test pictures, from lists or at random, and remarks.

    A name that a list has several times counts once. Published lists may have pictures in common, so that is told, too,
    and no error.
    """
    stems = ("train", "val", "test")
    lists = {stem: found for stem, found in files.below(folder, (".txt",)).items() if stem in stems}
    if not {"train", "val"} <= lists.keys():
        return _random_lists(names, share, seed, path), []
    several = [", ".join(found) for found in lists.values() if len(found) > 1]
    if several:
        raise DataError(f"several lists of one split: {'; '.join(several)}", where=path, hint="one of each")
    remarks, kept = [], {}
    for stem in (stem for stem in stems if stem in lists):
        text = files.read(lists[stem][0]).decode("utf-8", "replace")
        counts = Counter(line.split()[0] for line in text.splitlines() if line.strip())
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            remarks.append(f"{counted(len(twice), 'name')} more than once in {stem}.txt, used once: {_named(twice)}")
        for other in kept:
            both = [name for name in counts if name in kept[other]]
            if both:
                remarks.append(f"{counted(len(both), 'picture')} both in {other}.txt and in {stem}.txt: {_named(both)}")
        kept[stem] = list(counts)
    return list(kept.values()), remarks


def _random_lists(names: list[str], share: float, seed: int, path: str) -> list[list[str]]:
    count = round(share * len(names))
    if not 0 < count < len(names):
        raise DataError(f"too few pictures to split: {len(names)}", where=path, hint="both parts need pictures")
    order = np.random.default_rng(seed).permutation(len(names))
    return [[names[row] for row in sorted(order[count:])], [names[row] for row in sorted(order[:count])]]


def _raise_all(problems: list[str], path: str) -> None:
    if problems:
        lines = _shortened(sorted(problems, key=_by_number), MAX_TOLD)
        if any(each.endswith(": no annotation") for each in problems):
            lines.append("a picture without objects needs an annotation, too: one that has no object")
        raise DataError(f"{counted(len(problems), 'problem')} in this data set", where=path, hint="\n".join(lines))


def _by_number(text: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts picture 10 behind picture 9."""
    parts = re.split(r"(\d+)", text)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _shortened(lines: list[str], most: int) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]


def _check(height: int, width: int, share: float, seed: int, name: str) -> None:
    if min(height, width) < 16 or max(height, width) > 4096 or not 0 < share < 1 or seed < 0:
        raise ParameterError(
            f"height={height}, width={width}, valid_share={share}, split_seed={seed}",
            where=f"dataset '{name}'",
            hint="16 to 4096 pixels, a fraction, and a seed of at least 0",
        )


# --- named ------------------------------------------------------------------------------------------------------------


def bccd_corpus() -> Corpus:
    """Blood cells: 364 pictures of blood smears with 4,888 boxes."""
    return Corpus(
        name="bccd",
        title="BCCD, blood cells under a microscope, 640 × 480, with boxes of three classes",
        languages=("zxx",),
        license="MIT (Shenggan, cosmicad)",
        publisher="https://github.com/Shenggan/BCCD_Dataset",
        files={"archive": ("detection_bccd/bccd.zip",)},
        note="a zip of BCCD/JPEGImages, BCCD/Annotations and BCCD/ImageSets, in the layout of Pascal VOC",
    )


def bccd(*, height: int = 120, width: int = 160, proposals: str | None = None) -> BoxData:
    """Blood cells (BCCD): red and white cells and platelets, in lists for training, validation and testing.

    Args:
        height, width: size in pixels that the pictures of 480 × 640 are resized to.
        proposals: a file with regions, or ``regions``; as of ``voc_boxes``.
    """
    return voc_boxes(str(find_corpus("bccd").path("archive")), height=height, width=width, proposals=proposals)

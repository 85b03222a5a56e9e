"""Where pictures come from: folders and archives, CIFAR-10, Fashion-MNIST, cats and dogs, and scikit-learn's digits."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickletools
import struct
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from lab_text.cache import content_key, entry
from lab_text.corpora import Corpus, Download, data_folder, find_corpus

from lab.cache import file_digest
from lab.errors import DataError, ParameterError
from lab_vision.data import ImageData, image_data
from lab_vision.pictures import Fit, Picture, pictures_in, read_pictures
from lab_vision.surroundings import SURROUNDINGS, Cuttings, cut_corners

__all__ = [
    "cifar10",
    "cifar10_corpus",
    "digits",
    "dogs_cats",
    "dogs_cats_corpus",
    "fashion_mnist",
    "fashion_mnist_corpus",
    "image_folder",
]

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
CIFAR_FOLDER = "cifar10/cifar-10-batches-bin"
FASHION_CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# --- folders and archives ---------------------------------------------------------------------------------------------


def image_folder(
    path: str,
    *,
    size: int | None = 64,
    grey: bool = False,
    fit: Fit = "crop",
    classes_from: Literal["folder", "name"] = "folder",
    classes: Sequence[str] | None = None,
    corners: int = 0,
    valid_share: float = 0.2,
    split_seed: int = 42,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageData:
    """Pictures in a folder or a zip.

    With subfolders ``train`` and ``valid`` (or ``val``) these are the splits, and ``test`` is a third; with
    ``train`` and ``test`` alone the latter validates; otherwise a share is held out at random. Pictures that cannot
    be read are left out, listed in ``data.skipped``, and told.

    Args:
        path: the folder or the ``.zip``; an archive is not unpacked.
        size: edge of the square in pixels; None leaves pictures of one size as they are.
        grey: one channel instead of three.
        fit: ``crop`` cuts the middle out, ``squish`` squeezes.
        classes_from: the ``folder`` that a picture lies in, or the first part of its ``name``, as in ``cat.12.jpg``.
        classes: names in the order of their numbers, some of which no picture may show, so that a net that knows ten
            classes goes on learning from pictures of two; None takes those that are shown.
        corners: so many corners of each training picture are trained as one class more, ``surroundings``, since what
            fills a picture's border is seldom what it shows (Wei et al. 2012, "Geodesic saliency using background
            priors"). For each corner but one the picture is trained once more, its middle and whole in turn.
        valid_share, split_seed: of the random split.
        mean, std: per channel, for pixels between 0 and 1; None computes them.

    Raises:
        DataError: there are no pictures, or no classes, or others than ``classes``; names say which.
    """
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where="dataset 'image_folder'")
    if not 0 <= corners <= 4 or (corners and size is None):
        raise ParameterError(
            f"corners={corners}, size={size}", where="dataset 'image_folder'", hint="0 to 4 corners, and a size"
        )
    pictures = pictures_in(Path(path))
    if not pictures:
        raise DataError("there are no pictures", where=path, hint="files: .jpg, .png, .bmp, .gif, .webp")
    digest = _digest(Path(path), pictures)
    pixels, names, skipped = _cached(digest, pictures, size, grey, fit)
    if skipped:
        _tell_skipped(path, skipped)
    named = [_class_of(name, classes_from, path) for name in names]
    numbered = sorted(set(named)) if classes is None else list(classes)
    if corners and SURROUNDINGS in numbered:
        raise ParameterError(f"'{SURROUNDINGS}' is the class of corners", where=path, hint="give yours another name")
    others = sorted(set(named) - set(numbered))
    if others:
        raise DataError(f"pictures show '{others[0]}'", where=path, hint=f"classes: {', '.join(numbered)}")
    target = np.array([numbered.index(each) for each in named])
    rows = _splits(names, valid_share, split_seed)
    splits = [(pixels[each], target[each]) for each in rows]
    if corners and size is not None:
        readable = {picture.name: picture for picture in pictures}
        trained = [readable[names[row]] for row in rows[0]]
        splits[0] = _joined(splits[0], _cached_corners(digest, trained, corners, size, grey), len(numbered))
        numbered.append(SURROUNDINGS)
    return image_data(
        splits,
        numbered,
        mean=mean,
        std=std,
        skipped=skipped,
        name=path,
        each_shown=classes is None,
    )


def _cached(
    digest: str, pictures: Sequence[Picture], size: int | None, grey: bool, fit: Fit
) -> tuple[np.ndarray, list[str], list[tuple[str, str]]]:
    """Decoded pictures; the second time they are read from the cache, which is found by their content."""
    key = content_key({"of": digest, "size": size, "grey": grey, "fit": fit, "kind": "pictures 1"})

    def write(folder: Path) -> None:
        decoded = read_pictures(pictures, size, grey=grey, fit=fit)
        np.save(folder / "pixels.npy", decoded.pixels)
        content = {"names": decoded.names, "skipped": decoded.skipped}
        (folder / "names.json").write_text(json.dumps(content), encoding="utf-8")

    folder = entry(key, write)
    content = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    return np.load(folder / "pixels.npy"), content["names"], [tuple(each) for each in content["skipped"]]


def _cached_corners(digest: str, pictures: Sequence[Picture], corners: int, size: int, grey: bool) -> Cuttings:
    """Corners of the training pictures; the second time they are read from the cache, as whole pictures are."""
    names = [picture.name for picture in pictures]
    key = content_key(
        {"of": digest, "names": names, "size": size, "grey": grey, "corners": corners, "kind": "corners 1"}
    )

    def write(folder: Path) -> None:
        np.savez(folder / "corners.npz", **cut_corners(pictures, corners, size, grey=grey)._asdict())

    folder = entry(key, write)
    with np.load(folder / "corners.npz") as content:
        return Cuttings(**content)


def _joined(whole: tuple[np.ndarray, np.ndarray], parts: Cuttings, corner: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and classes of whole pictures and then of their parts; corners have the class ``corner``."""
    pixels, target = whole
    shown = np.where(parts.is_corner, corner, target[parts.row])
    return np.concatenate([pixels, parts.pixels]), np.concatenate([target, shown])


def _digest(path: Path, pictures: Sequence[Picture]) -> str:
    if path.is_file():
        return file_digest(path)
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(picture.name.encode() + b"\0" + hashlib.sha256(picture.read()).digest())
    return digest.hexdigest()


def _tell_skipped(path: str, skipped: Sequence[tuple[str, str]]) -> None:
    import logging

    shown = "\n".join(f"  {name}: {reason}" for name, reason in skipped[:5])
    more = f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    logging.getLogger("lab").warning("%s: %d pictures left out\n%s%s", path, len(skipped), shown, more)


def _class_of(name: str, classes_from: str, path: str) -> str:
    parts = _parts_of(name)
    if classes_from == "name":
        return parts[-1].split(".")[0]
    folders = [part for part in parts[:-1] if part not in ("train", "valid", "val", "test")]
    if not folders:
        raise DataError(
            f"picture '{name}' lies in no folder that could be its class",
            where=path,
            hint="put each class into a folder, or: classes_from='name'",
        )
    return folders[-1]


def _splits(names: Sequence[str], share: float, seed: int) -> list[np.ndarray]:
    """Rows that train, validate and perhaps test."""
    tops = np.array([_split_of(name) for name in names])
    there = set(tops)
    if {"train", "valid"} <= there:
        return [np.flatnonzero(tops == each) for each in ("train", "valid", "test") if each in there]
    if {"train", "test"} <= there:
        return [np.flatnonzero(tops == each) for each in ("train", "test")]
    order = np.random.default_rng(seed).permutation(len(names))
    count = round(share * len(names))
    if not 0 < count < len(names):
        raise DataError(f"{len(names)} pictures cannot be split", hint="give more of them")
    return [np.sort(order[count:]), np.sort(order[:count])]


def _split_of(name: str) -> str:
    top = _parts_of(name)[0]
    return "valid" if top == "val" else top


def _parts_of(name: str) -> list[str]:
    """Folders and file of a picture's path, which thousands of pictures ask for."""
    return [part for part in name.split("/") if part not in ("", ".")]


# --- named ------------------------------------------------------------------------------------------------------------


def cifar10_corpus() -> Corpus:
    """CIFAR-10 of 2009: pictures of ten classes, 32 × 32."""
    return Corpus(
        name="cifar10",
        title="CIFAR-10, pictures of ten classes, 32 × 32",
        languages=("zxx",),
        licence="free for research (Krizhevsky 2009)",
        publisher="https://www.cs.toronto.edu/~kriz/cifar.html",
        files={name: (f"{CIFAR_FOLDER}/{name}.bin", "cifar10/cifar10_jpg_subset.zip") for name in CIFAR_BATCHES},
        downloads=(
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "cifar10/cifar-10-binary.tar.gz",
                170_052_171,
                members={f"{name}.bin": f"{CIFAR_FOLDER}/{name}.bin" for name in CIFAR_BATCHES},
            ),
        ),
        note="the zip of pictures is a smaller part, 15,000 and 5,000, compressed again",
    )


def cifar10(*, path: str | None = None, held_out: Sequence[str] = (), longest: int | None = None) -> ImageData:
    """CIFAR-10 (Krizhevsky 2009): ten classes, 32 × 32 pixels; the test pictures validate.

    Args:
        path: a folder with the binary batches (``data_batch_1.bin`` …) or the python ones (``data_batch_1`` …, of which
            nothing is executed), or a zip of pictures ``train/<class>/…`` and ``test/<class>/…``; None takes the first
            of these that the data directory has.
        held_out: classes of which no picture is used.
        longest: only so many pictures of each split, for a quick look.
    """
    source = Path(path) if path else _cifar_path()
    splits = _cifar_batches(source) if source.is_dir() and _batches(source) else _cifar_pictures(source)
    unknown = [name for name in held_out if name not in CIFAR_CLASSES]
    if unknown:
        raise ParameterError(
            f"there is no class '{unknown[0]}'", where="dataset 'cifar10'", hint=", ".join(CIFAR_CLASSES)
        )
    names = [name for name in CIFAR_CLASSES if name not in held_out]
    numbers = np.array([names.index(name) if name in names else -1 for name in CIFAR_CLASSES])
    kept = []
    for pixels, target in splits:
        target = numbers[target]
        rows = np.flatnonzero(target >= 0)
        if longest is not None:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[:longest])
        kept.append((pixels[rows], target[rows]))
    return image_data(kept, names, name=str(source))


def _cifar_path() -> Path:
    folder = data_folder() / CIFAR_FOLDER
    return folder if folder.is_dir() else find_corpus("cifar10").path("test_batch")


def _batches(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.name.startswith(("data_batch", "test_batch")))


def _cifar_batches(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    parts: dict[bool, list[tuple[np.ndarray, np.ndarray]]] = {False: [], True: []}
    for path in _batches(folder):
        read = _binary_batch if path.suffix == ".bin" else _python_batch
        parts[path.name.startswith("test")].append(read(path))
    if not (parts[False] and parts[True]):
        raise DataError("batches of CIFAR-10 are missing", where=str(folder), hint="data_batch_1 … 5 and test_batch")
    return [tuple(np.concatenate(each) for each in zip(*parts[is_test], strict=True)) for is_test in (False, True)]  # type: ignore[misc]


def _binary_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = np.frombuffer(path.read_bytes(), np.uint8)
    if not len(rows) or len(rows) % 3073:
        raise DataError(f"{len(rows):,} bytes are no batch of CIFAR-10", where=str(path), hint="3,073 bytes a picture")
    rows = rows.reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)


def _python_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pixels and classes of a pickled batch, read off its opcodes: the long byte string and the list of numbers.

    Nothing is unpickled, so nothing that a file asks for is executed.
    """
    longest, numbers = b"", []
    runs: list[list[int]] = [[]]
    try:
        for opcode, value, _ in pickletools.genops(path.read_bytes()):
            if isinstance(value, (bytes, str)) and len(value) > len(longest):
                longest = value if isinstance(value, bytes) else value.encode("latin-1")
            if opcode.name in ("BININT1", "BININT", "BININT2", "INT"):
                runs[-1].append(int(value))  # type: ignore[arg-type]
            elif opcode.name not in ("APPENDS", "MARK"):  # a long list comes in pieces between these
                runs.append([])
    except (ValueError, UnicodeEncodeError) as error:
        raise DataError("this is no python batch of CIFAR-10", where=f"{path}: {error}") from error
    count = len(longest) // 3072
    numbers = next((run for run in runs if len(run) == count), [])
    if not count or len(longest) % 3072 or not numbers:
        raise DataError("this is no python batch of CIFAR-10", where=str(path), hint="take the binary ones")
    return np.frombuffer(longest, np.uint8).reshape(-1, 3, 32, 32), np.array(numbers)


def _cifar_pictures(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    pictures = pictures_in(path)
    pixels, names, _ = _cached(_digest(path, pictures), pictures, None, False, "crop")
    target = np.array([CIFAR_CLASSES.index(_class_of(name, "folder", str(path))) for name in names])
    splits = np.array([_split_of(name) for name in names])
    return [(pixels[rows], target[rows]) for rows in (splits == "train", splits == "test")]


def fashion_mnist_corpus() -> Corpus:
    """Fashion-MNIST of 2017: 70,000 grey pictures of clothes, 28 × 28."""
    files = {
        f"{part}_{what}": f"fashion_mnist/{start}-{what}-idx{rank}-ubyte.gz"
        for part, start in (("train", "train"), ("test", "t10k"))
        for what, rank in (("images", 3), ("labels", 1))
    }
    url = "https://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    return Corpus(
        name="fashion_mnist",
        title="Fashion-MNIST, 70,000 grey pictures of clothes, 28 × 28",
        languages=("zxx",),
        licence="MIT (Zalando)",
        publisher="https://github.com/zalandoresearch/fashion-mnist",
        files={role: (path,) for role, path in files.items()},
        downloads=tuple(Download(f"{url}/{PurePosixPath(path).name}", path) for path in files.values()),
    )


def fashion_mnist(*, size: int | None = None, longest: int | None = None) -> ImageData:
    """Fashion-MNIST (Xiao et al. 2017): ten kinds of clothes, grey, 28 × 28; the test pictures validate.

    Args:
        size: edge in pixels to enlarge to, as *Dive into Deep Learning* does for its larger networks; None leaves 28.
        longest: only so many pictures of each split, for a quick look.
    """
    corpus = find_corpus("fashion_mnist")
    splits = []
    for part in ("train", "test"):
        pixels, target = (_idx(corpus.path(f"{part}_{what}"))[:longest] for what in ("images", "labels"))
        splits.append((_enlarged(pixels[:, None], size), target))
    return image_data(splits, FASHION_CLASSES, name="corpus 'fashion_mnist'")


def _idx(path: Path) -> np.ndarray:
    """An array in the IDX format of MNIST: two zeros, a type, the rank, big-endian sizes, then the numbers."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DataError("this is no IDX file of bytes", where=str(path))
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    start = 4 + 4 * content[3]
    if len(content) - start != int(np.prod(shape)):
        raise DataError(f"{len(content) - start:,} bytes are not {shape}", where=str(path), hint="fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _enlarged(pixels: np.ndarray, size: int | None) -> np.ndarray:
    if size is None or pixels.shape[-1] == size:
        return pixels
    import torch
    from torch.nn import functional

    parts = torch.from_numpy(pixels.copy()).split(1000)
    return torch.cat(
        [
            functional.interpolate(part.float(), (size, size), mode="bilinear", antialias=True).round().byte()
            for part in parts
        ]
    ).numpy()


def dogs_cats_corpus() -> Corpus:
    """Dogs and cats: 500 pictures of each."""
    return Corpus(
        name="dogs_cats",
        title="Dogs and cats, 500 pictures of each",
        languages=("zxx",),
        licence="rules of the Kaggle competition (Asirra)",
        publisher="https://www.kaggle.com/c/dogs-vs-cats",
        files={"pictures": ("dogs_cats/dogs_cats_1000.zip",)},
        note="its publisher asks for an account, so that it cannot be fetched by itself",
    )


def dogs_cats(
    *,
    size: int = 96,
    classes: Sequence[str] | None = None,
    corners: int = 0,
    valid_share: float = 0.2,
    split_seed: int = 42,
) -> ImageData:
    """Dogs and cats in colour, the class in each picture's name.

    Args:
        size: edge of the square in pixels.
        classes: names in the order of their numbers, ``cat`` and ``dog`` among them; None takes these two.
        corners: so many corners of each training picture are one class more, ``surroundings``; see ``image_folder``.
        valid_share, split_seed: of the random split.
    """
    return image_folder(
        str(find_corpus("dogs_cats").path("pictures")),
        size=size,
        classes_from="name",
        classes=classes,
        corners=corners,
        valid_share=valid_share,
        split_seed=split_seed,
    )


def digits(*, size: int | None = None, held_out: Sequence[str] = (), split_seed: int = 42) -> ImageData:
    """Scikit-learn's 1,797 digits, written by hand, 8 × 8, grey: nothing is downloaded. A quarter validates.

    Args:
        size: edge in pixels to enlarge to; None leaves 8.
        held_out: names of digits of which no picture is used, for example ``("seven",)``.
        split_seed: of the random split.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = (bunch.images * (255 / 16)).round().astype(np.uint8)[:, None]
    names = [name for name in DIGIT_NAMES if name not in held_out]
    numbers = np.array([names.index(name) if name in names else -1 for name in DIGIT_NAMES])
    order = np.random.default_rng(split_seed).permutation(len(pixels))
    count = len(pixels) // 4
    pixels, target = _enlarged(pixels, size), numbers[bunch.target]
    parts = [rows[target[rows] >= 0] for rows in (np.sort(order[count:]), np.sort(order[:count]))]
    return image_data([(pixels[rows], target[rows]) for rows in parts], names, name="scikit-learn's digits")

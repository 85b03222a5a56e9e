"""Image datasets: folders and archives, CIFAR-10, Fashion-MNIST, cats and dogs, and scikit-learn's digits."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickletools
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from lab_basics.notes import log_notes
from lab_text.cache import content_key, entry
from lab_text.corpora import Corpus, Download, data_folder, find_corpus

from lab.cache import file_digest
from lab.errors import DataError, ParameterError
from lab_vision.background import BACKGROUND, Cuttings, cut_corners
from lab_vision.data import ImageData, check_scale, image_data, require_count, require_size
from lab_vision.layout import ClassesFrom, Splits, lay_out
from lab_vision.pictures import SUFFIXES, Decoded, Fit, Picture, list_pictures, pictures_in, read_pictures
from lab_vision.remarks import describe_passed_over, describe_skipped, describe_splits, remarks_on

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
    gray: bool = False,
    fit: Fit = "crop",
    classes_from: ClassesFrom = "folder",
    classes: Sequence[str] | None = None,
    splits: Splits = None,
    corners: int = 0,
    valid_share: float = 0.2,
    split_seed: int = 42,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageData:
    """Pictures in a folder or a zip, one folder per class.

    Folders named ``train``, ``valid`` and ``test``, in any case and usual spelling (``Training``, ``val``, ``test_set``
    …), are the splits; if there are only ``train`` and ``test``, the latter validates; without such folders, some
    pictures are held out at random. A folder that looks like a split but cannot be one is an error. Inside a split,
    each folder is a class, with all folders below it. Folders that contain everything are ignored, hidden files are
    skipped. Files that cannot be read are skipped, listed in ``data.skipped`` and reported, like anything else that
    looks odd: classes without validation pictures, a picture in two splits, several frames …

    Args:
        path: the folder or the ``.zip``, which is not unpacked.
        size: edge of the square in pixels; None keeps the size, which must be the same for all pictures.
        gray: one channel instead of three.
        fit: ``crop`` crops the center, ``squish`` changes the aspect ratio.
        classes_from: the ``folder`` of each class; if folders inside several classes have the same names, ``outermost``
            or ``innermost`` decides. ``name`` takes the first part of a picture's name, as in ``cat.12.jpg``.
        classes: class names by number; classes without pictures are allowed, so that a network for ten classes can be
            trained further on two. None takes those of the pictures.
        splits: ``{"train": "train2017", "valid": "val2017"}`` names the folders of the splits (other pictures are not
            used); ``"random"`` treats no folder as a split; None infers them from their names.
        corners: number of random corner crops of each training picture that are added as a class ``background``, since
            the border of a picture seldom shows its subject (Wei et al. 2012, "Geodesic saliency using background
            priors"). For each corner but one, the center or the whole picture is added too.
        valid_share, split_seed: fraction and seed of the random split.
        mean, std: per channel, for pixels between 0 and 1; None computes them.

    Raises:
        DataError: there are no pictures, no classes, or others than ``classes``, or the layout is ambiguous.
        ParameterError: a value is out of range, or only one of mean and std is given.
    """
    where = "dataset 'image_folder'"
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=where)
    require_count("split_seed", split_seed, 0, where)
    require_size(size, where)
    if not 0 <= corners <= 4 or (corners and size is None):
        raise ParameterError(f"corners={corners}, size={size}", where=where, hint="0 to 4 corners, and a size")
    _check_classes(classes, where)
    check_scale(mean, std, 1 if gray else 3, where)
    listing = list_pictures(Path(path))
    pictures = listing.pictures
    if not pictures:
        others_there = describe_passed_over(listing)
        raise DataError(
            "there are no pictures" + (f", but {others_there}" if others_there else ""),
            where=path,
            hint=f"files: {', '.join(SUFFIXES)}",
        )
    layout = lay_out([picture.name for picture in pictures], classes_from, splits, path)
    kept = [row for row, split in enumerate(layout.splits) if split is not None]
    pictures = [pictures[row] for row in kept]
    placed = {listing.pictures[row].name: (layout.splits[row], layout.classes[row]) for row in kept}
    digest = _digest(Path(path), pictures)
    decoded = _cached(digest, pictures, size, gray, fit)
    named = [placed[name][1] for name in decoded.names]
    numbered = sorted(set(named)) if classes is None else list(classes)
    if corners and BACKGROUND in numbered:
        raise ParameterError(f"'{BACKGROUND}' is the class of corners", where=path, hint="rename your class")
    others = sorted(set(named) - set(numbered))
    if others:
        raise DataError(
            f"class '{others[0]}' of the pictures is not in classes", where=path, hint=f"classes: {', '.join(numbered)}"
        )
    target = np.array([numbered.index(each) for each in named])
    rows = _splits([str(placed[name][0]) for name in decoded.names], valid_share, split_seed, path)
    notes = describe_splits(rows, target, numbered, layout.folders)
    told = [
        *layout.warnings,
        *remarks_on(listing, decoded, rows, target, numbered, {each for _, each in placed.values()}, classes is None),
    ]
    log_notes(path, notes, told)
    parts = [(decoded.pixels[each], target[each]) for each in rows]
    if corners and size is not None:
        readable = {picture.name: picture for picture in pictures}
        trained = [readable[decoded.names[row]] for row in rows[0]]
        parts[0] = _joined(parts[0], _cached_corners(digest, trained, corners, size, gray), len(numbered))
        numbered.append(BACKGROUND)
    return image_data(
        parts,
        numbered,
        mean=mean,
        std=std,
        skipped=decoded.skipped,
        name=path,
        each_shown=classes is None,
        fit=fit,
        notes=[*notes, *told],
    )


def _check_classes(classes: Sequence[str] | None, where: str) -> None:
    if isinstance(classes, str):
        raise ParameterError(f"classes='{classes}' is a string", where=where, hint=f"classes=['{classes}', …]")
    twice = [name for name in dict.fromkeys(classes or ()) if list(classes or ()).count(name) > 1]
    if twice:
        raise ParameterError(f"duplicate class: '{twice[0]}'", where=where, hint="list each class once")


def _cached(digest: str, pictures: Sequence[Picture], size: int | None, gray: bool, fit: Fit) -> Decoded:
    """Return decoded pictures from the cache, keyed by their content, or decode them."""
    names = hashlib.sha256("\0".join(picture.name for picture in pictures).encode()).hexdigest()
    # The last entry is a version: it changes when decoding does.
    key = content_key({"of": digest, "names": names, "size": size, "gray": gray, "fit": fit, "kind": "pictures 2"})

    def write(folder: Path) -> None:
        decoded = read_pictures(pictures, size, gray=gray, fit=fit)
        np.save(folder / "pixels.npy", decoded.pixels)
        content = {name: value for name, value in decoded._asdict().items() if name != "pixels"}
        (folder / "names.json").write_text(json.dumps(content), encoding="utf-8")

    folder = entry(key, write)
    content = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    skipped = [tuple(each) for each in content.pop("skipped")]
    return Decoded(pixels=np.load(folder / "pixels.npy"), skipped=skipped, **content)


def _cached_corners(digest: str, pictures: Sequence[Picture], corners: int, size: int, gray: bool) -> Cuttings:
    """Return corner crops of the training pictures from the cache, or crop them."""
    names = [picture.name for picture in pictures]
    key = content_key(
        {"of": digest, "names": names, "size": size, "gray": gray, "corners": corners, "kind": "corners 2"}
    )

    def write(folder: Path) -> None:
        np.savez(folder / "corners.npz", **cut_corners(pictures, corners, size, gray=gray)._asdict())

    folder = entry(key, write)
    with np.load(folder / "corners.npz") as content:
        return Cuttings(**content)


def _joined(whole: tuple[np.ndarray, np.ndarray], parts: Cuttings, corner: int) -> tuple[np.ndarray, np.ndarray]:
    """Append crops to whole pictures; corners get the class ``corner``."""
    pixels, target = whole
    shown = np.where(parts.is_corner, corner, target[parts.row])
    return np.concatenate([pixels, parts.pixels]), np.concatenate([target, shown])


def _digest(path: Path, pictures: Sequence[Picture]) -> str:
    if path.is_file():
        return file_digest(path)
    digest = hashlib.sha256()
    for picture in pictures:
        try:
            content = hashlib.sha256(picture.read()).digest()
        except (DataError, OSError) as error:
            # The decoder skips it later and reports its name.
            content = f"unreadable: {error}".encode()
        digest.update(picture.name.encode() + b"\0" + content)
    return digest.hexdigest()


def _splits(splits: Sequence[str], share: float, seed: int, where: str) -> list[np.ndarray]:
    """Return the rows of training, validation and optionally test; ``splits`` are "" if they are to be drawn."""
    tops = np.array(splits)
    there = set(splits)
    if there != {""}:
        found = [np.flatnonzero(tops == each) for each in ("train", "valid", "test") if each in there]
        if "train" not in there or len(found) < 2:
            raise DataError(f"no {'validation' if 'train' in there else 'training'} picture can be read", where=where)
        return found
    order = np.random.default_rng(seed).permutation(len(splits))
    count = round(share * len(splits))
    if not 0 < count < len(splits):
        raise DataError(f"too few pictures to split: {len(splits)}", where=where, hint="both parts need pictures")
    return [np.sort(order[count:]), np.sort(order[:count])]


# --- named ------------------------------------------------------------------------------------------------------------


def cifar10_corpus() -> Corpus:
    """CIFAR-10 of 2009: pictures of ten classes, 32 × 32."""
    return Corpus(
        name="cifar10",
        title="CIFAR-10, pictures of ten classes, 32 × 32",
        languages=("zxx",),
        license="free for research (Krizhevsky 2009)",
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
        note="the zip of pictures is a subset of 15,000 and 5,000, recompressed as JPEG",
    )


def cifar10(
    *,
    path: str | None = None,
    held_out: Sequence[str] = (),
    size: int | None = None,
    max_examples: int | None = None,
) -> ImageData:
    """CIFAR-10 (Krizhevsky 2009): ten classes, 32 × 32 pixels; the test pictures validate.

    Args:
        path: a folder with the binary batches (``data_batch_1.bin`` …) or the Python ones (``data_batch_1`` …, whose
            pickles are not executed), or a zip of pictures ``train/<class>/…`` and ``test/<class>/…``; None takes the
            first of these in the data directory.
        held_out: classes that are not used.
        size: edge in pixels to upscale to, for larger networks; None keeps 32.
        max_examples: use only N pictures of each split.
    """
    require_count("max_examples", max_examples, 1, "dataset 'cifar10'")
    require_size(size, "dataset 'cifar10'")
    source = Path(path) if path else _cifar_path()
    splits = _cifar_batches(source) if source.is_dir() and _batches(source) else _cifar_pictures(source)
    unknown = [name for name in held_out if name not in CIFAR_CLASSES]
    if unknown:
        raise ParameterError(f"unknown class '{unknown[0]}'", where="dataset 'cifar10'", hint=", ".join(CIFAR_CLASSES))
    names = [name for name in CIFAR_CLASSES if name not in held_out]
    numbers = np.array([names.index(name) if name in names else -1 for name in CIFAR_CLASSES])
    kept = []
    for pixels, target in splits:
        target = numbers[target]
        rows = np.flatnonzero(target >= 0)
        if max_examples is not None:
            # A random subset, since the first pictures of a split may be of few classes.
            rows = np.sort(np.random.default_rng(0).permutation(rows)[:max_examples])
        kept.append((_enlarged(pixels[rows], size), target[rows]))
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
        raise DataError("batches of CIFAR-10 are missing", where=str(folder), hint="data_batch_1 … 5, test_batch")
    return [tuple(np.concatenate(each) for each in zip(*parts[is_test], strict=True)) for is_test in (False, True)]  # type: ignore[misc]


def _binary_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = np.frombuffer(path.read_bytes(), np.uint8)
    if not len(rows) or len(rows) % 3073:
        raise DataError(
            f"a file of {len(rows):,} bytes is not a batch of CIFAR-10", where=str(path), hint="3,073 bytes per picture"
        )
    rows = rows.reshape(-1, 3073)
    if rows[:, 0].max() > 9:
        raise DataError(
            f"class {rows[:, 0].max()} is not one of CIFAR-10's ten", where=str(path), hint="download it again"
        )
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)


def _python_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels and classes of a pickled batch: the longest byte string and the list of numbers."""
    # Read from the opcodes, since unpickling would execute whatever the file asks for.
    longest, numbers = b"", []
    runs: list[list[int]] = [[]]
    try:
        for opcode, value, _ in pickletools.genops(path.read_bytes()):
            if isinstance(value, (bytes, str)) and len(value) > len(longest):
                longest = value if isinstance(value, bytes) else value.encode("latin-1")
            if opcode.name in ("BININT1", "BININT", "BININT2", "INT"):
                runs[-1].append(int(value))  # type: ignore[arg-type]
            elif opcode.name not in ("APPENDS", "MARK"):
                # Pickle writes a long list in chunks between these.
                runs.append([])
    except Exception as error:
        # Pickletools raises ValueError, IndexError, struct.error … on damaged files.
        raise DataError("this is not a Python batch of CIFAR-10", where=f"{path}: {error}") from error
    count = len(longest) // 3072
    numbers = next((run for run in runs if len(run) == count), [])
    if not count or len(longest) % 3072 or not numbers or not 0 <= min(numbers) <= max(numbers) <= 9:
        raise DataError("this is not a Python batch of CIFAR-10", where=str(path), hint="use the binary version")
    return np.frombuffer(longest, np.uint8).reshape(-1, 3, 32, 32), np.array(numbers)


def _cifar_pictures(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    pictures = pictures_in(path)
    if not pictures:
        raise DataError("there are no pictures", where=str(path), hint="train/<class>/… and test/<class>/…")
    layout = lay_out([picture.name for picture in pictures], "folder", None, str(path))
    placed = {picture.name: each for picture, *each in zip(pictures, layout.splits, layout.classes, strict=True)}
    decoded = _cached(_digest(path, pictures), pictures, None, False, "crop")
    if decoded.skipped:
        log_notes(str(path), [], [describe_skipped(decoded.skipped)])
    unknown = sorted({str(name) for _, name in placed.values()} - set(CIFAR_CLASSES))
    if unknown:
        raise DataError(
            f"'{unknown[0]}' is not a class of CIFAR-10", where=str(path), hint=f"classes: {', '.join(CIFAR_CLASSES)}"
        )
    height_width = decoded.pixels.shape[2:]
    if height_width != (32, 32):
        raise DataError(
            f"the pictures have {height_width[1]} × {height_width[0]} pixels, CIFAR-10 has 32 × 32",
            where=str(path),
            hint="use the dataset image_folder for other pictures",
        )
    target = np.array([CIFAR_CLASSES.index(str(placed[name][1])) for name in decoded.names])
    splits = np.array([str(placed[name][0]) for name in decoded.names])
    parts = [(decoded.pixels[rows], target[rows]) for rows in (splits == "train", splits == "test")]
    if not all(len(rows) for _, rows in parts):
        raise DataError("training or test pictures are missing", where=str(path), hint="train/… and test/…")
    return parts


def fashion_mnist_corpus() -> Corpus:
    """Fashion-MNIST of 2017: 70,000 gray pictures of clothes, 28 × 28."""
    files = {
        f"{part}_{what}": f"fashion_mnist/{start}-{what}-idx{rank}-ubyte.gz"
        for part, start in (("train", "train"), ("test", "t10k"))
        for what, rank in (("images", 3), ("labels", 1))
    }
    url = "https://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    return Corpus(
        name="fashion_mnist",
        title="Fashion-MNIST, 70,000 gray pictures of clothes, 28 × 28",
        languages=("zxx",),
        license="MIT (Zalando)",
        publisher="https://github.com/zalandoresearch/fashion-mnist",
        files={role: (path,) for role, path in files.items()},
        downloads=tuple(Download(f"{url}/{PurePosixPath(path).name}", path) for path in files.values()),
    )


def fashion_mnist(*, size: int | None = None, max_examples: int | None = None) -> ImageData:
    """Fashion-MNIST (Xiao et al. 2017): ten kinds of clothes, gray, 28 × 28; the test pictures validate.

    Args:
        size: edge in pixels to upscale to, as *Dive into Deep Learning* does for larger networks; None keeps 28.
        max_examples: use only N pictures of each split.
    """
    require_count("max_examples", max_examples, 1, "dataset 'fashion_mnist'")
    require_size(size, "dataset 'fashion_mnist'")
    corpus = find_corpus("fashion_mnist")
    splits = []
    for part in ("train", "test"):
        pixels, target = (_idx(corpus.path(f"{part}_{what}"))[:max_examples] for what in ("images", "labels"))
        if pixels.ndim != 3 or target.ndim != 1 or len(pixels) != len(target) or (len(target) and target.max() > 9):
            raise DataError(
                f"{len(pixels):,} pictures do not match {len(target):,} classes",
                where=str(corpus.path(f"{part}_images")),
                hint="download both again",
            )
        splits.append((_enlarged(pixels[:, None], size), target))
    return image_data(splits, FASHION_CLASSES, name="corpus 'fashion_mnist'")


def _idx(path: Path) -> np.ndarray:
    """Read an array in the IDX format of MNIST: two zeros, a type, the rank, big-endian sizes, then the numbers."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"the file cannot be unpacked: {error}", where=str(path), hint="download it again") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise DataError("this is not an IDX file of bytes", where=str(path))
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    start = 4 + 4 * content[3]
    if len(content) - start != int(np.prod(shape)):
        raise DataError(
            f"{len(content) - start:,} bytes do not match the shape {shape}", where=str(path), hint="download it again"
        )
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
        license="rules of the Kaggle competition (Asirra)",
        publisher="https://www.kaggle.com/c/dogs-vs-cats",
        files={"pictures": ("dogs_cats/dogs_cats_1000.zip",)},
        note="the publisher requires an account, so it cannot be downloaded automatically",
    )


def dogs_cats(
    *,
    size: int = 96,
    classes: Sequence[str] | None = None,
    corners: int = 0,
    valid_share: float = 0.2,
    split_seed: int = 42,
) -> ImageData:
    """Dogs and cats in color.

    Args:
        size: edge of the square in pixels.
        classes: class names by number, with ``cat`` and ``dog``; None takes these two.
        corners: corner crops of each training picture as a class ``background``; see ``image_folder``.
        valid_share, split_seed: fraction and seed of the random split.
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


def digit_sets(*, cells: int = 2, most: int = 3, train: int = 2000, valid: int = 500, data_seed: int = 0) -> ImageData:
    """Pictures of several handwritten digits, each of which is to be named: several classes per picture; no download.

    The digits are scikit-learn's, 8 × 8 pixels, in a square of ``cells`` × ``cells``; those of validation pictures are
    in no training picture. Targets are 0 or 1 for each of the ten digits.

    Args:
        cells: cells of an edge.
        most: largest number of digits in a picture; the number is drawn from 1 to ``most``.
        train, valid: number of pictures.
        data_seed: seed of the pictures.

    Shapes:
        images (B, 1, 8 · cells, 8 · cells) -> (B, 10)
    """
    from sklearn.datasets import load_digits

    where = "dataset 'digit_sets'"
    for label, value in (("cells", cells), ("most", most), ("train", train), ("valid", valid)):
        require_count(label, value, 1, where)
    require_count("data_seed", data_seed, 0, where)
    if most > cells**2:
        raise ParameterError(f"most={most} digits do not fit into {cells} × {cells} cells", where=where)
    bunch = load_digits()
    pixels = (bunch.images * (255 / 16)).round().astype(np.uint8)
    generator = np.random.default_rng(data_seed)
    order = generator.permutation(len(pixels))
    count = len(pixels) // 4
    splits = []
    for rows, size in ((order[count:], train), (order[:count], valid)):
        pictures, targets = np.zeros((size, 1, 8 * cells, 8 * cells), np.uint8), np.zeros((size, 10), np.int64)
        for picture, target in zip(pictures, targets, strict=True):
            for cell in generator.permutation(cells**2)[: generator.integers(1, most + 1)]:
                row, chosen = divmod(int(cell), cells), int(generator.choice(rows))
                place = tuple(slice(8 * each, 8 * each + 8) for each in row)
                picture[(0, *place)] = pixels[chosen]
                target[bunch.target[chosen]] = 1
        splits.append((pictures, targets))
    return image_data(splits, DIGIT_NAMES, name="sets of scikit-learn's digits", each_shown=False)


def digits(*, size: int | None = None, held_out: Sequence[str] = (), split_seed: int = 42) -> ImageData:
    """Scikit-learn's 1,797 handwritten digits, 8 × 8, gray; no download. A quarter validates.

    Args:
        size: edge in pixels to upscale to; None keeps 8.
        held_out: names of digits that are not used, for example ``("seven",)``.
        split_seed: seed of the random split.
    """
    from sklearn.datasets import load_digits

    where = "dataset 'digits'"
    require_size(size, where)
    require_count("split_seed", split_seed, 0, where)
    unknown = [name for name in held_out if name not in DIGIT_NAMES]
    if unknown:
        raise ParameterError(f"unknown class '{unknown[0]}'", where=where, hint=", ".join(DIGIT_NAMES))
    bunch = load_digits()
    # scikit-learn's gray values run from 0 to 16.
    pixels = (bunch.images * (255 / 16)).round().astype(np.uint8)[:, None]
    names = [name for name in DIGIT_NAMES if name not in held_out]
    numbers = np.array([names.index(name) if name in names else -1 for name in DIGIT_NAMES])
    order = np.random.default_rng(split_seed).permutation(len(pixels))
    count = len(pixels) // 4
    pixels, target = _enlarged(pixels, size), numbers[bunch.target]
    parts = [rows[target[rows] >= 0] for rows in (np.sort(order[count:]), np.sort(order[:count]))]
    return image_data([(pixels[rows], target[rows]) for rows in parts], names, name="scikit-learn's digits")

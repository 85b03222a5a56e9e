"""Pictures as they come: turned, deep, animated, damaged; and folders whose splits and classes are read off names."""

from __future__ import annotations

import io
import os
import struct
from contextlib import suppress

import numpy as np
import pytest
import torch
from lab_vision import pictures
from lab_vision.data import image_data
from lab_vision.layout import lay_out, split_named
from lab_vision.pictures import Square, cut, decode, list_pictures
from lab_vision.sources import _idx, cifar10, digits, dogs_cats, fashion_mnist, image_folder
from PIL import Image, features

from lab.errors import DataError, LabError, ParameterError
from tests.plugins.lab_vision.test_vision_data import encoded, file_of, folder_of, some_files, zipped

CORNERS = {"tl": (255, 0, 0), "tr": (0, 255, 0), "bl": (0, 0, 255), "br": (255, 255, 255)}


def cornered():
    """40 × 20 pixels, each corner of another colour."""
    picture = Image.new("RGB", (40, 20), CORNERS["tl"])
    picture.paste(CORNERS["tr"], (20, 0, 40, 10))
    picture.paste(CORNERS["bl"], (0, 10, 20, 20))
    picture.paste(CORNERS["br"], (20, 10, 40, 20))
    return picture


STORED = {  # orientation → how to store a picture so that its viewer sees it upright
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def turned(orientation, kind="JPEG"):
    picture = cornered() if STORED[orientation] is None else cornered().transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    picture.save(buffer, kind, exif=exif, **options)
    return buffer.getvalue()


def is_upright(pixels):
    height, width = pixels.shape[1:]
    places = {"tl": (2, 2), "tr": (2, width - 3), "bl": (height - 3, 2), "br": (height - 3, width - 3)}
    return all(np.allclose(pixels[:, y, x], CORNERS[name], atol=8) for name, (y, x) in places.items())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_pictures_are_turned_as_their_exif_data_say(orientation, kind):
    pixels = decode(turned(orientation, kind), None)
    assert pixels.shape == (3, 20, 40)
    assert is_upright(pixels)
    assert is_upright(decode(turned(orientation, kind), 16, fit="squish"))


@pytest.mark.parametrize("orientation", STORED)
def test_squares_are_cut_from_the_upright_picture(orientation):
    (corner,) = cut(turned(orientation), 4, [Square(0.4, 1, 0)])
    assert np.allclose(corner.reshape(3, -1).mean(1), CORNERS["tr"], atol=8)


def test_turned_pictures_are_upright_in_folders_archives_and_predictions(tmp_path):
    files = {f"{kind}/{n}.jpg": turned(6) for kind in ("cat", "dog") for n in range(3)}
    folder = image_folder(str(folder_of(tmp_path / "p", files)), size=16, fit="squish")
    archive = image_folder(str(zipped(tmp_path / "p.zip", files)), size=16, fit="squish")
    assert is_upright(folder.train.pixels[0].numpy())
    assert torch.equal(folder.train.pixels, archive.train.pixels)
    prepared = folder.prepared([tmp_path / "p" / "cat" / "0.jpg"])
    assert torch.equal(prepared, folder.train.scaled(folder.train.pixels[:1]))


def test_damaged_exif_data_leave_the_pixels_as_they_are():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + b"\xff" * 9
    buffer = io.BytesIO()
    cornered().save(buffer, "JPEG", exif=exif, quality=100, subsampling=0)
    assert is_upright(decode(buffer.getvalue(), None))


def ramp(dtype, full):
    return (np.linspace(0, 1, 64).reshape(8, 8) * full).astype(dtype)


EXPECTED = np.round(np.linspace(0, 255, 64).reshape(8, 8))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_gray_values_of_16_bits_are_scaled_to_8(kind):
    pixels = decode(file_of(Image.fromarray(ramp(np.uint16, 65535)), kind), None, gray=True)[0]
    assert np.abs(pixels - EXPECTED).max() <= 1


def test_big_endian_tiffs_of_16_bits_are_scaled():
    values = ramp(np.uint16, 65535)
    entries = [(256, 4, 8), (257, 4, 8), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 200), (277, 3, 1),
               (278, 4, 8), (279, 4, 128)]  # fmt: skip
    table = b"".join(
        struct.pack(">HHI", tag, kind, 1) + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, value in entries
    )
    content = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + table + b"\0" * 4
    content = content.ljust(200, b"\0") + values.astype(">u2").tobytes()
    assert np.abs(decode(content, None, gray=True)[0] - EXPECTED).max() <= 1


def test_white_is_zero_tiffs_of_16_bits_are_inverted():
    picture = Image.fromarray(ramp(np.uint16, 65535))
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF", tiffinfo={262: 0})
    content = buffer.getvalue()
    with Image.open(io.BytesIO(content)) as again:
        assert again.tag_v2[262] == 0
    assert np.abs(255 - decode(content, None, gray=True)[0].astype(float) - EXPECTED).max() <= 1


def test_float_tiffs_are_read_between_0_and_1():
    pixels = decode(file_of(Image.fromarray(ramp(np.float32, 1)), "TIFF"), None, gray=True)[0]
    assert np.abs(pixels - EXPECTED).max() <= 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (ramp(np.float32, 255), "floats from 0 to 255; only those from 0"),
        (np.full((4, 4), np.nan, np.float32), "floats from nan to nan"),
        (ramp(np.int32, 9000), "gray values of 32 bits have no known range"),
    ],
)
def test_gray_values_of_an_unknown_range_are_told(values, said):
    with pytest.raises(DataError, match=said):
        decode(file_of(Image.fromarray(values), "TIFF"), None)


def test_deep_pictures_that_cannot_be_scaled_are_left_out_by_name(tmp_path, caplog):
    files = some_files() | {"cat/deep.tif": file_of(Image.fromarray(ramp(np.float32, 255)), "TIFF")}
    data = image_folder(str(folder_of(tmp_path / "p", files)), size=4)
    assert [name for name, _ in data.skipped] == ["cat/deep.tif"]
    assert "cat/deep.tif: floats from 0 to 255" in caplog.text


def test_palettes_show_their_colours_and_their_transparent_parts_are_white():
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 10, 20])
    assert decode(file_of(palette), None)[:, 0, 0].tolist() == [200, 10, 20]
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", transparency=1)
    assert decode(buffer.getvalue(), None).min() == 255


@pytest.mark.parametrize(("mode", "transparent"), [("1", 0), ("L", 0), ("RGB", (0, 0, 0)), ("I;16", 0)])
def test_a_transparent_colour_becomes_white_in_every_mode(mode, transparent):
    buffer = io.BytesIO()
    Image.new(mode, (4, 4), transparent).save(buffer, "PNG", transparency=transparent)
    assert decode(buffer.getvalue(), None).min() == 255


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_shown_in_its_colours(kind):
    pixels = decode(file_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind), None)[:, 4, 4].astype(int)
    assert pixels[0] > 230
    assert pixels[1:].max() < 30


def animated(kind, *colours):
    first, *rest = (Image.new("RGB", (6, 6), colour) for colour in colours)
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=rest, duration=100)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_read_and_told(tmp_path, caplog, kind):
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    content = animated(kind, "red", "blue")
    assert decode(content, None)[0].min() > 230
    files = some_files() | {f"cat/moving.{kind.lower()}": content}
    image_folder(str(folder_of(tmp_path / "p", files)), size=4)
    assert f"1 picture with more than one frame or page; the first is read: 'cat/moving.{kind.lower()}'" in (
        caplog.text
    )


def test_a_photograph_with_its_preview_is_one_picture():
    buffer = io.BytesIO()
    cornered().save(buffer, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=100, subsampling=0)
    traits = []
    assert is_upright(decode(buffer.getvalue(), None, traits=traits))
    assert traits == []


DAMAGED = {
    "an empty file": (b"", "the file is empty"),
    "a text": (b"hello", "this is not a picture"),
    "half a JPEG": (encoded(size=(400, 300), kind="JPEG")[:800], "cannot be decoded"),
    "half a PNG": (encoded(size=(40, 30))[:60], "cannot be decoded"),
    "half a GIF": (encoded("P", size=(40, 30), kind="GIF")[:50], "cannot be decoded|no picture"),
    "half a TIFF": (encoded(size=(40, 30), kind="TIFF")[:300], "cannot|no picture"),
    "half a WebP": (encoded(size=(40, 30), kind="WEBP")[:30], "cannot be decoded|no picture"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "this is not a picture"),
    "an unknown TIFF": (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "this kind of TIFF cannot be read|cannot be decoded"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_picture_is_told_in_our_words(case):
    content, said = DAMAGED[case]
    with pytest.raises(DataError, match=said):
        decode(content, 8)


def test_any_cut_or_changed_picture_is_read_or_told():
    generator = np.random.default_rng(0)
    whole = {kind: encoded(size=(30, 20), kind=kind, colour="red") for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP")}
    for content in whole.values():
        for _ in range(40):
            changed = bytearray(content[: int(generator.integers(1, len(content) + 1))])
            changed[int(generator.integers(len(changed)))] ^= int(generator.integers(1, 256))
            with suppress(DataError):
                assert decode(bytes(changed), 8).shape == (3, 8, 8)


def test_too_large_files_are_left_out_by_name(tmp_path, monkeypatch, caplog):
    folder = folder_of(tmp_path / "p", some_files() | {"cat/huge.bmp": encoded(size=(60, 60), kind="BMP")})
    monkeypatch.setattr(pictures, "MAX_BYTES", 10_000)
    image_folder(str(folder), size=4)
    assert "cat/huge.bmp: the file has 10,854 bytes; at most 10,000 are read" in caplog.text


def test_pictures_of_too_many_pixels_are_left_out_by_name(tmp_path, caplog):
    header = encoded(size=(9, 9))
    bomb = header[:16] + struct.pack(">II", 60_000, 60_000) + header[24:]
    import zlib

    bomb = bomb[:29] + struct.pack(">I", zlib.crc32(bomb[12:29])) + bomb[33:]
    image_folder(str(folder_of(tmp_path / "p", some_files() | {"cat/bomb.png": bomb})), size=4)
    assert "cat/bomb.png: too many pixels; at most 50,000,000 are read" in caplog.text


# --- which files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".jpg", "JPEG"), (".JPEG", "JPEG"), (".jpe", "JPEG"), (".jfif", "JPEG"), (".png", "PNG"), (".Bmp", "BMP"),
        (".gif", "GIF"), (".webp", "WEBP"), (".TIF", "TIFF"), (".tiff", "TIFF"), (".ppm", "PPM"), (".pgm", "PPM"),
        (".pbm", "PPM"), (".pnm", "PPM"), (".apng", "PNG"),
    ],
)  # fmt: skip
def test_usual_suffixes_are_read_in_any_case(tmp_path, suffix, kind):
    content = encoded(kind=kind)
    for path in (
        folder_of(tmp_path / "p", {f"a{suffix}": content}),
        zipped(tmp_path / "p.zip", {f"a{suffix}": content}),
    ):
        (picture,) = list_pictures(path).pictures
        assert decode(picture.read(), 4).shape == (3, 4, 4)


HIDDEN = {
    ".ipynb_checkpoints/cat-checkpoint.png": encoded(), "__MACOSX/cat/._1.png": b"x", "cat/.DS_Store": b"x",
    "cat/Thumbs.db": b"x", "cat/._1.png": b"x", "dog/.ipynb_checkpoints/1.png": encoded(), "cat/desktop.ini": b"",
}  # fmt: skip


@pytest.mark.parametrize(
    "make", [lambda root, files: folder_of(root / "p", files), lambda r, f: zipped(r / "p.zip", f)]
)
def test_hidden_files_are_neither_classes_nor_pictures(tmp_path, make, caplog):
    data = image_folder(str(make(tmp_path, some_files() | HIDDEN)), size=4)
    assert (data.class_names, len(data.train) + len(data.valid), data.skipped) == (("cat", "dog"), 10, ())
    assert "not read" not in caplog.text


@pytest.mark.parametrize(
    "make", [lambda root, files: folder_of(root / "p", files), lambda r, f: zipped(r / "p.zip", f)]
)
def test_files_that_are_passed_over_are_counted_and_told(tmp_path, make, caplog):
    files = {"cat/a.heic": b"x", "cat/b.HEIC": b"x", "labels.csv": b"x", "LICENSE": b"x"}
    image_folder(str(make(tmp_path, some_files() | files)), size=4)
    assert "4 files are not read: 2 .heic, " in caplog.text
    assert "1 .csv" in caplog.text
    assert "1 without suffix" in caplog.text


def test_a_folder_of_other_files_alone_is_told_with_them(tmp_path):
    with pytest.raises(DataError, match=r"there are no pictures, but 1 file is not read: 1 \.heic"):
        image_folder(str(folder_of(tmp_path / "p", {"cat/a.heic": b"x"})))


def test_linked_folders_of_classes_are_followed_inside(tmp_path):
    folder = folder_of(tmp_path / "p", {f".all/{name}": content for name, content in some_files().items()})
    for kind in ("cat", "dog"):
        (folder / kind).symlink_to(folder / ".all" / kind)
    data = image_folder(str(folder), size=4)
    assert (data.class_names, len(data.train) + len(data.valid)) == (("cat", "dog"), 10)


def test_linked_folders_are_not_followed_out_of_the_root(tmp_path):
    folder_of(tmp_path / "outside", some_files())
    folder = folder_of(tmp_path / "p", some_files())
    (folder / "bird").symlink_to(tmp_path / "outside" / "cat")
    with pytest.raises(DataError, match=r"a link leads out of the folder of pictures\n.*bird"):
        image_folder(str(folder))


def test_links_in_circles_are_told_and_not_followed(tmp_path, caplog):
    folder = folder_of(tmp_path / "p", some_files())
    (folder / "cat" / "up").symlink_to(folder)
    (folder / "cat" / "self.png").symlink_to(folder / "cat" / "self.png")
    (folder / "cat" / "gone.png").symlink_to(folder / "cat" / "nowhere.png")
    data = image_folder(str(folder), size=4)
    assert len(data.train) + len(data.valid) == 10
    assert "the link 'cat/up' leads back to a parent folder" in caplog.text
    assert "2 broken links" in caplog.text


def test_names_that_are_not_utf8_are_read_and_written_out(tmp_path):
    folder = folder_of(tmp_path / "p", some_files())
    odd = os.fsencode(folder) + b"/K\xf6ln"
    os.mkdir(odd)
    for number in range(3):
        with open(odd + b"/\xe9%d.png" % number, "wb") as file:
            file.write(encoded())
    data = image_folder(str(folder), size=4)
    assert data.class_names == ("K\\xf6ln", "cat", "dog")


def test_a_name_is_the_same_however_its_accents_are_written(tmp_path):
    files = {}
    for split, name in (("train", "K\u00f6ln"), ("valid", "Ko\u0308ln")):
        files |= {f"{split}/{kind}/{n}.png": encoded() for kind in (name, "Bonn") for n in range(2)}
    data = image_folder(str(folder_of(tmp_path / "p", files)), size=4)
    assert data.class_names == ("Bonn", "K\u00f6ln")


def test_names_in_archives_are_utf8_or_cp437(tmp_path):
    for number, coded in enumerate(("K\u00f6ln".encode("cp437"), "K\u00f6ln".encode())):
        path = zipped(tmp_path / f"{number}.zip", {f"K{'x' * (len(coded) - 3)}ln/{n}.png": encoded() for n in range(2)})
        placeholder = f"K{'x' * (len(coded) - 3)}ln/".encode()
        path.write_bytes(path.read_bytes().replace(placeholder, coded + b"/"))
        assert {picture.name.split("/")[0] for picture in list_pictures(path).pictures} == {"K\u00f6ln"}


def test_backslashes_in_archives_separate_folders(tmp_path):
    path = zipped(tmp_path / "p.zip", {name.replace("/", "\\"): content for name, content in some_files().items()})
    assert image_folder(str(path), size=4).class_names == ("cat", "dog")


def test_backslashes_do_not_climb_out_of_an_archive(tmp_path):
    with pytest.raises(DataError, match="path outside itself"):
        list_pictures(zipped(tmp_path / "p.zip", {"cat\\..\\..\\a.png": encoded()}))


def test_an_encrypted_archive_is_told(tmp_path):
    path = zipped(tmp_path / "p.zip", some_files())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="the archive is encrypted"):
        image_folder(str(path))


def test_damaged_members_of_an_archive_are_left_out_by_name(tmp_path, caplog):
    path = zipped(tmp_path / "p.zip", some_files() | {"cat/bad.png": encoded(size=(40, 40))})
    content = path.read_bytes()
    start = content.index(b"cat/bad.png") + len(b"cat/bad.png")
    path.write_bytes(content[: start + 50] + b"\xff" + content[start + 51 :])
    assert [name for name, _ in image_folder(str(path), size=4).skipped] == ["cat/bad.png"]
    assert "cat/bad.png: the archive is damaged: Bad CRC-32" in caplog.text


def test_any_cut_or_changed_archive_is_read_or_told(tmp_path):
    content = zipped(tmp_path / "p.zip", some_files(2)).read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(3):
            changed[int(generator.integers(len(changed)))] = int(generator.integers(256))
        (tmp_path / "p.zip").write_bytes(changed)
        with suppress(DataError):
            for picture in list_pictures(tmp_path / "p.zip").pictures:
                with suppress(DataError):
                    assert decode(picture.read(), 4).shape == (3, 4, 4)


# --- splits and classes -----------------------------------------------------------------------------------------------


def laid_out(names, classes_from="folder", splits=None):
    """Per picture ``split class``; a hyphen where a split is to be drawn."""
    found = lay_out(names, classes_from, splits, "pets")
    return [f"{split or '-'} {name}" for split, name in zip(found.splits, found.classes, strict=True)]


@pytest.mark.parametrize("train", ["train", "Train", "TRAIN", "training", "Training Set", "training_set", "train_data"])
@pytest.mark.parametrize("valid", ["val", "valid", "VALIDATION", "Dev", "validation-images", "valid_set"])
def test_usual_names_of_splits_are_known(train, valid):
    assert (split_named(train), split_named(valid)) == ("train", "valid")
    names = [f"{train}/cat/1.jpg", f"{train}/dog/1.jpg", f"{valid}/cat/1.jpg", f"{valid}/dog/1.jpg"]
    assert laid_out(names) == ["train cat", "train dog", "valid cat", "valid dog"]


@pytest.mark.parametrize(
    "name", ["cat", "trainer", "testament", "train2017", "test1", "seg_train", "my valid", "set", ""]
)
def test_other_names_are_no_splits(name):
    assert split_named(name) is None


ROOTS = {
    "one root more": "pets/{split}/{kind}/1.jpg",
    "two roots more": "data/pets/{split}/{kind}/1.jpg",
    "a root that is called data": "data/{split}/{kind}/1.jpg",
    "a root in each split": "{split}/{split}/{kind}/1.jpg",
    "images in each split": "{split}/images/{kind}/1.jpg",
    "splits in each class": "{kind}/{split}/1.jpg",
    "a folder in each class": "{split}/{kind}/pictures/1.jpg",
}


@pytest.mark.parametrize("case", ROOTS)
def test_folders_around_everything_say_nothing(case):
    names = [ROOTS[case].format(split=split, kind=kind) for split in ("train", "val") for kind in ("cat", "dog")]
    assert laid_out(names) == ["train cat", "train dog", "valid cat", "valid dog"]
    plain = [ROOTS[case].format(split="all", kind=kind) for kind in ("cat", "dog")]
    assert laid_out(plain) == ["- cat", "- dog"]


def test_a_class_may_have_the_name_of_a_split_inside_of_splits():
    names = [f"{split}/{kind}/1.jpg" for split in ("train", "test") for kind in ("car", "train", "test")]
    assert laid_out(names) == [f"{split} {kind}" for split in ("train", "test") for kind in ("car", "train", "test")]


def test_without_splits_a_class_with_the_name_of_one_is_asked_for():
    names = [f"{kind}/{n}.jpg" for kind in ("car", "plane", "train") for n in range(2)]
    with pytest.raises(
        DataError, match=r"'train' looks like a split, 'car', 'plane' beside it not(.|\n)*splits='random'"
    ):
        laid_out(names)
    assert laid_out(names, splits="random")[-1] == "- train"


ASKED = {
    "a third folder beside the splits": ["train/cat/1.jpg", "valid/cat/1.jpg", "extra/cat/1.jpg"],
    "years in the names": ["train2017/cat/1.jpg", "train2017/dog/1.jpg", "val2017/cat/1.jpg"],
    "a second test": ["train/cat/1.jpg", "train/dog/1.jpg", "test1/cat/1.jpg"],
    "prefixes": ["seg_train/cat/1.jpg", "seg_test/cat/1.jpg"],
    "two names of one split": ["train/cat/1.jpg", "val/cat/1.jpg", "validation/cat/1.jpg"],
    "two cases of one split": ["train/cat/1.jpg", "Train/cat/1.jpg", "val/cat/1.jpg"],
    "validation alone": ["valid/cat/1.jpg", "valid/dog/1.jpg"],
    "a copy of everything inside": ["pets/train/cat/1.jpg", "train/cat/1.jpg", "val/cat/1.jpg"],
    "a split inside of a split": ["train/train/cat/1.jpg", "train/valid/cat/1.jpg", "test/cat/1.jpg"],
    "a split inside of a class of a split": ["train/cat/val/1.jpg", "train/dog/1.jpg", "valid/cat/1.jpg"],
    "a split inside of one class": ["cat/train/1.jpg", "cat/valid/1.jpg", "dog/1.jpg"],
    "the same folders in several": ["left/cat/1.jpg", "left/dog/1.jpg", "right/cat/1.jpg", "right/dog/1.jpg"],
}


@pytest.mark.parametrize("case", ASKED)
def test_folders_that_can_be_read_in_two_ways_are_asked_for(case):
    with pytest.raises(DataError, match=r"splits=|classes_from=") as error:
        laid_out(ASKED[case])
    assert error.value.where == "pets"


def test_names_of_classes_with_a_word_of_a_split_are_classes():
    assert laid_out(["train_station/1.jpg", "airport/1.jpg"]) == ["- train_station", "- airport"]


def test_folders_of_splits_can_be_named():
    names = ["train2017/cat/1.jpg", "val2017/dog/1.jpg", "more/cat/1.jpg"]
    assert laid_out(names, splits={"train": "train2017", "valid": "val2017"}) == ["train cat", "valid dog", "- "]
    assert lay_out(names, "folder", {"train": "train2017", "valid": "val2017"}, "pets").splits[2] is None


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"train": "train", "valid": "vall"}, "no pictures in 'vall', the folder for 'valid'"),
        ({"train": "train", "validate": "val"}, "unknown split 'validate'"),
        ({"valid": "val"}, "splits names no folder for training"),
        ({"train": "train", "valid": "train/cat"}, "two splits contain the folder 'train/cat'"),
    ],
)
def test_folders_of_splits_that_are_not_there_are_told(splits, said):
    with pytest.raises(ParameterError, match=said):
        laid_out(["train/cat/1.jpg", "val/cat/1.jpg"], splits=splits)


def test_folders_inside_of_a_class_belong_to_it(tmp_path, caplog):
    files = some_files() | {"cat/persian/9.png": encoded(), "dog/a/poodle/9.png": encoded()}
    data = image_folder(str(folder_of(tmp_path / "p", files)), size=4)
    assert data.class_names == ("cat", "dog")
    assert "folders inside a class belong to it: 'persian' to 'cat', and in 1 more" in caplog.text


def test_the_innermost_folders_can_be_the_classes():
    names = ["left/cat/1.jpg", "right/dog/1.jpg", "right/cat/2.jpg"]
    assert laid_out(names, "innermost") == ["- cat", "- dog", "- cat"]
    assert laid_out(names, "outermost") == ["- left", "- right", "- right"]


def test_names_of_pictures_that_are_all_different_are_no_classes():
    with pytest.raises(DataError, match="each of 3 pictures would be a class of its own, such as 'cat_1'"):
        laid_out(["cat_1.jpg", "cat_2.jpg", "dog_1.jpg"], "name")


def test_the_author_s_split_is_used_in_any_spelling(tmp_path):
    files = {
        f"pets/{split}/{name}": content for split in ("Train", "VALIDATION") for name, content in some_files(3).items()
    }
    folder, archive = folder_of(tmp_path / "p", files), zipped(tmp_path / "p.zip", files)
    for path in (folder, archive):
        data = image_folder(str(path), size=4)
        assert (len(data.train), len(data.valid), data.class_names) == (6, 6, ("cat", "dog"))
    assert data.notes[:2] == (
        "train (folder 'Train'): 6 pictures, cat 3, dog 3", "valid (folder 'VALIDATION'): 6 pictures, cat 3, dog 3",
    )  # fmt: skip


def test_splits_and_classes_are_told_with_their_counts(tmp_path, caplog):
    caplog.set_level("INFO", logger="lab")
    files = {f"{split}/{name}": content for split in ("train", "test") for name, content in some_files(2).items()}
    image_folder(str(folder_of(tmp_path / "a", files)), size=4)
    assert "train (folder 'train'): 4 pictures, cat 2, dog 2" in caplog.text
    assert "valid (folder 'test'): 4 pictures, cat 2, dog 2" in caplog.text
    image_folder(str(folder_of(tmp_path / "b", some_files())), size=4)
    assert "valid (drawn at random): 2 pictures" in caplog.text


# --- what looks odd ---------------------------------------------------------------------------------------------------


def test_the_same_picture_in_two_splits_or_classes_is_told(tmp_path, caplog):
    same = encoded(colour=(77, 7, 7))
    files = {f"{split}/{name}": content for split in ("train", "valid") for name, content in some_files(2).items()}
    files = {name: content + name.encode() for name, content in files.items()}  # bytes behind the end of a PNG
    files |= {"train/cat/same.png": same, "valid/cat/same.png": same, "train/dog/copy.png": same}
    image_folder(str(folder_of(tmp_path / "p", files)), size=4)
    assert (
        "1 picture in train is also in valid (same content): 'train/cat/same.png' = 'valid/cat/same.png'" in caplog.text
    )
    assert (
        "1 picture is in more than one class (same content): 'train/cat/same.png' = 'train/dog/copy.png'" in caplog.text
    )


def test_an_empty_class_is_told(tmp_path, caplog):
    folder = folder_of(tmp_path / "p", some_files())
    (folder / "bird").mkdir()
    image_folder(str(folder), size=4)
    assert "'bird' has no pictures" in caplog.text


def test_a_class_of_which_nothing_can_be_read_is_told(tmp_path, caplog):
    data = image_folder(str(folder_of(tmp_path / "p", some_files() | {"bird/1.png": b"x"})), size=4)
    assert data.class_names == ("cat", "dog")
    assert "no picture of 'bird' can be read, so is not among the classes" in caplog.text


def test_a_class_without_validation_pictures_is_told(tmp_path, caplog):
    files = {f"{split}/{name}": content for split in ("train", "valid") for name, content in some_files(2).items()}
    files = {name: content for name, content in files.items() if not name.startswith("valid/dog")}
    image_folder(str(folder_of(tmp_path / "p", files)), size=4)
    assert "'dog' has no validation pictures" in caplog.text


def test_a_few_gray_pictures_among_coloured_ones_are_told(tmp_path, caplog):
    image_folder(str(folder_of(tmp_path / "p", some_files() | {"cat/gray.png": encoded("L")})), size=4)
    assert "1 of 11 pictures is gray, unlike the others: 'cat/gray.png'" in caplog.text


def test_the_picture_of_another_size_is_named(tmp_path):
    files = some_files() | {"dog/large.png": encoded(size=(20, 10))}
    with pytest.raises(DataError, match=r"2 sizes: most are 8 × 6, 'dog/large\.png' is 20 × 10"):
        image_folder(str(folder_of(tmp_path / "p", files)), size=None)


REFUSED = {
    "mean without std": ({"mean": [0.5] * 3}, "mean is given without std"),
    "std without mean": ({"std": [0.5] * 3}, "std is given without mean"),
    "too few means": ({"mean": [0.5], "std": [0.5]}, r"mean=\[0.5\] for 3 channels"),
    "one number for all": ({"mean": 0.5, "std": 0.5}, "mean=0.5 for 3 channels"),
    "a deviation of 0": ({"mean": [0.5] * 3, "std": [0.5, 0, 0.5]}, "must be positive"),
    "a mean that is not a number": ({"mean": [0.5, 0.5, float("nan")], "std": [1] * 3}, "is not finite"),
    "no size": ({"size": 0}, "size must be at least 1, got 0"),
    "a negative size": ({"size": -8}, "size must be at least 1, got -8"),
    "an absurd size": ({"size": 10**9}, "size=1000000000 is too large"),
    "a negative seed": ({"split_seed": -1}, "split_seed must be at least 0, got -1"),
    "a share of nothing": ({"valid_share": 0}, "valid_share must lie in"),
    "a share that is not a number": ({"valid_share": float("nan")}, "valid_share must lie in"),
    "classes in one text": ({"classes": "cat"}, "classes='cat' is a string"),
    "a class twice": ({"classes": ["cat", "cat"]}, "duplicate class: 'cat'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_out_of_range_are_refused(tmp_path, case):
    options, said = REFUSED[case]
    with pytest.raises(ParameterError, match=said):
        image_folder(str(folder_of(tmp_path / "p", some_files(1))), **{"size": 4, **options})


@pytest.mark.parametrize(
    "make",
    [
        lambda: cifar10(max_examples=-1), lambda: fashion_mnist(max_examples=0), lambda: fashion_mnist(size=0),
        lambda: digits(split_seed=-1), lambda: digits(size=0), lambda: dogs_cats(split_seed=-1),
    ],
)  # fmt: skip
def test_named_datasets_refuse_values_out_of_range(make):
    with pytest.raises(LabError, match=r"must be at least (0|1), got|there is no corpus|not there|LAB_DATA"):
        make()


def test_predictions_fit_pictures_as_training_did(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    files = {f"{kind}/{n}.png": file_of(Image.fromarray(wide)) for kind in ("cat", "dog") for n in range(3)}
    folder = folder_of(tmp_path / "p", files)
    for fit in ("crop", "squish"):
        data = image_folder(str(folder), size=10, fit=fit, mean=[0.5] * 3, std=[0.5] * 3)
        assert torch.equal(data.prepared([folder / "cat" / "0.png"])[0], data.train.scaled(data.train.pixels[:1])[0])


def test_files_that_cannot_be_predicted_are_named(tmp_path):
    data = image_data([(np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 1]))] * 2, ["a", "b"])
    (tmp_path / "text.jpg").write_bytes(b"hello")
    for name, said in (("nowhere.jpg", "cannot be opened: No such file"), ("text.jpg", "this is not a picture")):
        with pytest.raises(DataError, match=rf"{said}(.|\n)*{name}"):
            data.prepared([tmp_path / name])
    with pytest.raises(DataError, match="cannot be opened"):
        data.prepared([tmp_path])


def test_pictures_that_cannot_be_of_cifar_are_told(tmp_path):
    names = {f"{split}/{kind}/1.png": encoded(size=(32, 32)) for split in ("train", "test") for kind in ("cat", "cow")}
    with pytest.raises(DataError, match="'cow' is not a class of CIFAR-10"):
        cifar10(path=str(zipped(tmp_path / "p.zip", names)))
    names = {f"{split}/cat/1.png": encoded(size=(30, 32)) for split in ("train", "test")}
    with pytest.raises(DataError, match="the pictures have 30 × 32 pixels"):
        cifar10(path=str(zipped(tmp_path / "q.zip", names)))


def test_a_cut_idx_file_is_told(tmp_path):
    import gzip

    (tmp_path / "a.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x02ab" * 99)[:20])
    with pytest.raises(DataError, match="the file cannot be unpacked"):
        _idx(tmp_path / "a.gz")

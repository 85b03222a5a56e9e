"""Pictures: how they are read and kept, and what is said of bad ones."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from lab_vision import pictures
from lab_vision.data import image_data
from lab_vision.pictures import decode, pictures_in
from lab_vision.sources import _idx, cifar10, digits, dogs_cats, fashion_mnist, image_folder
from PIL import Image

from lab.errors import DataError, ParameterError


def file_of(picture, kind="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def encoded(mode="RGB", size=(8, 6), kind="PNG", colour=None):
    return file_of(Image.new(mode, size, colour), kind)


def folder_of(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def some_files(count=5):
    return {f"{kind}/{n}.png": encoded(colour=(n, 0, 9)) for kind in ("cat", "dog") for n in range(count)}


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_classes_are_folders(tmp_path):
    data = image_folder(str(folder_of(tmp_path / "p", some_files())), size=4)
    assert data.class_names == ("cat", "dog")
    assert (data.channels, data.image_size, data.input_size) == (3, (4, 4), 48)
    assert len(data.train) + len(data.valid) == 10


def test_classes_are_in_names(tmp_path):
    files = {f"train/{kind}.{n}.png": encoded() for kind in ("cat", "dog") for n in range(5)}
    data = image_folder(str(folder_of(tmp_path / "p", files)), size=4, classes_from="name")
    assert data.class_names == ("cat", "dog")


def test_classes_may_be_named_beyond_those_that_are_shown(tmp_path):
    folder = str(folder_of(tmp_path / "p", some_files()))
    data = image_folder(folder, size=4, classes=("ape", "dog", "cat"))
    assert (data.class_names, data.output_size) == (("ape", "dog", "cat"), 3)
    assert set(data.train.target.tolist()) == {1, 2}
    assert torch.equal(data.train.target, 2 - image_folder(folder, size=4).train.target)


def test_pictures_of_a_class_that_is_not_among_those_named_are_told(tmp_path):
    folder = str(folder_of(tmp_path / "p", some_files()))
    with pytest.raises(DataError, match=r"class 'dog' of the pictures is not in classes\n.*\n.*classes: ape, cat"):
        image_folder(folder, size=4, classes=("ape", "cat"))


@pytest.fixture
def framed(tmp_path):
    """A folder of wide white pictures, in the middle of which cats are red and dogs are green."""
    files = {}
    for kind, colour in (("cat", "red"), ("dog", "lime")):
        for number in range(5):
            picture = Image.new("RGB", (40 + number, 30), "white")
            picture.paste(colour, (15, 11, 25 + number, 19))
            files[f"{kind}/{number}.png"] = file_of(picture)
    return str(folder_of(tmp_path / "framed", files))


def test_corners_of_training_pictures_are_a_class_of_their_own(framed):
    data = image_folder(framed, size=8, corners=3)
    assert (data.class_names, data.output_size) == (("cat", "dog", "background"), 3)
    white = (data.train.pixels == 255).flatten(1).all(1)
    assert torch.equal(white, data.train.target == 2)
    assert torch.equal(data.valid.target, image_folder(framed, size=8).valid.target)


def test_parts_of_pictures_keep_the_class_of_their_picture(framed):
    train = image_folder(framed, size=8, corners=4).train
    colour = train.pixels[train.target < 2].flatten(2).amin(2).argmax(1)
    assert torch.equal(colour, train.target[train.target < 2])


@pytest.mark.parametrize("corners", [1, 2, 3, 4])
def test_there_are_as_many_corners_as_pictures_of_things(framed, corners):
    train = image_folder(framed, size=8, corners=corners).train
    assert int((train.target == 2).sum()) == int((train.target < 2).sum()) == 8 * corners


def test_corners_come_from_the_cache_as_they_were_cut(framed):
    assert image_folder(framed, size=8, corners=2).fingerprint == image_folder(framed, size=8, corners=2).fingerprint
    assert image_folder(framed, size=8, corners=2).fingerprint != image_folder(framed, size=8).fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corners": 5}, "corners=5, size=64"),
        ({"corners": 1, "size": None}, "corners=1, size=None"),
        ({"corners": 1, "classes": ["cat", "dog", "background"]}, "'background' is the class of corners"),
    ],
)
def test_corners_that_cannot_be_cut_are_told(framed, options, message):
    with pytest.raises(ParameterError, match=message):
        image_folder(framed, **options)


def test_an_archive_is_the_same_as_its_folder(tmp_path):
    folder = folder_of(tmp_path / "p", some_files())
    archive = zipped(tmp_path / "p.zip", some_files())
    assert image_folder(str(folder), size=4).fingerprint == image_folder(str(archive), size=4).fingerprint


def test_splits_are_folders_where_there_are_such(tmp_path):
    files = {
        f"{split}/{name}": content for split in ("train", "val", "test") for name, content in some_files(2).items()
    }
    data = image_folder(str(folder_of(tmp_path / "p", files)), size=4)
    assert [len(each) for each in (data.train, data.valid, data.test)] == [4, 4, 4]


def test_a_batch_is_scaled_by_the_training_pictures():
    data = digits()
    batch = data.train.__getitems__(range(len(data.train)))
    assert float(batch.images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(batch.images.std()) == pytest.approx(1, abs=1e-4)
    assert torch.allclose(data.pixels_of(batch.images[:3]), data.train.pixels[:3] / 255, atol=1e-6)


def test_pictures_that_cannot_be_read_are_listed_and_not_fatal(tmp_path, caplog):
    files = some_files() | {"cat/broken.png": encoded()[:30], "dog/text.jpg": b"hello"}
    data = image_folder(str(folder_of(tmp_path / "p", files)), size=4)
    assert [name for name, _ in data.skipped] == ["cat/broken.png", "dog/text.jpg"]
    assert data.skipped[1][1] == "this is not a picture"
    assert "2 pictures skipped" in caplog.text


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_any_mode_becomes_colour_or_gray(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert decode(encoded(mode, kind=kind), 4).shape == (3, 4, 4)
    assert decode(encoded(mode, kind=kind), 4, gray=True).shape == (1, 4, 4)


def test_what_is_transparent_becomes_white():
    assert decode(encoded("RGBA", colour=(0, 0, 0, 0)), None).min() == 255


def test_the_middle_is_cut_out_or_the_edges_squeezed():
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255
    content = file_of(Image.fromarray(pixels))
    assert decode(content, 10).min() == 255
    assert decode(content, 10, fit="squish").min() == 0


def test_a_truncated_picture_is_told():
    content = encoded(size=(400, 300), kind="JPEG")
    with pytest.raises(DataError, match="cannot be decoded: image file is truncated"):
        decode(content[: len(content) // 2], 8)


def test_too_many_pixels_are_refused_by_their_number(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    with pytest.raises(DataError, match="50 × 40 pixels; at most 1,000 are read"):
        decode(encoded(size=(50, 40)), 8)


@pytest.mark.parametrize("name", ["../outside.png", "/etc/outside.png", "a/../../outside.png"])
def test_paths_that_climb_out_of_an_archive_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="path outside itself"):
        list(pictures_in(zipped(tmp_path / "p.zip", {name: encoded()})))


def test_links_in_an_archive_are_refused(tmp_path):
    member = zipfile.ZipInfo("cat/link.png")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="contains a link"):
        pictures_in(tmp_path / "p.zip")


def test_links_out_of_a_folder_are_refused(tmp_path):
    (tmp_path / "outside.png").write_bytes(encoded())
    folder = folder_of(tmp_path / "p", some_files())
    (folder / "cat" / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match="leads out of the folder"):
        pictures_in(folder)


def test_members_of_absurd_size_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="would be"):
        pictures_in(zipped(tmp_path / "p.zip", {"cat/a.png": encoded()}))


def test_what_is_no_archive_is_told(tmp_path):
    (tmp_path / "p.zip").write_bytes(b"hello")
    with pytest.raises(DataError, match="not a zip archive"):
        pictures_in(tmp_path / "p.zip")


def test_one_class_is_not_enough(tmp_path):
    files = {name: content for name, content in some_files().items() if name.startswith("cat")}
    with pytest.raises(DataError, match="only one class: cat"):
        image_folder(str(folder_of(tmp_path / "p", files)), size=4)


def test_a_class_without_training_pictures_is_told():
    pixels = np.zeros((4, 1, 2, 2), np.uint8)
    with pytest.raises(DataError, match="class 'c' has no training picture"):
        image_data([(pixels, np.array([0, 0, 1, 1]))], ["a", "b", "c"])


def test_pictures_of_several_sizes_need_one(tmp_path):
    files = some_files() | {"dog/large.png": encoded(size=(20, 20))}
    with pytest.raises(DataError, match="2 sizes"):
        image_folder(str(folder_of(tmp_path / "p", files)), size=None)


def test_pictures_without_a_folder_have_no_class(tmp_path):
    with pytest.raises(DataError, match="is in no folder"):
        image_folder(str(folder_of(tmp_path / "p", {"a.png": encoded(), "b.png": encoded()})), size=4)


def batch_rows(count=20):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, 3072), dtype=np.uint8), np.arange(count) % 10


def test_binary_batches_of_cifar_are_read(tmp_path):
    pixels, target = batch_rows()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / name).write_bytes(np.c_[target.astype(np.uint8), pixels].tobytes())
    data = cifar10(path=str(tmp_path))
    assert np.array_equal(data.train.pixels.numpy().reshape(20, -1), pixels)
    assert data.train.target.tolist() == target.tolist()


@pytest.mark.parametrize("count", [20, 2500])
def test_python_batches_of_cifar_are_read_without_unpickling(tmp_path, count):
    pixels, target = batch_rows(count)
    content = pickle.dumps({b"labels": target.tolist(), b"data": pixels, b"filenames": [b"a.png"] * count}, protocol=2)
    for name in ("data_batch_1", "test_batch"):
        (tmp_path / name).write_bytes(content)
    data = cifar10(path=str(tmp_path))
    assert np.array_equal(data.train.pixels.numpy().reshape(count, -1), pixels)
    assert data.train.target.tolist() == target.tolist()


def test_a_python_batch_that_wants_to_run_something_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    for name in ("data_batch_1", "test_batch"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="not a Python batch of CIFAR-10"):
        cifar10(path=str(tmp_path))
    assert not (tmp_path / "written").exists()


def test_an_idx_file_is_read_and_a_short_one_told(tmp_path):
    content = b"\0\0\x08\x02" + struct.pack(">2I", 2, 3) + bytes(range(6))
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    assert _idx(tmp_path / "a.gz").tolist() == [[0, 1, 2], [3, 4, 5]]
    (tmp_path / "b").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"5 bytes do not match the shape \(2, 3\)"):
        _idx(tmp_path / "b")


def test_classes_may_be_held_out():
    data = digits(held_out=("seven", "zero"))
    assert data.output_size == 8
    assert "seven" not in data.class_names


def test_a_class_that_cannot_be_held_out_is_told(lab_data):
    with pytest.raises(ParameterError, match="unknown class 'cow'"):
        cifar10(held_out=("cow",))


def test_public_pictures_have_their_published_numbers(lab_data):
    assert [len(each) for each in (cifar10().train, cifar10().valid)] == [15_000, 5_000]
    assert [len(each) for each in (fashion_mnist().train, fashion_mnist().valid)] == [60_000, 10_000]
    assert [len(each) for each in (dogs_cats(size=16).train, dogs_cats(size=16).valid)] == [800, 200]

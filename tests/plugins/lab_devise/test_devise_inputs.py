"""Pictures and words that do not fit each other: told with the numbers."""

from __future__ import annotations

import gzip

import attrs
import numpy as np
import pytest
import torch
from lab_devise import words
from lab_devise.conformance import _few, _SomeVectors
from lab_devise.data import devise
from lab_devise.words import lookup
from lab_text.indexes import ExactIndex
from lab_text.vectors import WordVectors

from lab.errors import DataError, ParameterError, StoreError

NAMES = ("apple", "boat", "cat", "door", "egg", "fox")


@pytest.fixture
def images():
    return _few().images


class Some(WordVectors):
    """Vectors of some names alone."""

    names: tuple[str, ...] = ()
    value: float | None = None

    def find(self, words, sentences):
        width, found = _SomeVectors().find([word for word in words if word in self.names], sentences)
        if self.value is not None:
            found = {word: np.full(width, self.value, np.float32) for word in found}
        return width, found


def _some(*names, value=None):
    vectors = Some()
    vectors.names, vectors.value = names, value
    return vectors


def _devise(images, vectors=None, **options):
    return devise(images, vectors or _SomeVectors(), searched="classes", **{"center": None, **options})


def test_no_class_with_a_vector_is_an_error_with_the_count(images):
    with pytest.raises(DataError) as caught:
        _devise(images, _some())
    lines = str(caught.value).splitlines()
    assert lines[0] == "0 classes have a vector and are trained, at least 2 needed"
    assert lines[1] == f"  dataset 'devise', without a vector: 6 of 6: {', '.join(NAMES)}"


def test_what_was_read_is_told(images):
    notes = _devise(images, _some(*NAMES[:5]), held_out=["egg"]).notes
    assert notes[0] == "5 of 6 classes have a vector; trained: 4, held out: 1; 0 other words are searched"
    assert notes[1] == "train: 20 images, valid: 16, of held-out classes: 4"
    assert notes[2] == "1 of 6 classes have no word vector: fox; their images are left out"


def test_many_classes_without_a_vector_are_counted_and_the_first_shown(images):
    names = tuple(f"thing{number}" for number in range(400))
    with pytest.raises(DataError) as caught:
        _devise(attrs.evolve(images, class_names=names), _some(), without_vector="error")
    assert str(caught.value).startswith("400 of 400 classes have no word vector: thing0, thing1")
    assert "thing19 and 380 more" in str(caught.value)


def test_classes_that_share_a_vector_are_told(images, caplog):
    _devise(images, _some(*NAMES, value=0.5))
    assert "6 classes share a vector with others: apple = boat = cat = door = egg" in caplog.text


def test_vectors_that_are_not_finite_are_refused(images):
    with pytest.raises(DataError, match="the vector of 'apple' has values that are not finite"):
        lookup(_some(*NAMES, value=np.nan), NAMES)


def test_a_held_out_class_may_be_one_name_and_twice_is_once(images):
    for held_out in ("fox", ["fox", "fox"]):
        data = _devise(images, held_out=held_out)
        assert data.class_names == NAMES
        assert data.trained_count == 5


def test_class_numbers_without_a_name_are_told(images):
    with pytest.raises(DataError, match="class number 4 of the split 'train' has no name: there are 4 names"):
        _devise(attrs.evolve(images, class_names=NAMES[:4]))


def test_class_names_that_stand_twice_are_told(images):
    with pytest.raises(DataError, match="two classes are called 'apple'"):
        _devise(attrs.evolve(images, class_names=("apple", *NAMES[:5])))


@pytest.mark.parametrize("target", [torch.zeros(30), torch.zeros(30, 2).long(), [0] * 30])
def test_targets_that_are_no_class_numbers_are_told(images, target):
    odd = attrs.evolve(images, train=type(images.train)(images.train.pixels, target))
    with pytest.raises(DataError, match="the split 'train' of the images has no class numbers"):
        _devise(odd)


def test_a_split_without_pictures_of_trained_classes_is_told(images):
    only = torch.full((24,), 5)
    odd = attrs.evolve(images, valid=type(images.train)(images.valid.pixels, only))
    with pytest.raises(DataError, match="the split 'valid' has no images of trained classes"):
        _devise(odd, held_out="fox")


def test_unknown_held_out_classes_have_close_matches(images):
    with pytest.raises(ParameterError, match="did you mean: boat"):
        _devise(images, held_out=["bout"])


# --- indexes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vectors",
    [np.ones(4, np.float32), np.ones((2, 2)), np.full((2, 2), np.nan, np.float32), np.ones((0, 2), np.float32)],
)
def test_an_index_that_is_damaged_is_told(tmp_path, vectors):
    np.save(tmp_path / "vectors.npy", vectors)
    with pytest.raises(StoreError, match="the index is damaged"):
        ExactIndex().load(tmp_path)


def test_vectors_of_pictures_that_are_not_finite_make_no_index():
    vectors = np.ones((3, 2), np.float32)
    vectors[1, 0] = np.nan
    with pytest.raises(DataError, match="vector 1 has values that are not finite"):
        ExactIndex().build(vectors)


# --- WordNet ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"a\tb\tc\td\te\tf\nx\ty\n", mtime=0), "line 2 has 2 columns, not 6"),
        (
            gzip.compress(b"a\tb\tc\td\te\tf\n" * 9, mtime=0)[:-9],
            "the compressed file is damaged or truncated after line",
        ),
        (b"PK\x03\x04", "this is a zip archive, not a text file"),
    ],
)
def test_a_table_of_nouns_that_is_damaged_is_told(tmp_path, content, message):
    path = tmp_path / "nouns.tsv.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(words._rows(path))
    assert str(caught.value).startswith(message)

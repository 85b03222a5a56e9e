"""Words and pictures search each other, from the learner, the command line and the page."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from lab_basics.averaging import EMA, SWA
from lab_devise.callbacks import SEARCH, SearchPage
from lab_devise.conformance import _SomeVectors
from lab_devise.data import devise
from lab_devise.losses import cos_loss
from lab_devise.report import sections
from lab_devise.search import _picture_index, picture_vectors, pictures_of, search
from lab_text.indexes import ExactIndex
from lab_vision.models import CourseNet
from lab_vision.sources import digits

from lab import Learner
from lab.cli.main import cli
from lab.errors import DataError, LabError, StoreError
from lab.training.callback import order_callbacks
from tests.kernel.browsing import HAS_BROWSER, NO_BROWSER, chromium


def test_words_find_pictures_of_what_they_name(learner):
    found = search(learner, "two", count=5)
    assert [each.name for each in found] == ["two"] * 5
    assert [each.similarity for each in found] == sorted((each.similarity for each in found), reverse=True)


def test_the_mean_of_words_lies_between_their_pictures(learner):
    names = {each.name for each in search(learner, ["two", "six"], count=60)}
    assert {"two", "six"} <= names


def test_a_picture_finds_its_word_and_its_class(learner):
    _, classes = pictures_of(learner.data)
    right = 0
    for picture in range(20):
        name = learner.data.class_names[int(classes[picture])]
        right += name == search(learner, image=picture, among="classes", count=1)[0].name
    assert right >= 16
    assert len(search(learner, image=0, count=12)) == 12


def test_a_picture_finds_itself_among_pictures(learner):
    assert search(learner, image=7, among="images", count=1)[0].picture == 7


def test_a_file_finds_what_the_picture_in_it_finds(learner, tmp_path):
    from PIL import Image

    pixels = (255 * learner.data.pixels(3)).byte()[0].numpy()
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    by_file = search(learner, image=tmp_path / "digit.png", count=3)
    by_number = search(learner, image=3, count=3)
    assert [each.name for each in by_file] == [each.name for each in by_number]


def test_the_kept_index_gives_what_a_new_one_gives(learner, finished):
    kept = search(learner, "three", count=5)
    folder, learner.folder = learner.folder, None
    try:
        assert search(learner, "three", count=5) == kept
    finally:
        learner.folder = folder


def test_never_trained_classes_are_searched_as_well(learner):
    data = learner.data
    assert len(picture_vectors(learner)) == len(data.valid) + len(data.test)
    assert "seven" in {data.class_names[int(each)] for each in pictures_of(data)[1]}


@pytest.mark.parametrize("question", [{}, {"text": "two", "image": 3}])
def test_either_words_or_a_picture_are_asked_for(learner, question):
    with pytest.raises(LabError, match="give either words or an image"):
        search(learner, **question)


@pytest.mark.parametrize(("image", "said"), [(10**6, "there is no image"), ("nowhere.png", "image file not found")])
def test_a_picture_that_is_not_there_is_told(learner, image, said):
    with pytest.raises(LabError, match=said):
        search(learner, image=image)


def test_the_command_line_searches_and_writes_a_sheet(finished, tmp_path):
    results, runs = finished
    sheet = tmp_path / "sheet.png"
    done = CliRunner().invoke(
        cli,
        [
            "search",
            results.runs[0].key[:8],
            "--text",
            "two",
            "--text",
            "six",
            "-n",
            "4",
            "-o",
            str(sheet),
            "--runs",
            str(runs),
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert done.output.count("(image ") == 4


def test_the_report_has_the_page_and_the_recall_of_the_index(finished):
    results, _ = finished
    [section] = sections(results.runs)
    assert "images nearest to two: two" in section.text
    assert "recall@10 1.000" in section.text
    assert "held out: seven" in section.text
    assert "left out (no word vector): zero, one" in section.text
    assert 'sandbox="allow-scripts"' in section.html


def test_what_the_page_holds_is_what_the_learner_says(finished, learner):
    results, _ = finished
    page = (results.runs[0].folder / "artefacts" / "search.html").read_text(encoding="utf-8")
    content = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert content["words"][: len(learner.data.class_names)] == list(learner.data.class_names)
    assert len(content["pictures"]) == len(content["names"]) == 300
    assert content["heldOut"] == ["seven"]
    assert json.loads((results.runs[0].folder / "artefacts" / SEARCH).read_text())["index"]["kind"] == "ExactIndex"


@pytest.fixture
def browser():
    yield from chromium()


@pytest.mark.skipif(not HAS_BROWSER, reason=NO_BROWSER)
def test_typing_a_word_on_the_page_shows_its_pictures(finished, browser):
    from selenium.webdriver.common.by import By

    results, _ = finished
    browser.get((results.runs[0].folder / "artefacts" / "search.html").as_uri())
    box = browser.find_element(By.ID, "words")
    box.clear()
    box.send_keys("six")
    names = [each.text.split()[0] for each in browser.find_elements(By.CSS_SELECTOR, "#found li div")]
    assert len(names) == 18
    assert names[:5] == ["six"] * 5
    box.send_keys("tyx")
    assert "has no vector here" in browser.find_element(By.ID, "told").text


def test_pictures_are_searched_where_no_class_is_held_out():
    data = devise(digits(), _SomeVectors(), searched="classes")
    model = CourseNet(1, data.output_size, widths=(8,), stem=3, norm="batch")
    learner = Learner(model, data, lambda output, target: cos_loss(output, target, data.class_vectors), progress=False)
    assert len(picture_vectors(learner)) == len(pictures_of(data)[0]) == len(data.valid)
    assert len(search(learner, ["two"], count=3)) == 3


def test_a_saved_learner_answers_as_before(finished, learner):
    images = learner.data.valid.__getitems__([0, 1])[0]
    assert torch.equal(learner.predict(images), learner.predict(images))


@pytest.mark.parametrize("average", [EMA(), SWA()])
def test_the_index_is_left_after_averaged_weights_are_in_place(average):
    """Callbacks end in reverse order."""
    page = SearchPage()
    assert order_callbacks([average, page]) == [page, average]


def test_more_than_there_is_gives_all(learner):
    assert len(search(learner, "three", count=10_000)) == len(learner.data.valid) + len(learner.data.test)
    assert len(search(learner, "three", among="classes", count=10_000)) == len(learner.data.class_names)


def test_a_word_without_a_vector_has_close_matches(learner):
    with pytest.raises(DataError) as caught:
        search(learner, "threee")
    assert "'threee' has no vector" in str(caught.value)
    assert "did you mean: three" in str(caught.value)


@pytest.mark.parametrize("shape", [(5, 50), (100, 7)])
def test_an_index_of_other_pictures_or_vectors_is_told(learner, tmp_path, monkeypatch, shape):
    index = ExactIndex()
    index.build(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    folder = tmp_path / "artefacts" / "index"
    folder.mkdir(parents=True)
    index.save(folder)
    monkeypatch.setattr(learner, "folder", tmp_path)
    with pytest.raises(StoreError, match=f"the index has {shape[0]} vectors of width {shape[1]}, but the data"):
        _picture_index(learner)

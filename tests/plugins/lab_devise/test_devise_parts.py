"""Words, losses and metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab_devise.conformance import _few, _SomeVectors
from lab_devise.data import devise
from lab_devise.losses import cos_loss, cosine_softmax, hinge_rank, vector_l1, vector_l2
from lab_devise.metrics import HierarchicalPrecision, Hit
from lab_devise.words import WordNet, embedded_sentences, lookup, wordnet
from lab_text.vectors import WordVectors
from lab_vision.sources import digits
from torch.nn import functional
from torch.utils.data import TensorDataset

from lab import Data
from lab.errors import DataError, ParameterError, ShapeError

KNOWN = {"sea": [3.0, 0.0], "horse": [0.0, 4.0], "zeroed": [0.0, 0.0], "one": [1.0, 1.0], "two": [1.0, -1.0]}


class Fixed(WordVectors):
    """Vectors that are written down."""

    def find(self, words, sentences):
        return 2, {word: np.array(KNOWN[word], np.float32) for word in words if word in KNOWN}


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_name_of_several_words_is_the_mean_of_their_directions():
    found = lookup(Fixed(), ["Sea-horse", "sea horse", "horse"])
    assert np.allclose(found["Sea-horse"], [0.5**0.5, 0.5**0.5])
    assert np.allclose(found["sea horse"], found["Sea-horse"])
    assert found["horse"].tolist() == [0, 1]


def test_words_without_a_vector_or_with_an_empty_one_are_not_found():
    assert lookup(Fixed(), ["unicorn", "zeroed"]) == {}


def test_the_embedded_text_has_words():
    words = {word for sentence in embedded_sentences() for word in sentence}
    assert {"two", "three", "boat"} & words


@pytest.fixture
def small_net():
    """An animal is a thing, cats and dogs are animals, so is a cat-person; a boat is a thing."""
    above = {
        "thing": (),
        "animal": ("thing",),
        "cat": ("animal",),
        "dog": ("animal",),
        "boat": ("thing",),
        "gossip": ("thing",),
    }
    kinds = dict.fromkeys(above, "noun.animal") | {"boat": "noun.artifact", "gossip": "noun.person"}
    return WordNet({}, kinds, above, {}, {"cat": ("gossip", "cat"), "boat": ("boat",)})


def test_the_concrete_sense_is_taken(small_net):
    assert small_net.sense("Cat") == "cat"
    assert small_net.sense("unicorn") is None


def test_distances_are_steps_along_hypernyms(small_net):
    assert small_net.distances(["cat", "dog", "boat"]).tolist() == [[0, 2, 3], [2, 0, 3], [3, 3, 0]]


def test_wordnet_knows_what_is_near(lab_data):
    net = wordnet()
    names = ["cat", "dog", "truck"]
    table = net.distances([net.sense(name) for name in names])
    assert table[0, 1] < table[0, 2]


# --- data -------------------------------------------------------------------------------------------------------------


def test_classes_without_a_vector_are_left_out_and_told(caplog):
    data = devise(digits(), searched="embedded")
    assert data.left_out == ("zero", "one")
    assert "2 of 10 classes have no word vector: zero, one; their images are left out" in caplog.text
    assert data.trained_count == 8


def test_classes_without_a_vector_may_be_an_error():
    with pytest.raises(DataError, match="8 of 10 classes have no word vector: zero, three"):
        devise(digits(), Fixed(), without_vector="error")


def test_one_class_with_a_vector_is_not_enough():
    with pytest.raises(DataError, match="1 classes have a vector and are trained, at least 2 needed"):
        devise(digits(), Fixed(), held_out=("two",), searched="classes")


def test_a_held_out_class_that_is_not_there_has_close_matches():
    with pytest.raises(ParameterError, match=r"unknown class 'sevn'\n(.|\n)*did you mean: seven"):
        devise(digits(), held_out=("sevn",))


def test_a_number_holds_out_the_last_classes_that_have_a_vector():
    class WithoutNine(_SomeVectors):
        def find(self, words, sentences):
            width, found = super().find(words, sentences)
            return width, {word: vector for word, vector in found.items() if word != "nine"}

    data = devise(digits(), WithoutNine(), held_out=2, searched="classes")
    assert data.left_out == ("nine",)
    assert set(data.class_names[data.trained_count :]) == {"seven", "eight"}


def test_a_number_leaves_two_classes_to_be_trained():
    data = devise(digits(), _SomeVectors(), held_out=20, searched="classes")
    assert data.class_names[: data.trained_count] == ("zero", "one")


def test_what_has_no_class_names_is_refused():
    split = TensorDataset(torch.zeros(4, 2))
    with pytest.raises(ParameterError, match="the images have no class names, so there are no words for them"):
        devise(Data(split, split), _SomeVectors())


def test_less_than_no_class_cannot_be_held_out():
    with pytest.raises(ParameterError, match="-1 classes cannot be held out"):
        devise(digits(), held_out=-1)


def test_held_out_classes_are_tested_and_never_trained():
    data = _few()
    assert data.class_names[data.trained_count :] == ("door", "fox")
    assert set(data.train.target.tolist()) == set(data.valid.target.tolist()) == set(range(4))
    assert set(data.test.target.tolist()) == {4, 5}


def test_definitions_stand_in_for_names_without_a_vector(lab_data):
    from lab_text.vectors import TextVectors
    from lab_vision.sources import cifar10

    glove = TextVectors(path="word_vectors/glove.6B.50d.subset.txt")
    data = devise(cifar10(max_examples=200), glove, without_vector="definition", searched="wordnet")
    assert data.trained_count == 10
    near = data.class_vectors @ data.class_vectors.T
    place = data.class_names.index
    assert near[place("cat"), place("dog")] > near[place("cat"), place("truck")]
    assert data.class_distances[place("cat"), place("dog")] < data.class_distances[place("cat"), place("ship")]


def test_a_query_is_the_direction_of_the_mean():
    data = devise(digits(), _SomeVectors(), searched="classes", center=None)
    both = data.vector_of(["two", "three"])
    one, other = (data.vector_of([word]) for word in ("two", "three"))
    assert torch.allclose(both, functional.normalize(one + other, dim=0), atol=1e-6)


def test_centered_on_the_trained_classes_their_vectors_lie_around_the_middle():
    data = devise(digits(), _SomeVectors(), held_out=("seven",), searched="embedded", center="classes")
    plain = devise(digits(), _SomeVectors(), held_out=("seven",), searched="embedded", center=None)
    trained = plain.class_vectors[: plain.trained_count]
    assert torch.allclose(data.center, trained.mean(0), atol=1e-6)
    assert torch.allclose(data.class_vectors, functional.normalize(plain.class_vectors - data.center), atol=1e-5)


def test_a_word_that_is_looked_up_later_is_moved_as_the_searched_ones_are():
    data, other = (
        devise(digits(), _SomeVectors(), searched=searched, center="classes") for searched in ("embedded", "classes")
    )
    assert "boat" in data.words
    assert not other.words
    assert torch.allclose(data.vector_of(["boat"]), other.vector_of(["boat"]), atol=1e-5)


@pytest.mark.parametrize("center", ["words", "classes"])
def test_held_out_classes_have_no_part_in_the_mean(center):
    class Otherwise(_SomeVectors):
        def find(self, words, sentences):
            width, found = super().find(words, sentences)
            return width, {word: -vector if word == "seven" else vector for word, vector in found.items()}

    one, other = (
        devise(digits(), vectors, held_out=("seven",), searched="embedded", center=center)
        for vectors in (_SomeVectors(), Otherwise())
    )
    assert torch.equal(one.center, other.center)
    assert not torch.allclose(one.class_vectors[-1], other.class_vectors[-1])


def test_a_class_at_the_mean_of_all_points_nowhere():
    class Crossed(WordVectors):
        def find(self, words, sentences):
            known = {"one": [1.0, 0.0], "two": [0.0, 1.0], "three": [0.0, 1.0]}
            return 2, {word: np.array(known[word], np.float32) for word in words if word in known}

    with pytest.raises(DataError, match="'two' equals the mean, so it has no direction"):
        devise(digits(), Crossed(), held_out=("one",), searched="classes", center="classes")


def test_a_query_without_a_vector_has_close_matches(learner):
    with pytest.raises(DataError, match=r"'thre' has no vector(.|\n)*did you mean: three"):
        learner.data.vector_of(["thre"])


# --- losses and metrics -----------------------------------------------------------------------------------------------

VECTORS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])


def test_cos_loss_is_one_minus_the_cosine_whatever_the_length():
    output, target = torch.tensor([[5.0, 0.0], [3.0, 3.0]]), torch.tensor([0, 1])
    assert float(cos_loss(output, target, VECTORS)) == pytest.approx((0 + 1 - 0.5**0.5) / 2)


def test_hinge_rank_is_equation_one_of_the_paper():
    output, target = torch.tensor([[0.6, 0.8]]), torch.tensor([0])
    expected = max(0, 0.1 - 0.6 + 0.8) + max(0, 0.1 - 0.6 - 0.6)
    assert float(hinge_rank(output, target, VECTORS, 3)) == pytest.approx(expected)
    assert float(hinge_rank(output, target, VECTORS, 3, margin=0.5)) == pytest.approx(0.7)


def test_hinge_rank_compares_with_trained_classes_alone():
    output, target = torch.tensor([[-1.0, 0.0]]), torch.tensor([0])
    assert float(hinge_rank(output, target, VECTORS, 2)) == pytest.approx(0.1 + 1 + 0)


def test_hinge_rank_may_leave_outputs_their_length():
    output, target = torch.tensor([[6.0, 8.0]]), torch.tensor([0])
    assert float(hinge_rank(output, target, VECTORS, 3, normalized=False)) == pytest.approx(0.1 - 6 + 8)


def test_cosine_softmax_is_cross_entropy_of_scaled_cosines_whatever_the_length():
    output, target = torch.tensor([[6.0, 8.0]]), torch.tensor([1])
    expected = functional.cross_entropy(torch.tensor([[0.6, 0.8, -0.6]]) * 5, target)
    assert float(cosine_softmax(output, target, VECTORS, 3, scale=5)) == pytest.approx(float(expected))


def test_cosine_softmax_compares_trained_classes_with_each_other_and_held_out_ones_with_all():
    output = torch.tensor([[1.0, 0.0]])
    assert float(cosine_softmax(output, torch.tensor([0]), VECTORS, 1)) == 0
    assert float(cosine_softmax(output, torch.tensor([2]), VECTORS, 1)) > 20


def test_cosine_softmax_may_pull_outputs_to_their_word():
    output, target = torch.tensor([[6.0, 8.0], [1.0, 0.0]]), torch.tensor([1, 0])
    plain, pulled = (cosine_softmax(output, target, VECTORS, 3, pull=pull) for pull in (0.0, 2.0))
    assert float(pulled - plain) == pytest.approx(2 * float(cos_loss(output, target, VECTORS)), abs=1e-6)


def test_cosine_softmax_needs_a_scale():
    with pytest.raises(ParameterError, match=r"scale=0, pull=0.0\n.*cosine_softmax.*\n.*scale is above 0"):
        cosine_softmax(torch.ones(1, 2), torch.tensor([0]), VECTORS, 3, scale=0)


def test_differences_are_means_over_all_numbers():
    output, target = torch.tensor([[0.0, 0.0]]), torch.tensor([0])
    assert float(vector_l1(output, target, VECTORS)) == 0.5
    assert float(vector_l2(output, 0 * target, 2 * VECTORS)) == 2.0


def test_outputs_of_another_width_are_told():
    with pytest.raises(ShapeError, match="width of the vectors"):
        cos_loss(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), VECTORS)


def measured(metric, output, target):
    metric.update(torch.tensor(output), torch.tensor(target))
    return float(metric.compute())


def test_hit_looks_at_the_nearest_k():
    output, target = [[1.0, 0.1], [1.0, 0.1]], [0, 1]
    assert measured(Hit(VECTORS, 3), output, target) == 0.5
    assert measured(Hit(VECTORS, 3, k=2), output, target) == 1.0


def test_held_out_classes_compete_with_each_other():
    output, target = [[0.0, 1.0]], [2]
    assert measured(Hit(VECTORS, 2), output, target) == 1.0
    assert measured(Hit(VECTORS, 2, among_all=True), output, target) == 0.0


def test_hierarchical_precision_grows_its_circle_until_k_classes_are_within():
    steps = torch.tensor([[0, 2, 5], [2, 0, 5], [5, 5, 0]])
    output = [[1.0, 0.2]]  # the nearest two are 0 and 1
    assert measured(HierarchicalPrecision(VECTORS, 3, steps, k=2), output, [0]) == 1.0
    assert measured(HierarchicalPrecision(VECTORS, 3, steps, k=1), output, [1]) == 0.0
    assert measured(HierarchicalPrecision(VECTORS, 3, steps, k=2), output, [2]) == 1.0  # both others are equally near


def test_hierarchical_precision_needs_wordnet():
    with pytest.raises(DataError, match="no WordNet distances"):
        HierarchicalPrecision(VECTORS, 3, None)

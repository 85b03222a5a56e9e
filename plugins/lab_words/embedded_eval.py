"""Small lists for evaluation on the embedded text, which hardly has a word of the published lists.

Analogies are all pairs of two nouns with their plurals. Similarities are the judgments of one person, from 0 to 10:
enough to compare objectives on a text without a download, no benchmark.
"""

from __future__ import annotations

from lab_words.evaluation import Pair, Question

__all__ = ["embedded_analogies", "embedded_similarities"]

_PLURALS = (
    "argument attribute character class constant element exception expression function instance item key line "
    "method module name number object operand operation operator parameter pattern sequence string type value variable"
)
_IRREGULAR = {"class": "classes", "key": "keys"}

_SIMILAR = """
list tuple 8; list dictionary 6; set dictionary 5; string bytes 7; integer float 7; integer number 8; class type 6
function method 8; parameter argument 9; name identifier 9; true false 7; left right 7; first last 6; first second 7
module package 8; import module 6; raise exception 7; raised exceptions 7; finally except 6; try except 8; while for 6
break continue 8; return yield 6; def class 5; global nonlocal 9; key value 6; index slice 6; add sub 7; start end 6
string exception 2; import integer 1; loop tuple 1; module float 1; left exception 0; bytes class 1; yield name 1
package second 0; key raised 1; method integer 1; parameter module 2; dictionary break 0; last tuple 1; true import 0
"""


def embedded_similarities() -> list[Pair]:
    """Return pairs of words of the embedded text with judgments from 0 to 10."""
    entries = (entry.split() for line in _SIMILAR.strip().splitlines() for entry in line.split(";"))
    return [(a, b, float(judged)) for a, b, judged in entries]


def embedded_analogies() -> list[Question]:
    """Return questions of the form *object : objects = name : names*."""
    nouns = [(noun, _IRREGULAR.get(noun, f"{noun}s")) for noun in _PLURALS.split()]
    return [Question(a, b, c, d) for a, b in nouns for c, d in nouns if a != c]

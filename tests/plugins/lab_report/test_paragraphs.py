"""Paragraphs of a question in a report: marked as in a docstring, and escaped."""

from __future__ import annotations

import pytest
from lab_report.html import Paragraph


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*Dive into Deep Learning*, section 4.8", "<em>Dive into Deep Learning</em>, section 4.8"),
        ("y = a * x * b, and 2*x*3", "y = a * x * b, and 2*x*3"),
        ("set `a*b*c` and `--set lr=1`", "set <code>a*b*c</code> and <code>--set lr=1</code>"),
        ("one ` alone, *two", "one ` alone, *two"),
        ("*<b>* & `<i>`", "<em>&lt;b&gt;</em> &amp; <code>&lt;i&gt;</code>"),
    ],
)
def test_asterisks_are_emphasis_and_backquotes_code_where_they_touch_the_text(text, html):
    assert str(Paragraph(text, is_code=False).html) == html

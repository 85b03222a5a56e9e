"""Ratings that are written in other ways, odd or damaged: read rightly, or told."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from lab_collab.data import ratings, ratings_of_frame
from lab_collab.reading import Columns, read_frame, read_ratings
from lab_collab.sources import _lines, _numbers

from lab.errors import DataError, ParameterError

ROWS = [(number % 4, number % 5, 1 + number % 5, number) for number in range(40)]


@pytest.fixture
def file(tmp_path):
    def write(content, name="ratings.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def _text(separator=",", header=True, rows=ROWS):
    lines = [("user", "item", "rating", "time")] if header else []
    return "".join(separator.join(map(str, row)) + "\n" for row in [*lines, *rows])


def _read(path, time="time", **options):
    columns = {name: options.pop(name) for name in ("decimal", "time_format") if name in options}
    return read_ratings(path, Columns(time=time, **columns), **options)


def _rows(source):
    return list(zip(source.users.tolist(), source.items.tolist(), source.ratings.tolist(), strict=True))


EXPECTED = [(str(user), str(item), float(rating)) for user, item, rating, _ in ROWS]


# --- ways to write ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(
    ("separator", "name"),
    [(",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars"), ("::", "double colons")],
)
def test_separators_and_headers_are_found_out_and_told(file, separator, name, header):
    source = _read(file(_text(separator, header)))
    assert _rows(source) == EXPECTED
    assert source.times.tolist() == list(range(40))
    assert source.notes == (
        f"columns separated by {name}, with a header"
        if header
        else f"no header: the first 4 columns, separated by {name}, are user, item, rating, time",
    )


def test_a_separator_may_be_given(file):
    assert _rows(_read(file(_text("\t")), separator="tab")) == EXPECTED
    assert _rows(_read(file(_text("#")), separator="#")) == EXPECTED


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + _text(),
        _text().replace("\n", "\r\n"),
        _text().replace("\n", "\r"),
        gzip.compress(_text().encode()),
        "\n\n" + _text() + "\n \n",
        _text().replace("user,", '"user",'),
        _text().replace("user,item", " user, item"),
    ],
    ids=["bom", "windows", "mac", "gzip", "blank lines", "quotes", "blanks"],
)
def test_a_file_is_the_same_however_its_lines_are_written(file, content):
    assert _rows(_read(file(content))) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_other_encodings_are_read(file, encoding):
    path = file("user,item,rating\nu,été,3\n".encode(encoding))
    assert read_ratings(path, Columns(), encoding=encoding).items.tolist() == ["été"]


def test_a_quoted_name_with_a_line_end_is_one_and_lines_are_counted_on(file):
    content = 'user,item,rating\nu,"Rocky\nII",3\nu,RockyII,4\nu,"a ""b"", c",x\n'
    with pytest.raises(DataError, match="line 5 has no rating: 'x'"):
        read_ratings(file(content), Columns())
    source = read_ratings(file(content.replace(",x", ",5")), Columns())
    assert source.items.tolist() == ["Rocky\nII", "RockyII", 'a "b", c']


def test_long_texts_are_read(file):
    assert len(read_ratings(file(f"user,item,rating\nu,{'x' * 200_000},3\n"), Columns()).items[0]) == 200_000


# --- names ------------------------------------------------------------------------------------------------------------


def test_whole_numbers_are_one_name_however_they_are_written(file):
    source = read_ratings(file("user,item,rating\n1,7,3\n1.0,7.0,4\n 1,+7,5\n2,8.00,3\n"), Columns())
    assert source.users.tolist() == ["1", "1", "1", "2"]
    assert source.items.tolist() == ["7", "7", "7", "8"]


def test_codes_with_zeros_in_front_stay_as_they_are(file):
    source = read_ratings(file("user,item,rating\n01,i,3\n1,i,4\n"), Columns())
    assert source.users.tolist() == ["01", "1"]


def test_names_that_differ_in_blanks_or_case_alone_are_told(file, caplog):
    names = ["Ann", "ann ", "Bob"]
    text = "user,item,rating\n" + "".join(f"{names[n % 3]},i{n % 4},{1 + n % 5}\n" for n in range(40))
    ratings(path=str(file(text)))
    assert "2 users differ only in blanks, case or decimal places: 'Ann' and 'ann '" in caplog.text


def test_frames_with_gaps_elsewhere_have_whole_numbers_as_names():
    frame = pd.DataFrame({"user": [1.0, 2.0, np.nan], "item": [7, 8, 9], "rating": [3, 4, 5]})
    assert read_frame(frame.iloc[:2], Columns()).users.tolist() == ["1", "2"]
    with pytest.raises(DataError, match="row 2 has no user"):
        read_frame(frame, Columns())


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA, ""])
def test_gaps_in_frames_are_no_names(gap):
    frame = pd.DataFrame({"user": ["a", gap], "item": ["i", "j"], "rating": [3, 4]})
    with pytest.raises(DataError, match="row 1 has no user"):
        read_frame(frame, Columns())


def test_a_user_is_found_however_the_number_is_written():
    frame = pd.DataFrame(ROWS, columns=["user", "item", "rating", "time"])
    data = ratings_of_frame(frame)
    assert data.user_number("1") == data.user_number(1) == data.user_number(1.0) == data.user_number(" 1 ") > 0
    assert data.user_number("17") == 0


# --- numbers and times ------------------------------------------------------------------------------------------------


def test_decimal_commas_are_read_where_they_are_asked_for(file):
    path = file("user;item;rating\nu;i;4,5\nu;j;3\n")
    assert read_ratings(path, Columns(decimal=",")).ratings.tolist() == [4.5, 3.0]
    with pytest.raises(DataError, match=r"decimal=',' reads 4\.5"):
        read_ratings(path, Columns())


def test_signs_between_thousands_are_told(file):
    with pytest.raises(DataError, match="without thousands separators"):
        read_ratings(file('user,item,rating\nu,i,"1,234.5"\n'), Columns())


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "", "five", "1_0"])
def test_ratings_that_are_no_finite_numbers_are_refused(file, value):
    with pytest.raises(DataError) as caught:
        read_ratings(file(f"user,item,rating\nu,i,3\nu,j,{value}\n"), Columns())
    assert str(caught.value).splitlines()[0] == f"line 3 has no rating: '{value}'"


@pytest.mark.parametrize(
    ("times", "form"),
    [
        (["2024-01-31", "2024-02-01", "2025-01-01"], None),
        (["2024-01-31T10:00:00Z", "2024-02-01 00:00:00+05:00", "2025-01-01T00:00:00Z"], None),
        (["31/01/2024", "01/02/2024", "01/01/2025"], "%d/%m/%Y"),
        (["1706659200000", "1706745600000", "1735689600000"], None),
    ],
)
def test_times_are_ordered_however_they_are_written(file, times, form):
    text = "user,item,rating,time\n" + "".join(f"u,i{n},3,{time}\n" for n, time in enumerate(times))
    assert np.all(np.diff(_read(file(text), time_format=form).times) > 0)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["25/12/2024", "01/02/2024"], "line 2 has no time: '25/12/2024'"),
        (["2024-01-31", "soon"], "line 3 has no time: 'soon'"),
        (["2024-01-31", "7"], "line 3 has no time: '7'"),
        (["2024-01-31", ""], "line 3 has no time: ''"),
        (["2024-01-31", "2024-01-31T00:00:00Z"], "some times have a time zone and others have none"),
        (["1706659200", "1706659200000"], "times are seconds and milliseconds since 1970, mixed"),
        (["1", "nan"], "line 2 has no time: '1'"),
    ],
)
def test_times_that_cannot_be_ordered_are_told(file, times, message):
    text = "user,item,rating,time\n" + "".join(f"u,i{n},3,{time}\n" for n, time in enumerate(times))
    with pytest.raises(DataError) as caught:
        _read(file(text))
    assert str(caught.value).splitlines()[0] == message


def test_dates_that_may_begin_with_the_day_are_asked_about(file):
    with pytest.raises(
        DataError, match=r"time_format='%d/%m/%Y' if the day comes first, time_format='%m/%d/%Y' if the"
    ):
        _read(file("user,item,rating,time\nu,i,3,05/12/2024\n"))


# --- files that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,item,rating\nu,i,3\n".encode("utf-16"), "the file is UTF-16, not UTF-8"),
        (b"PK\x03\x04 xlsx", "this is a zip archive, not a text file"),
        (gzip.compress(_text().encode(), mtime=0)[:-9], "the compressed file is damaged or cut short"),
        (b"<!doctype html><html>", "this is a web page, not a text file"),
        ('user,item,rating\nu,"i,3\nu,j,4\n', "line 2 cannot be read: unexpected end of data"),
        ("user,item,rating\nu,i,3\nu,j,4,5\n", "line 3 has 4 columns, the header 3"),
        ("1,2,3\n1,2\n", "line 2 has 2 columns, the header 3"),
        ("userId,movieId,stars\n1,2,3\n", "unknown column 'user'"),
        ("\n\n", "the file is empty"),
        (b"user,item,rating\n" * 9 + b"u,i\0,r", "line 10 has a zero byte, so the file is not text"),
    ],
)
def test_files_that_cannot_be_read_are_told(file, content, message):
    with pytest.raises(DataError) as caught:
        read_ratings(file(content), Columns())
    assert str(caught.value).splitlines()[0] == message


def test_a_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="this is a folder; name a file in it"):
        read_ratings(tmp_path, Columns())


@pytest.mark.parametrize(
    "options",
    [
        {"split_seed": -1},
        {"split_seed": 1 << 40},
        {"valid_share": float("nan")},
        {"valid_share": 1.0},
        {"max_rows": -1},
        {"split": "first"},
        {"decimal": "x"},
        {"separator": "ab"},
        {"encoding": "utf-9"},
        {"time": "rating"},
    ],
)
def test_values_that_cannot_be_are_refused(file, options):
    with pytest.raises(ParameterError):
        ratings(path=str(file(_text())), **options)


def test_columns_of_a_corpus_that_are_missing_are_told(file):
    with pytest.raises(DataError, match="line 2 has 1 columns, not 2"):
        _lines(file("a|b\nc\n"), "|", 2)
    with pytest.raises(DataError, match="column 2 has a value that is not a number"):
        _numbers([["a", "x"]], 1, file("a|x"))
    assert _lines(file("caf\xe9\x85|b\n".encode("latin-1")), "|", 2, "latin-1") == [["caf\xe9\x85", "b"]]


# --- what looks odd ---------------------------------------------------------------------------------------------------


def _told(rows, **options):
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])
    return " ".join(ratings_of_frame(frame, **options).notes)


def test_what_was_read_is_told_with_the_share_held_out():
    grid = [(user, item, 1 + (user + item) % 5) for user in range(10) for item in range(10)]
    notes = _told(grid)
    assert "train: 80 ratings of 10 items by 10 users; valid: 20 ratings, 20 % of all" in notes
    assert "ratings from 1 to 5, 5 different values" in notes
    assert "more than once" not in notes


def test_pairs_that_are_rated_twice_are_counted():
    grid = [(user, item, 1 + (user + item) % 5) for user in range(10) for item in range(10)]
    assert "1 user-item pair rated more than once (3 ratings, all kept)" in _told([*grid, (3, 4, 5), (3, 4, 1)])


def test_users_that_train_lacks_are_told_and_all_of_them_are_an_error():
    known = [(user % 5, item, 3 + item % 2) for item in range(20) for user in range(5)]
    frame = pd.DataFrame([*known, *((100 + n, n, 4) for n in range(10))], columns=["user", "item", "rating"])
    frame["time"] = range(len(frame))
    data = ratings_of_frame(frame, time="time", split="last", valid_share=20 / 110)
    assert "10 validation ratings (50 %) of users that are not in the training part" in " ".join(data.notes)
    with pytest.raises(DataError, match="all 5 validation ratings are of users that are not in the training part"):
        ratings_of_frame(frame, time="time", split="last", valid_share=5 / 110)


def test_one_user_one_value_and_values_far_outside_are_told():
    assert "all ratings are of one user, '1'" in _told([(1, n % 5, 1 + n % 3) for n in range(40)])
    assert "all ratings are of one item, '1'" in _told([(n % 5, 1, 1 + n % 3) for n in range(40)])
    assert "all ratings are 3" in _told([(n % 5, n % 7, 3) for n in range(40)])
    odd = [(n % 9, n % 7, 99 if n == 77 else 1 + n % 5) for n in range(200)]
    assert "1 rating far outside the usual range from 1 to 5: 99" in _told(odd)

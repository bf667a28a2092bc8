"""Tables as CSV: nothing in a cell is a formula, and numbers stay numbers."""

import csv
import io

import pytest

from backstay.web.insight.sheet import cell, flat, sheet


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "=cmd|' /C calc'!A0"]
)
def test_a_formula_becomes_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "told"), [(-0.25, "-0.25"), (3, "3"), (None, ""), (True, "yes"), ("a=b", "a=b"), ("", "")]
)
def test_what_is_no_formula_stays(value: object, told: str) -> None:
    assert cell(value) == told


def test_rows_become_columns_by_name() -> None:
    rows = [{"a": 1, "b": {"low": 0.5, "high": None}}, {"a": 2, "c": ["x", "=y"]}]
    answer = sheet(rows, "file")
    assert answer.headers["content-disposition"] == 'attachment; filename="file.csv"'
    read = list(csv.DictReader(io.StringIO(bytes(answer.body).decode())))
    assert read == [
        {"a": "1", "b_low": "0.5", "b_high": "", "c": ""},
        {"a": "2", "b_low": "", "b_high": "", "c": "x; =y"},
    ]
    assert flat({"a": {"b": {"c": 1}}}) == {"a_b_c": 1}

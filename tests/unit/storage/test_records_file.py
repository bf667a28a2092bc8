from pathlib import Path

import pytest

from backstay.errors import IntegrityError, UsageError
from backstay.records import Rater
from backstay.storage import read_records, write_records

RATERS = [Rater(id="b", display_name="Bé"), Rater(id="a", display_name="A\nB")]


def test_round_trip_keeps_order_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "raters.jsonl"
    assert write_records(path, iter(RATERS)) == 2
    assert path.read_bytes().count(b"\n") == 2
    assert read_records(path, Rater) == RATERS


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*none\.jsonl with Rater records"):
        read_records(tmp_path / "none.jsonl", Rater)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (b'{"id": "x"}\n', r"raters\.jsonl:2: not a Rater: display_name"),
        (b'{"id": "x", "display_name": "y", "extra": 1}\n', r"raters\.jsonl:2: not a Rater: extra"),
        (b"not json\n", r"raters\.jsonl:2: not a Rater"),
        (b"\xff\xfe\n", r"raters\.jsonl:2: not a Rater"),
        (b'{"id": "x", "display_name": "y"}', r"raters\.jsonl:2: the last line is cut off"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, second: bytes, complaint: str) -> None:
    path = tmp_path / "raters.jsonl"
    path.write_bytes(RATERS[0].to_json().encode() + b"\n" + second)
    with pytest.raises(IntegrityError, match=complaint):
        read_records(path, Rater)


def test_failing_source_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "raters.jsonl"
    write_records(path, RATERS)
    with pytest.raises(ZeroDivisionError):
        write_records(path, (Rater(id=str(1 // n), display_name="x") for n in (1, 0)))
    assert read_records(path, Rater) == RATERS

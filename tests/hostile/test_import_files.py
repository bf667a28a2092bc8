"""Files made to hurt whoever imports them."""

import csv
import gzip
import json
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backstay.errors import ImportRefused
from backstay.feedback.importing import ReadLimits, read_hh_rlhf, read_table, read_trl

pytestmark = pytest.mark.hostile
GOOD = {"prompt": "q", "chosen": "x", "rejected": "y"}
HEADER = b"prompt,response_a,response_b,choice,rater\n"
SMALL = ReadLimits(max_bytes=100_000, max_line_bytes=10_000)


def line(row: object) -> bytes:
    return json.dumps(row).encode() + b"\n"


def test_gzip_bomb_of_many_lines_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" * 50_000_000, 9))
    with pytest.raises(ImportRefused, match="more than 100000 bytes once decompressed"):
        read_trl(path, dataset="d", limits=SMALL)


def test_gzip_bomb_of_one_line_stops_at_the_limit_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(300):
            file.write(b"a" * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImportRefused, match="once decompressed"):
        read_trl(path, dataset="d", limits=ReadLimits(max_bytes=200 * 2**20, max_line_bytes=2**20))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_long_line_is_a_refused_row_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(line(GOOD) + line({**GOOD, "chosen": "z" * 20_000}) + line({**GOOD, "prompt": "after"}))
    parsed = read_trl(path, dataset="d", limits=SMALL)
    assert parsed.problems == ("line 2, column 1: longer than 10000 bytes",)
    assert [prompt.messages[0].content for prompt in parsed.prompts] == ["q", "after"]


@pytest.mark.parametrize("cut", [5, 30, -4])
def test_damaged_gzip(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(line(GOOD) * 100)[:cut])
    with pytest.raises(ImportRefused, match="damaged gzip file"):
        read_trl(path, dataset="d")


def test_gzip_with_wrong_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    content = bytearray(gzip.compress(line(GOOD)))
    content[-6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match="damaged gzip file"):
        read_trl(path, dataset="d")


def test_byte_order_marks(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line(GOOD))
    assert len(read_trl(path, dataset="d").judgments) == 1
    path.write_text(json.dumps(GOOD), encoding="utf-16")
    with pytest.raises(ImportRefused, match="is UTF-16 text"):
        read_trl(path, dataset="d")
    table = tmp_path / "x.csv"
    table.write_bytes(b"\xef\xbb\xbf" + HEADER + b"q,x,y,a,ann\n")
    assert len(read_table(table, dataset="d").judgments) == 1


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_empty_files(tmp_path: Path, content: bytes) -> None:
    for name, read in (("x.jsonl", read_hh_rlhf), ("x.csv", read_table), ("y.jsonl", read_table)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImportRefused, match="holds no rows"):
            read(tmp_path / name, dataset="d")


def test_csv_rows_with_bad_bytes_are_refused_and_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER + b"q,\xff,y,a,ann\n" + b"q,x\x00,y,a,ann\n" + b'"q\n\xfe",x,y,a,ann\n' + b"q,x,y,a,ann\n")
    parsed = read_table(path, dataset="d")
    assert [problem.split(",")[0] for problem in parsed.problems] == ["line 2", "line 3", "line 4"]
    assert "response_a contains a NUL character" in parsed.problems[1]
    assert len(parsed.judgments) == 1


def test_csv_with_an_open_quote_does_not_swallow_the_file_unseen(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER + b'q,"x,y,a,ann\n' + b"q,x,y,a,ann\n" * 5)
    limit = csv.field_size_limit()
    with pytest.raises(ImportRefused, match=r"line 7: cannot be read as CSV from here on"):
        read_table(path, dataset="d")
    path.write_bytes(HEADER + b'"' + b"q,x,y,a,ann\n" * 5000)
    with pytest.raises(ImportRefused, match="cannot be read as CSV|longer than"):
        read_table(path, dataset="d", limits=SMALL)
    assert csv.field_size_limit() == limit


def test_csv_line_beyond_the_limit_refuses_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER + b"q," + b"x" * 20_000 + b",y,a,ann\n")
    with pytest.raises(ImportRefused, match="line 2: longer than 10000 bytes"):
        read_table(path, dataset="d", limits=SMALL)


def test_csv_column_named_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"prompt,response_a,response_b,choice,rater,choice\n" + b"q,x,y,a,ann,b\n")
    with pytest.raises(ImportRefused, match="the column 'choice' comes twice"):
        read_table(path, dataset="d")


def test_parquet_of_one_text_many_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"prompt": ["q" * 5000] * 10_000, "chosen": ["x"] * 10_000, "rejected": ["y"] * 10_000}), path
    )
    assert path.stat().st_size < 100_000
    with pytest.raises(ImportRefused, match="holds more than 100000 bytes"):
        read_trl(path, dataset="d", limits=SMALL)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b"\x00" * 1000])
def test_broken_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match="cannot be read as Parquet"):
        read_trl(path, dataset="d")


def test_problems_are_counted_but_not_hoarded(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"[]\n" * 5000)
    parsed = read_trl(path, dataset="d")
    assert (parsed.problem_count, len(parsed.problems), parsed.rows) == (5000, 1000, 5000)


def test_markup_and_templates_are_only_text(tmp_path: Path) -> None:
    text = "<script>alert(1)</script> {{ 7*7 }} $(touch x) \x1b[31m ../../etc '; DROP TABLE judgments; --"
    path = tmp_path / "x.jsonl"
    path.write_bytes(line({**GOOD, "prompt": text}))
    assert read_trl(path, dataset="d").prompts[0].messages[0].content == text

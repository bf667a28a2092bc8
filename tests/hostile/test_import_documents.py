"""Documents, archives and tables made to hurt whoever imports them, through the door that an upload takes."""

import bz2
import gzip
import io
import json
import lzma
import resource
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing import (
    ImportSettings,
    ReadLimits,
    import_stream,
    read_argilla,
    read_label_studio,
    read_table,
    read_ultrafeedback,
    stage_import,
)
from backstay.storage import Store

pytestmark = pytest.mark.hostile
HEADER = "prompt,response_a,response_b,choice,rater"
FIELDS = {"prompt": "q", "response-1": "x", "response-2": "y"}


def record(**more: Any) -> dict[str, Any]:
    return {"fields": FIELDS, "responses": {"overall": [{"value": "tie", "user_id": "u"}]}} | more


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.jsonl", content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("pack", "said"),
    [(zipped, "is a zip archive"), (bz2.compress, "is a bzip2 file"), (lzma.compress, "is an xz file")],
)
def test_archives_are_not_opened(tmp_path: Path, pack: Any, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(pack(b"0" * 1_000_000))
    with pytest.raises(ImportRefused, match=said):
        read_argilla(path, dataset="d")
    with pytest.raises(ImportRefused, match=said), stage_import(path, "argilla", ImportSettings(dataset="d")):
        pass


def test_gzip_that_grows_too_much_stops_early_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'[{"a": "')
        for _ in range(200):
            file.write(b"a" * 2**20)
        file.write(b'"}]')
    before = peak_kib()
    with pytest.raises(ImportRefused, match="more than 200 times its size once decompressed|longer than"):
        read_argilla(path, dataset="d")
    with pytest.raises(ImportRefused, match="more than 200 times its size once decompressed"):
        read_argilla(path, dataset="d", limits=ReadLimits(max_line_bytes=2**30))
    assert peak_kib() - before < 120 * 1024


def test_an_upload_that_never_ends_stops_at_the_limit() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return b"[" * size

    settings = ImportSettings(dataset="d", limits=ReadLimits(max_bytes=5 * 2**20))
    large = pytest.raises(ImportRefused, match="x.json is larger than 5242880 bytes")
    with large, stage_import(cast("BinaryIO", Endless()), "argilla", settings, name="x.json"):
        pass


@pytest.mark.parametrize("text", ["[" * 5_000_000, '[{"a":' * 500_000, '[{"a": [' + "[" * 3_000_000 + "]" * 3_000_000])
def test_nesting_without_end(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ImportRefused, match="cannot be read as JSON from here on"):
        read_label_studio(path, dataset="d")


def test_deep_nesting_inside_one_record_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    deep = '{"fields": ' + "[" * 50_000 + "]" * 50_000 + "}"
    path.write_text(f"[{json.dumps(record())},\n {deep}]", encoding="utf-8")
    parsed = read_argilla(path, dataset="d")
    [problem] = parsed.refused
    assert (problem.line, problem.column, problem.problem) == (2, 2 + 11 + 199, "JSON is nested too deeply")
    assert len(problem.text) == 2000
    assert len(parsed.judgments) == 1


@pytest.mark.parametrize(
    ("number", "said"),
    [("1e999999", "too large"), ("9" * 100_000, "100000 digits"), ("-Infinity", "not JSON"), ("NaN", "not JSON")],
)
def test_numbers_that_no_number_holds(tmp_path: Path, number: str, said: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"instruction": "q", "completions": [{"overall_score": ' + number + "}]}\n", encoding="utf-8")
    [problem] = read_ultrafeedback(path, dataset="d").refused
    assert said in problem.problem
    assert (problem.line, problem.column) == (1, 56)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_text_in_two_or_four_bytes_a_character(tmp_path: Path, encoding: str) -> None:
    for name, content, read in (
        ("x.json", json.dumps([record()]), read_argilla),
        ("x.csv", f"{HEADER}\nq,x,y,a,r\n", read_table),
    ):
        (tmp_path / name).write_text(content, encoding=encoding)
        with pytest.raises(ImportRefused, match="UTF-16"):
            read(tmp_path / name, dataset="d")


def test_a_byte_order_mark_before_a_document(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([record()]).encode())
    assert len(read_argilla(path, dataset="d").judgments) == 1


@pytest.mark.parametrize("ends", [["\n", "\r\n"], ["\r\n", "\n"]])
def test_mixed_line_ends_count_as_an_editor_counts(tmp_path: Path, ends: list[str]) -> None:
    rows = [HEADER, "q,x,y,a,ann", '"two\nlines",x,y,a,ann', "q,x,y,zzz,bob", "p,x,y,b,ann"]
    path = tmp_path / "x.csv"
    path.write_text("".join(row + ends[k % 2] for k, row in enumerate(rows)), encoding="utf-8", newline="")
    parsed = read_table(path, dataset="d")
    [problem] = parsed.refused
    assert (problem.line, problem.column, problem.field) == (5, 4, "choice")
    assert len(parsed.judgments) == 3


def test_line_ends_of_one_return_only(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(f"{HEADER}\rq,x,y,a,ann\r".encode())
    with pytest.raises(ImportRefused, match="line 1: cannot be read as CSV from here on"):
        read_table(path, dataset="d")


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x\udfff"])
def test_characters_that_cannot_be_stored(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps([record(fields={**FIELDS, "response-2": text})]), encoding="utf-8")
    [problem] = read_argilla(path, dataset="d").refused
    assert problem.field == "fields.response-2"
    assert json.dumps(text) in path.read_text(encoding="utf-8")[problem.column - 1 :]


def test_rejects_of_bytes_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER.encode() + b"\nq,\xff\xfe,y,a,ann\nq,x,y,a,bob\n")
    rejects = tmp_path / "rejects.jsonl"
    settings = ImportSettings(dataset="d", allow_partial=True)
    with Store(tmp_path, create=True) as store:
        import_stream(store.repository, path, "csv", settings, rejects=rejects)
    [kept] = map(json.loads, rejects.read_text(encoding="utf-8").splitlines())
    assert (kept["line"], kept["column"], kept["field"]) == (2, 2, "response_a")
    assert kept["text"] == "q,\\udcff\\udcfe,y,a,ann"


def test_rejects_do_not_follow_a_link(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{HEADER}\nq,x,y,c,ann\nq,x,y,a,bob\n", encoding="utf-8")
    victim, rejects = tmp_path / "victim", tmp_path / "rejects.jsonl"
    victim.write_text("precious", encoding="utf-8")
    rejects.symlink_to(victim)
    settings = ImportSettings(dataset="d", allow_partial=True)
    with Store(tmp_path, create=True) as store, pytest.raises(UsageError, match="stands already"):
        import_stream(store.repository, path, "csv", settings, rejects=rejects)
    assert victim.read_text(encoding="utf-8") == "precious"


def test_very_many_bad_rows_need_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n" * 100_000)
    before = peak_kib()
    with stage_import(path, "trl", ImportSettings(dataset="d")) as staged:
        assert (staged.refused, len(staged.problems)) == (100_000, 1000)
        assert staged.rejects.read_bytes().count(b"\n") == 100_000
    assert peak_kib() - before < 30 * 1024


def test_names_of_an_upload_lead_nowhere(tmp_path: Path) -> None:
    for name in ("../../etc/passwd.csv", "x.csv/../../y", "a\x00.csv", ".csv" * 100, "x." + "é" * 50):
        upload = io.BytesIO(f"{HEADER}\nq,x,y,a,ann\n".encode())
        with stage_import(upload, "csv", ImportSettings(dataset="d"), name=name) as staged:
            assert staged.refused == 0
    assert list(tmp_path.iterdir()) == []

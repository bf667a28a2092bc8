"""Backups that were damaged, or made to hurt: refused in clear words, with nothing written."""

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import BackstayError, IntegrityError, UsageError
from backstay.records import Choice, Judgment, Message, Prompt, Rater, Response, Task
from backstay.storage import Store
from backstay.storage.archive import MAX_RAW, ArchiveWriter, Manifest
from backstay.storage.backup import write_backup
from backstay.storage.keys import signing_key
from backstay.storage.restore import restore_backup, verify_backup

pytestmark = pytest.mark.hostile
Members = dict[str, bytes]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A sound backup of three judgments."""
    prompt = Prompt.make((Message(role="user", content="Question"),), source="test")
    answers = [Response.make(prompt.id, text, policy="test") for text in ("Yes.", "No.")]
    task = Task.make(prompt.id, (answers[0].id, answers[1].id), gold=0)
    with Store(tmp_path, create=True, url=f"sqlite:///{tmp_path}/.backstay/backstay.db") as store:
        with store.repository.batch() as batch:
            batch.add_prompts("demo", [prompt])
            batch.add_responses("demo", answers)
            batch.add_tasks("demo", [task])
            batch.add_raters("demo", [Rater(id="ann", display_name="Ann")])
        given = [
            Judgment(
                id=f"j{number}",
                task_id=task.id,
                rater_id="ann",
                order_shown=(0, 1),
                choice=Choice.prefer(0, 1),
                created_at="2026-01-01T00:00:00Z",
            )
            for number in range(3)
        ]
        store.repository.append_judgments("demo", given)
        write_backup(store, tmp_path / "b.tar")
    return tmp_path / "b.tar"


def refused(backup: Path, content: bytes, trust_key: str = "") -> str:
    """What is said of a backup with this content; nothing may be left behind by reading or restoring it."""
    bad = backup.with_name("bad.tar")
    bad.write_bytes(content)
    folder = backup.parent / ".backstay"
    url = f"sqlite:///{folder}/backstay.db"
    before = everything(backup.parent)
    with pytest.raises(BackstayError) as told:
        verify_backup(bad, folder / "keys", trust_key)
    with pytest.raises(BackstayError):
        restore_backup(bad, folder, url, force=True, trust_key=trust_key)
    assert everything(backup.parent) == before
    return told.value.message


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_sound_one_is_taken(backup: Path) -> None:
    assert verify_backup(backup, backup.parent / ".backstay" / "keys").manifest.entries == 7


NO_TARS = [b"", b"x", b"no tar at all " * 99, b"\0" * 1024, b"\0" * 1536, gzip.compress(b"x" * 9999)]


@pytest.mark.parametrize("content", NO_TARS)
def test_what_is_no_tar(backup: Path, content: bytes) -> None:
    assert "no sound backup" in refused(backup, content)


def test_cut_off_anywhere(backup: Path) -> None:
    whole = backup.read_bytes()
    for part in range(1, 20):
        assert "no sound backup" in refused(backup, whole[: len(whole) * part // 20])
    assert "no sound backup" in refused(backup, whole[:-1])
    assert "something follows its end" in refused(backup, whole + b"x")


def test_a_flipped_bit_anywhere_that_counts(backup: Path) -> None:
    """A bit in the padding between members or in an unused header field changes nothing that is read."""
    whole, chance = backup.read_bytes(), random.Random(7)
    with tarfile.open(backup) as plain:
        places = [(member.offset_data, member.size) for member in plain.getmembers()]
    for _ in range(40):
        start, size = chance.choice(places)
        at = start + chance.randrange(size)
        bent = bytearray(whole)
        bent[at] ^= 1 << chance.randrange(8)
        refused(backup, bytes(bent))


def with_member(name: str, content: bytes = b"x", **changes: Any) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for field, value in changes.items():
        setattr(header, field, value)
    return header.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % 512)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "rows/../../evil/000000.gz",
        "rows/journal/../../x",
        "keys/../evil.pub",
        "keys/.pub",
        "keys/a/b.pub",
        "rows/Journal/000000.gz",
        "rows/journal/1.gz",
        "evil",
        "keys/journal.pem\n",
        "C:\\evil",
        "manifest.json/x",
    ],
)
def test_names_that_lead_elsewhere(backup: Path, name: str) -> None:
    assert "is no member of a backup" in refused(backup, with_member(name) + backup.read_bytes())


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE]
)
def test_links_folders_and_devices(backup: Path, kind: bytes) -> None:
    evil = with_member("keys/evil.pub", b"", type=kind, linkname="/etc/passwd")
    assert "is no member of a backup" in refused(backup, evil + backup.read_bytes())


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE])
def test_headers_that_ask_a_reader_to_believe_their_size(backup: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("keys/evil.pub")
    header.type, header.size = kind, 8**11 - 1
    assert "is no member of a backup" in refused(backup, header.tobuf(tarfile.USTAR_FORMAT) + backup.read_bytes())


@pytest.mark.parametrize("size", [MAX_RAW + 1, 8**11 - 1, 2**60, -1])
def test_members_that_are_too_large(backup: Path, size: int) -> None:
    header = tarfile.TarInfo("rows/journal/000000.gz")
    header.size = size
    said = refused(backup, header.tobuf(tarfile.GNU_FORMAT) + backup.read_bytes())
    assert "more than the" in said or "is no member" in said


def test_a_member_twice(backup: Path) -> None:
    first = with_member("seals/000000.gz")
    assert "seals/000000.gz stands in it twice" in refused(backup, first + backup.read_bytes())


def members_of(backup: Path) -> tuple[Members, dict[str, Any]]:
    with tarfile.open(backup) as plain:
        found: Members = {}
        for member in plain.getmembers():
            stream = plain.extractfile(member)
            assert stream is not None
            found[member.name] = stream.read()
    del found["manifest.sig"]
    return found, json.loads(found.pop("manifest.json"))


def signed(backup: Path, change: Callable[[Members, dict[str, Any]], None], keys_dir: Path | None = None) -> bytes:
    """The backup with other contents, every digest made right and signed, by the project's own key unless told."""
    members, manifest = members_of(backup)
    change(members, manifest)
    file = io.BytesIO()
    writer = ArchiveWriter(file)
    for name, content in members.items():
        writer.add(name, content)
    manifest["members"] = {name: member.payload() for name, member in writer.members.items()}
    key = signing_key(keys_dir or backup.parent / ".backstay" / "keys")
    writer.finish(Manifest.model_validate(manifest), key)
    return file.getvalue()


def test_another_s_signature_even_with_their_key_in_it(backup: Path, tmp_path: Path) -> None:
    eve = tmp_path / "eve"

    def add_key(members: Members, _: dict[str, Any]) -> None:
        signing_key(eve)
        [public] = eve.glob("*.pub")
        members[f"keys/{public.name}"] = public.read_bytes()

    assert "not among the trusted ones" in refused(backup, signed(backup, add_key, eve))


def test_a_forged_signature(backup: Path) -> None:
    whole = backup.read_bytes()
    at = whole.rindex(b'"signature":"') + len(b'"signature":"')
    swapped = b"B" if whole[at : at + 1] == b"A" else b"A"
    assert "forged or damaged signature" in refused(backup, whole[:at] + swapped + whole[at + 1 :])


def pack(rows: list[list[Any]]) -> bytes:
    return gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def unpack(content: bytes) -> list[list[Any]]:
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def bomb(members: Members, _: dict[str, Any]) -> None:
    members["rows/journal/000000.gz"] = gzip.compress(b"[" * (MAX_RAW + 1))


def seal_bomb(members: Members, _: dict[str, Any]) -> None:
    members["seals/000000.gz"] = gzip.compress(b"\n" * (MAX_RAW + 1))


def two_streams(members: Members, _: dict[str, Any]) -> None:
    members["rows/journal/000000.gz"] += gzip.compress(b"[1]\n")


def no_gzip(members: Members, _: dict[str, Any]) -> None:
    members["rows/journal/000000.gz"] = b"not packed"


def deep(members: Members, _: dict[str, Any]) -> None:
    members["rows/journal/000000.gz"] = gzip.compress(b"[" * 200_000 + b"\n")


def wrong_kind(members: Members, _: dict[str, Any]) -> None:
    rows = unpack(members["rows/journal/000000.gz"])
    rows[0][0] = "1; DROP TABLE journal"
    members["rows/journal/000000.gz"] = pack(rows)


def unknown_table(members: Members, manifest: dict[str, Any]) -> None:
    manifest["tables"]["evil"] = {"columns": [["a", "text"]], "count": 0}


def unknown_column(members: Members, manifest: dict[str, Any]) -> None:
    manifest["tables"]["journal"]["columns"][1] = ["kind) VALUES (1); --", "text"]


def column_twice(members: Members, manifest: dict[str, Any]) -> None:
    manifest["tables"]["journal"]["columns"].append(["kind", "text"])


def unknown_revision(members: Members, manifest: dict[str, Any]) -> None:
    manifest["revision"] = "../../evil"


def a_row_less(members: Members, _: dict[str, Any]) -> None:
    members["rows/judgments/000000.gz"] = pack(unpack(members["rows/judgments/000000.gz"])[:-1])


def tail_cut(members: Members, manifest: dict[str, Any]) -> None:
    for name in ("judgments", "journal"):
        members[f"rows/{name}/000000.gz"] = pack(unpack(members[f"rows/{name}/000000.gz"])[:-1])
        manifest["tables"][name]["count"] -= 1
    manifest["entries"] -= 1


def bent_choice(members: Members, _: dict[str, Any]) -> None:
    for name in ("judgments", "journal"):
        text = gzip.decompress(members[f"rows/{name}/000000.gz"]).replace(b"[[0],[1]]", b"[[1],[0]]")
        members[f"rows/{name}/000000.gz"] = gzip.compress(text)


def row_twice(members: Members, manifest: dict[str, Any]) -> None:
    rows = unpack(members["rows/raters/000000.gz"])
    members["rows/raters/000000.gz"] = pack(rows * 2)
    manifest["tables"]["raters"]["count"] *= 2


def seals_gone(members: Members, manifest: dict[str, Any]) -> None:
    tail_cut(members, manifest)
    del members["seals/000000.gz"]


def odd_key(members: Members, _: dict[str, Any]) -> None:
    members["keys/journal-0000000000000000.pub"] = b"no key"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (bomb, "unpacks to more than"),
        (seal_bomb, "unpacks to more than"),
        (two_streams, "is cut off, or unpacks to more"),
        (no_gzip, "cannot be unpacked"),
        (deep, "line 1 of rows/journal/000000.gz in the backup is no row"),
        (wrong_kind, "line 1 of rows/journal/000000.gz in the backup is no row"),
        (unknown_table, "does not hold the tables of schema"),
        (unknown_column, "other columns of journal"),
        (column_twice, "other columns of journal"),
        (unknown_revision, "a schema that this version does not know"),
        (a_row_less, "holds 2 rows of judgments, its manifest says 3"),
        (tail_cut, "the tail was cut"),
        (bent_choice, "content does not match its hash"),
        (row_twice, "a row of raters does not fit"),
        (seals_gone, "its manifest says"),
        (odd_key, "is not a public key"),
    ],
)
def test_wrong_contents_are_refused_even_when_signed_by_the_project(
    backup: Path, change: Callable[[Members, dict[str, Any]], None], said: str
) -> None:
    assert said in refused(backup, signed(backup, change))


def test_what_is_not_there_or_no_file_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises((UsageError, IntegrityError, FileNotFoundError)):
        verify_backup(tmp_path / "none.tar", tmp_path)

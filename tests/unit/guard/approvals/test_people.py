"""Who is who: tokens, names, and files that must be refused."""

import hashlib
from pathlib import Path

import pytest
from approval_world import ROLES, person, refused, token_of

from backstay.errors import UsageError
from backstay.guard.approvals import Directory, DirectoryFile, new_token, read_directory, read_settings
from backstay.guard.approvals.people import plain_name
from backstay.guard.approvals.settings import read_secret

FILE = """
approvers:
  - id: alice
    roles: [finance]
    aliases: [Alice.Smith@corp.example]
    token_sha256: "{hash}"
settings: {{break_glass_most: 1}}
webhooks:
  - {{name: pager, url: "https://pager.example/x", secret_file: pager.key}}
"""


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_token_belongs_to_one_person() -> None:
    directory = Directory([person("alice", ("finance",)), person("bob", ("finance",))])
    assert directory.authenticate("alice", token_of("alice")).id == "alice"
    for name, token in (("alice", token_of("bob")), ("bob", ""), ("mallory", token_of("alice")), ("alice", "x" * 9999)):
        with refused("not_authenticated"):
            directory.authenticate(name, token)


def test_a_weak_token_is_refused_even_where_its_hash_stands_in_the_file() -> None:
    weak = person("alice", ("finance",)).model_copy(update={"token_sha256": hashlib.sha256(b"secret").hexdigest()})
    with refused("not_authenticated"):
        Directory([weak]).authenticate("alice", "secret")


def test_new_tokens_are_long_and_never_twice() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    for token, digest in made:
        assert len(token) == 47
        assert hashlib.sha256(token.encode()).hexdigest() == digest


@pytest.mark.parametrize(
    "name", ["Alice", "\uff41lice", "al\u0456ce", "a\u200blice", " alice ", "a\u0301lice", "AL ICE"]
)
def test_spellings_of_one_name_are_one_name(name: str) -> None:
    assert plain_name(name) == "alice"


def test_aliases_mean_the_person_and_two_people_share_none() -> None:
    directory = Directory([person("alice", ("a",), ("svc-alice",)), person("bob", ("b",))])
    assert directory.known_as(["SVC-Alice", "nobody"]) == {"alice"}
    with pytest.raises(UsageError, match="bob and carl are both called 'b0b'|both called"):
        Directory([person("bob", ("b",), ("b0b",)), person("carl", ("b",), ("B0B",))])
    with pytest.raises(UsageError, match="stands there twice"):
        Directory([person("bob", ("b",)), person("bob", ("c",))])


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", FILE.format(hash="0" * 64))
    directory = DirectoryFile(path)
    assert directory().roles == {"alice": frozenset({"finance"})}
    write(path, FILE.format(hash="0" * 64).replace("[finance]", "[security, finance]"))
    assert directory().roles == {"alice": frozenset({"finance", "security"})}
    write(path, "approvers: 5")
    for _ in range(2):
        with pytest.raises(UsageError, match="approvers"):
            directory()


def test_settings_and_webhooks_stand_beside_the_approvers(tmp_path: Path) -> None:
    read = read_settings(write(tmp_path / "a.yaml", FILE.format(hash="0" * 64)))
    assert (read.settings.break_glass_most, read.settings.webhooks) == (1, ("pager",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("roles: [finance]", "roles: []"), "roles"),
        (("roles: [finance]", "role: [finance]"), "role"),
        (("id: alice", "id: Alic\u00e9"), "id"),
        (('token_sha256: "0', 'token_sha256: "g'), "token_sha256"),
        (("break_glass_most: 1", "break_glass_most: -1"), "settings.break_glass_most"),
        (("break_glass_most: 1", "webhooks: [x]"), "named once"),
        (("secret_file", "secret"), "secret"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = write(tmp_path / "a.yaml", FILE.format(hash="0" * 64).replace(*change))
    with pytest.raises(UsageError, match=message):
        read_directory(path)


def test_files_that_others_can_touch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="chmod go-w"):
        read_directory(write(tmp_path / "a.yaml", FILE.format(hash="0" * 64), 0o620))
    with pytest.raises(UsageError, match="chmod 600"):
        read_secret(write(tmp_path / "k", "x" * 40, 0o640))
    with pytest.raises(UsageError, match="cannot read"):
        read_directory(tmp_path / "none.yaml")
    assert set(ROLES) >= {"alice"}

"""Who may approve: a file that the operator keeps. Roles come from here and from nowhere else."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from backstay.errors import UsageError
from backstay.guard.approvals.quorum import Roles
from backstay.guard.approvals.refusals import Refusal
from backstay.guard.approvals.settings import CURE, first_problem, read_settings
from backstay.scan.folding import form

TOKEN_PREFIX = "bsa_"  # noqa: S105  the beginning of every token, not a token
_TOKEN_LENGTH = len(TOKEN_PREFIX) + 43  # 256 bits in base64
_MAX_TOKEN = 100
_NOBODY = "0" * 64
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Person(BaseModel):
    """One approver."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._@+-]{0,199}$")]
    roles: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)]
    token_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the token that `new_token` made."""

    aliases: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    """Other names of the same person, as they stand in requests: no self-approval under another name."""

    attributes: Mapping[str, str] = {}


_PEOPLE = TypeAdapter(tuple[Person, ...])


@dataclass(frozen=True, slots=True)
class Identity:
    """Proof that somebody is the approver `id`; only a `Directory` or a link makes one."""

    id: str
    how: str
    """`token` or `link`."""


class Directory:
    """The approvers by id, and who they are under other names."""

    def __init__(self, people: Iterable[Person]) -> None:
        self.people: dict[str, Person] = {}
        self._by_name: dict[str, str] = {}
        for person in people:
            if person.id in self.people:
                raise UsageError(f"approver {person.id} stands there twice", cure="keep one of them")
            self.people[person.id] = person
            for name in {plain_name(name) for name in (person.id, *person.aliases)}:
                other = self._by_name.setdefault(name, person.id)
                if other != person.id:
                    raise UsageError(f"approvers {other} and {person.id} are both called {name!r}")
        self.roles: dict[str, Roles] = {person.id: frozenset(person.roles) for person in self.people.values()}

    def authenticate(self, person_id: str, token: str) -> Identity:
        """The approver to whom the token belongs; takes as long for an unknown name as for a wrong token."""
        person = self.people.get(person_id)
        given = hashlib.sha256(token[:_MAX_TOKEN].encode("utf-8", "replace")).hexdigest()
        right = hmac.compare_digest(given, person.token_sha256 if person else _NOBODY)
        if person is None or not right or not (len(token) == _TOKEN_LENGTH and token.startswith(TOKEN_PREFIX)):
            raise Refusal("not_authenticated", f"no approver {person_id!r} with this token")
        return Identity(person.id, "token")

    def known_as(self, names: Iterable[str]) -> frozenset[str]:
        """Ids of the approvers that these names mean, however they are spelled."""
        found = (self._by_name.get(plain_name(name)) for name in names)
        return frozenset(person for person in found if person is not None)


def plain_name(name: str) -> str:
    """A name for comparison: look-alikes made Latin, no marks, nothing invisible, no space, no case."""
    return "".join("".join(map(form, name)).casefold().split())


def new_token() -> tuple[str, str]:
    """A token of 256 random bits for one approver, and the hash that stands in the file."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    return token, hashlib.sha256(token.encode()).hexdigest()


def checked_directory(approvers: Iterable[Any], source: str) -> Directory:
    """Approvers from the data of a file; raises UsageError."""
    try:
        return Directory(_PEOPLE.validate_python(tuple(approvers)))
    except ValidationError as error:
        raise UsageError(first_problem(error, f"{source}: approvers"), cure=CURE) from error


def read_directory(path: Path) -> Directory:
    """Approvers from a file that only its owner can write; raises UsageError."""
    return checked_directory(read_settings(path).approvers, str(path))


class DirectoryFile:
    """A callable that gives the directory as the file says now; a file that breaks refuses everybody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int, int] | None = None
        self._directory = read_directory(path)

    def __call__(self) -> Directory:
        """The directory, read again when the file has changed."""
        try:
            found = self._path.stat()
        except OSError as error:
            raise UsageError(f"cannot read the approvers in {self._path}: {error}") from error
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        if stamp != self._stamp:
            self._directory, self._stamp = read_directory(self._path), stamp
        return self._directory

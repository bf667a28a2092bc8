"""The exact bytes of policy files, read once, so that what is hashed and tested is what is compiled."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from backstay.errors import UsageError
from backstay.policy.engine import PolicyBundle
from backstay.policy.rules import parse_policy
from backstay.policy.yaml_reading import MAX_BYTES

MAX_FILES = 100


class PolicyText(NamedTuple):
    """One policy file: the name it has in messages, and its text."""

    name: str
    text: str


def read_texts(paths: Iterable[Path]) -> tuple[PolicyText, ...]:
    """Read policy files as they stand; raises UsageError when one is missing, too large or not UTF-8."""
    texts = tuple(_read(path) for path in paths)
    if not 0 < len(texts) <= MAX_FILES:
        raise UsageError(f"a policy has 1 to {MAX_FILES} files, not {len(texts)}")
    return texts


def compile_texts(texts: Iterable[PolicyText]) -> PolicyBundle:
    """Check and compile texts as one policy; raises UsageError."""
    return PolicyBundle.compile([(part.name, parse_policy(part.text, part.name)) for part in texts])


def _read(path: Path) -> PolicyText:
    if not path.is_file():
        raise UsageError(f"policy {path} does not exist", cure="give the path of a policy file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{path} has more than the {MAX_BYTES} bytes that are read", cure="split the policy into files"
        )
    try:
        return PolicyText(str(path), data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error.reason}", cure="save it as UTF-8") from error

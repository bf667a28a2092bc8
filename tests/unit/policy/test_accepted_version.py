import threading
from pathlib import Path

import pytest

from backstay.errors import IntegrityError
from backstay.policy.accepted_version import Accepted, accept, read_accepted

A, B = "a" * 64, "b" * 64


def test_what_was_accepted_is_read_again(tmp_path: Path) -> None:
    state = tmp_path / "new folder" / "accepted.json"
    assert read_accepted(tmp_path / "none") is None
    accept(state, Accepted(version=3, digest=A))
    assert read_accepted(state) == Accepted(version=3, digest=A)


def test_the_same_may_come_again_and_a_higher_one_but_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "accepted.json"
    accept(state, Accepted(version=3, digest=A))
    accept(state, Accepted(version=3, digest=A))
    with pytest.raises(IntegrityError, match="version 2 is older than 3"):
        accept(state, Accepted(version=2, digest=A))
    with pytest.raises(IntegrityError, match="version 3 was accepted already with other contents"):
        accept(state, Accepted(version=3, digest=B))
    accept(state, Accepted(version=4, digest=B))
    assert read_accepted(state) == Accepted(version=4, digest=B)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"version":0,"digest":"' + A.encode() + b'"}', b'{"version":1.5}', b"\xff"]
)
def test_a_damaged_state_is_refused_and_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    state = tmp_path / "accepted.json"
    state.write_bytes(content)
    with pytest.raises(IntegrityError, match="does not say which policy was accepted last"):
        accept(state, Accepted(version=9, digest=A))
    assert state.read_bytes() == content


def test_many_at_once_leave_the_highest(tmp_path: Path) -> None:
    state = tmp_path / "accepted.json"
    refused: list[int] = []

    def run(version: int) -> None:
        try:
            accept(state, Accepted(version=version, digest=A))
        except IntegrityError:
            refused.append(version)

    threads = [threading.Thread(target=run, args=(version,)) for version in (5, 1, 9, 3, 7, 2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_accepted(state)
    assert found is not None and found.version == 9
    assert 9 not in refused

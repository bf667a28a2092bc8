import os
from datetime import timedelta
from pathlib import Path

import pytest
from policy_texts import as_yaml, call, rule
from signed_policies import KEY, NOW, pay_up_to, trusted, write_signed

from backstay.errors import IntegrityError, UsageError
from backstay.policy.accepted_version import read_accepted
from backstay.policy.policy_source import PolicyFiles, SignedFile


def test_files_are_captured_at_one_moment_and_opened_from_that(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(pay_up_to(50))
    second.write_text(as_yaml([rule("never", when="args.amount > 40")]))
    source = PolicyFiles([first, second])
    captured = source.capture()
    first.write_text("broken: [")
    opened = source.open(captured).bundle
    assert [opened.decide(call(args={"amount": n})).effect for n in (40, 45)] == ["allow", "deny"]
    with pytest.raises(UsageError, match=r"a.yaml"):
        source.open(source.capture())


def test_a_stamp_changes_with_what_is_written_and_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    for source in (PolicyFiles([path]), SignedFile(path, trusted(KEY), tmp_path / "state")):
        path.unlink(missing_ok=True)
        gone = source.stamp()
        path.write_text("1")
        os.utime(path, ns=(1, 1))
        there = source.stamp()
        assert there == source.stamp() != gone
        path.write_text("12")
        os.utime(path, ns=(1, 1))
        assert source.stamp() != there


@pytest.mark.parametrize("kept", [b"", b"{}", b"[[1]]", b"3", b"\xff", b"[" * 5000])
def test_damaged_copies_of_files_are_refused(kept: bytes) -> None:
    with pytest.raises((IntegrityError, UsageError)):
        PolicyFiles([Path("p.yaml")]).open(kept)


def test_a_signed_file_is_remembered_when_it_is_used_and_not_before(tmp_path: Path) -> None:
    path, state = tmp_path / "p.bundle", tmp_path / "state.json"
    source = SignedFile(path, trusted(KEY), state, lambda: NOW)
    write_signed(path, version=4)
    opened = source.open(source.capture())
    assert read_accepted(state) is None
    opened.use()
    accepted = read_accepted(state)
    assert accepted is not None and accepted.version == 4
    write_signed(path, version=3)
    with pytest.raises(IntegrityError, match="older than 4"):
        source.open(source.capture())


def test_a_signed_file_expires_by_the_clock_it_is_given(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "p.bundle", valid_days=1)
    late = SignedFile(path, trusted(KEY), tmp_path / "state", lambda: NOW + timedelta(days=1))
    with pytest.raises(IntegrityError, match="expired"):
        late.open(late.capture())

import itertools
import logging
import os
import threading
from pathlib import Path

import pytest
from policy_texts import as_yaml, call, rule
from signed_policies import KEY, NOW, OTHER_KEY, pay_up_to, trusted, write_signed

from backstay.errors import ResourceError, UsageError
from backstay.policy import Histories
from backstay.policy.accepted_version import read_accepted
from backstay.policy.live import LivePolicy
from backstay.policy.policy_source import PolicyFiles, SignedFile


def most_allowed(live: LivePolicy) -> int:
    """The largest of some amounts that may be paid."""
    return max(
        (n for n in (1, 50, 60, 70) if live.bundle.decide(call(args={"amount": n})).effect == "allow"), default=0
    )


def made(tmp_path: Path, **options: object) -> tuple[Path, LivePolicy]:
    path = tmp_path / "pay.yaml"
    path.write_text(pay_up_to(50))
    ticks = (f"t{n}" for n in itertools.count())
    return path, LivePolicy(PolicyFiles([path]), now=lambda: next(ticks), **options)  # type: ignore[arg-type]  # options of one call


def test_a_reload_exchanges_the_policy_and_says_so(tmp_path: Path) -> None:
    path, live = made(tmp_path)
    before, status = live.bundle, live.status
    assert (status.hash, status.loaded_at, status.last_error, status.reloads) == (before.hash, "t0", None, 0)
    path.write_text(pay_up_to(60))
    assert live.reload()
    assert most_allowed(live) == 60
    assert (live.status.hash, live.status.loaded_at, live.status.reloads) == (live.bundle.hash, "t1", 1)
    assert before.decide(call(args={"amount": 60})).effect == "deny"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("policy: [", "pay.yaml"),
        (as_yaml([rule("pay", "permit", "args.amount <= 60 &&")]), "Syntax error"),
        (pay_up_to(60, expect="deny"), "test pay, case 1"),
        (pay_up_to(60, rule("open", "permit")), "lint open"),
        ("", "mapping"),
    ],
)
def test_a_broken_policy_changes_nothing_but_the_error(tmp_path: Path, text: str, why: str) -> None:
    path, live = made(tmp_path, last_good=tmp_path / "good")
    good, bundle = (tmp_path / "good").read_bytes(), live.bundle
    path.write_text(text)
    assert not live.reload()
    assert live.bundle is bundle
    assert why in str(live.status.last_error)
    assert (live.status.last_error_at, live.status.loaded_at, live.status.reloads) == ("t1", "t0", 0)
    assert (tmp_path / "good").read_bytes() == good
    path.write_text(pay_up_to(60))
    assert live.reload()
    assert live.status.last_error is None


def test_a_missing_file_and_a_full_disk_keep_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, live = made(tmp_path, last_good=tmp_path / "good")
    path.unlink()
    assert not live.reload()
    assert "does not exist" in str(live.status.last_error)
    path.write_text(pay_up_to(60))

    def full(*_: object) -> None:
        raise ResourceError("no space left")

    monkeypatch.setattr("backstay.policy.live.write_atomic", full)
    assert not live.reload()
    assert live.status.last_error == "no space left"
    assert most_allowed(live) == 50


def test_a_fault_that_nobody_foresaw_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, live = made(tmp_path)

    def fault(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("backstay.policy.live.admit", fault)
    assert not live.reload()
    assert live.status.last_error == "ZeroDivisionError: a bug"
    assert most_allowed(live) == 50


def test_polls_load_what_has_changed_once_it_stands_still(tmp_path: Path) -> None:
    path, live = made(tmp_path)
    assert [live.poll() for _ in range(3)] == [False, False, False]
    path.write_text(pay_up_to(60))
    assert not live.poll()
    path.write_text(pay_up_to(60) + " ")
    assert not live.poll()
    assert live.poll()
    assert most_allowed(live) == 60
    assert not live.poll()
    assert live.status.reloads == 1


def test_polls_try_a_broken_file_once_and_a_mended_one_again(tmp_path: Path) -> None:
    path, live = made(tmp_path)
    path.write_text("broken")
    assert [live.poll() for _ in range(4)] == [False] * 4
    assert live.status.last_error_at == "t1"
    path.write_text(pay_up_to(50))
    assert [live.poll() for _ in range(3)] == [False, True, False]
    assert live.status.last_error is None


def test_a_touched_file_with_the_same_bytes_is_not_loaded_again(tmp_path: Path) -> None:
    path, live = made(tmp_path)
    os.utime(path, ns=(5, 5))
    assert [live.poll() for _ in range(3)] == [False] * 3
    assert live.status.reloads == 0


def test_the_watcher_polls_in_a_thread_until_it_is_ended(tmp_path: Path) -> None:
    path, live = made(tmp_path)
    path.write_text(pay_up_to(60))
    polled, seen = live.poll, threading.Event()

    def poll() -> bool:
        changed = polled()
        if changed:
            seen.set()
        return changed

    live.poll = poll  # type: ignore[method-assign]  # to see when the thread has polled
    end = live.watch(interval_s=0.001)
    assert seen.wait(10)
    end()
    assert most_allowed(live) == 60
    assert not any(thread.name == "policy-watch" for thread in threading.enumerate())


def test_a_start_with_a_broken_file_refuses_by_default(tmp_path: Path) -> None:
    path, _ = made(tmp_path, last_good=tmp_path / "good")
    path.write_text("broken")
    with pytest.raises(UsageError, match="is no mapping"):
        LivePolicy(PolicyFiles([path]), last_good=tmp_path / "good")


def test_a_start_with_a_broken_file_takes_the_last_good_one_and_says_so_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, _ = made(tmp_path, last_good=tmp_path / "good")
    path.write_text("broken")
    live = LivePolicy(PolicyFiles([path]), last_good=tmp_path / "good", on_broken="last_good")
    assert most_allowed(live) == 50
    assert live.status.from_last_good
    assert "is no mapping" in str(live.status.last_error)
    (record,) = [r for r in caplog.records if r.levelno == logging.CRITICAL]
    assert "the last good one decides" in record.getMessage()
    path.write_text(pay_up_to(60))
    assert live.reload()
    assert not live.status.from_last_good


def test_without_a_copy_or_with_a_damaged_one_the_start_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pay.yaml"
    path.write_text("broken")
    good = tmp_path / "good"
    with pytest.raises(UsageError, match="there is no last good policy"):
        LivePolicy(PolicyFiles([path]), last_good=good, on_broken="last_good")
    good.write_bytes(b'[["pay.yaml","policy: 1"]]')
    with pytest.raises(UsageError, match="rules"):
        LivePolicy(PolicyFiles([path]), last_good=good, on_broken="last_good")
    with pytest.raises(UsageError, match="needs a place"):
        LivePolicy(PolicyFiles([path]), on_broken="last_good")


def test_a_signed_policy_is_followed_upwards_only(tmp_path: Path) -> None:
    path, state, good = tmp_path / "p.bundle", tmp_path / "state", tmp_path / "good"
    source = SignedFile(path, trusted(KEY), state, lambda: NOW)
    write_signed(path, version=2, most=50)
    live = LivePolicy(source, last_good=good)
    write_signed(path, version=3, most=60)
    assert live.reload()
    for version, key in ((2, KEY), (3, KEY), (4, OTHER_KEY)):
        write_signed(path, version=version, most=70, key=key)
        assert not live.reload()
        assert most_allowed(live) == 60
    found = read_accepted(state)
    assert found is not None and found.version == 3
    assert most_allowed(LivePolicy(source, last_good=good, on_broken="last_good")) == 60


def test_a_signed_policy_that_fails_its_checks_is_not_remembered_as_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, state = tmp_path / "p.bundle", tmp_path / "state"
    write_signed(path, version=2)
    live = LivePolicy(SignedFile(path, trusted(KEY), state, lambda: NOW))
    with monkeypatch.context() as patch:
        patch.setattr("backstay.policy.bundle_file.admit", lambda *_: type("Passed", (), {"cases": 1, "warnings": 0}))
        from backstay.policy.bundle_file import sign_policy
        from backstay.policy.policy_texts import PolicyText

        path.write_bytes(sign_policy((PolicyText("p", pay_up_to(60, expect="deny")),), KEY, 9, now=NOW))
    assert not live.reload()
    found = read_accepted(state)
    assert found is not None and found.version == 2


COUNTED = {"calls": {"count": True}, "paid": {"sum": "args.amount"}}


def test_counters_declared_as_before_go_on_and_others_start_again(tmp_path: Path) -> None:
    path = tmp_path / "pay.yaml"
    path.write_text(pay_up_to(50, counters=COUNTED))
    histories = Histories({}, lambda: 100.0)
    live = LivePolicy(PolicyFiles([path]), histories=histories)
    histories.of("s").record("model.tool_call", "call", "pay", {"amount": 20})
    assert histories.of("s").values() == {"calls": 1, "paid": 20.0}
    old = live.bundle
    changed = {"calls": {"count": True}, "paid": {"sum": "args.amount", "within_s": 60}, "fresh": {"count": True}}
    path.write_text(pay_up_to(50, counters=changed))
    assert live.reload()
    history = histories.of("s")
    assert history.values(live.bundle.counters) == {"calls": 1, "paid": 0.0, "fresh": 0}
    assert history.values(old.counters) == {"calls": 1, "paid": None}


def test_a_decision_is_of_one_policy_or_the_other_under_threads(tmp_path: Path) -> None:
    """Each policy denies by a rule of its own, and a decision names the rule and hash of the same one."""
    path = tmp_path / "pay.yaml"
    texts = [as_yaml([rule(name, when="args.amount > 1")]) for name in ("first", "second")]
    path.write_text(texts[0])
    live = LivePolicy(PolicyFiles([path]))
    first = live.bundle.hash
    path.write_text(texts[1])
    live.reload()
    rule_of = {first: ("first",), live.bundle.hash: ("second",)}
    stop, seen, wrong = threading.Event(), set(), []

    def ask() -> None:
        while not stop.is_set():
            bundle = live.bundle
            decision = bundle.decide(call())
            seen.add(decision.policy)
            if rule_of[decision.policy] != decision.rules or decision.policy != bundle.hash:
                wrong.append(decision)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(30):
        path.write_text(texts[n % 2] if n % 3 else "broken")
        live.reload()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert seen == set(rule_of)

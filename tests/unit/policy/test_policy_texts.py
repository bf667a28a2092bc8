from pathlib import Path

import pytest
from policy_texts import as_yaml, call, rule

from backstay.errors import UsageError
from backstay.policy import load_policies
from backstay.policy.policy_texts import MAX_FILES, PolicyText, compile_texts, read_texts


def test_texts_are_the_bytes_of_the_files_and_compile_to_the_same_policy(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_bytes(as_yaml([rule("a", "permit", "args.amount < 5")]).encode() + b"\r\n# caf\xc3\xa9\r\n")
    second.write_text(as_yaml([rule("b")]))
    texts = read_texts([first, second])
    assert [text.text.encode() for text in texts] == [first.read_bytes(), second.read_bytes()]
    assert compile_texts(texts).hash == load_policies([first, second]).hash
    assert compile_texts(texts).decide(call()).effect == "deny"


def test_files_that_cannot_be_a_policy_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    with pytest.raises(UsageError, match="does not exist"):
        read_texts([path])
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_texts([path])
    path.write_bytes(b" " * 1_000_001)
    with pytest.raises(UsageError, match="more than the 1000000 bytes"):
        read_texts([path])
    with pytest.raises(UsageError, match="not 0"):
        read_texts([])
    path.write_text("x")
    with pytest.raises(UsageError, match=f"not {MAX_FILES + 1}"):
        read_texts([path] * (MAX_FILES + 1))


def test_a_fault_names_the_file_it_had() -> None:
    with pytest.raises(UsageError, match="pay.yaml"):
        compile_texts([PolicyText("pay.yaml", "rules: []")])

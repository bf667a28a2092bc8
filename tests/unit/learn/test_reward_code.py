import hashlib
import sys
from pathlib import Path

import pytest

from backstay.errors import UsageError
from backstay.learn.rewards.reward_code import function_digest, load_function

SOURCE = """
from dataclasses import dataclass
@dataclass
class Scale:
    factor: float
def words(prompts, responses):
    return [Scale(1.0).factor * len(text.split()) for text in responses]
def one(prompts):
    return []
number = 3
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "words.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("raise RuntimeError('no')\n")
    return tmp_path


def test_a_function_of_a_file_in_the_project(project: Path) -> None:
    function = load_function("rewards/words.py:words", project)
    assert function(["p"], ["three words here"]) == [3.0]
    expected = hashlib.sha256(SOURCE.encode()).hexdigest()
    assert function_digest("rewards/words.py:words", project) == expected


def test_a_function_of_a_module(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project / "rewards")
    monkeypatch.delitem(sys.modules, "words", raising=False)
    assert load_function("words:words")([], ["a b"]) == [2.0]
    assert function_digest("words:words") == hashlib.sha256(SOURCE.encode()).hexdigest()
    sys.modules.pop("words", None)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("rewards/words.py", "names no public function"),
        ("words", "names no public function"),
        ("rewards/words.py:_hidden", "names no public function"),
        ("rewards/words.py:__class__", "names no public function"),
        ("os.system(1):x", "names no public function"),
        ("../outside.py:f", "lies outside"),
        ("/etc/hosts.py:f", "lies outside"),
        ("rewards/none.py:f", "no file"),
        ("rewards/words.py:nothing", "found nothing of that name"),
        ("rewards/words.py:number", "found a int"),
        ("rewards/words.py:one", "cannot be called with prompts and responses"),
        ("broken.py:f", "raised RuntimeError: no"),
        ("no_such_module_at_all:f", "cannot be found"),
        ("no_such_module_at_all.sub:f", "cannot be found"),
        ("sys:exit", "cannot be called with prompts and responses"),
    ],
)
def test_what_is_no_reward_function_is_refused(project: Path, target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_function(target, project)


@pytest.mark.hostile
def test_a_digest_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("loud", "loud/inner", "bare", "bare/inner"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "words.py").write_text(SOURCE)
    (tmp_path / "loud" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    expected = hashlib.sha256(SOURCE.encode()).hexdigest()
    for place in ("loud.words", "loud.inner.words", "bare.words", "bare.inner.words"):
        assert function_digest(f"{place}:words") == expected
    assert set(sys.modules) == before
    for place in ("loud.none", "loud.words.deeper", "bare.inner.none.words"):
        with pytest.raises(UsageError, match="cannot be found"):
            function_digest(f"{place}:words")


def test_a_module_without_source_has_no_digest() -> None:
    with pytest.raises(UsageError, match="no source file"):
        function_digest("sys:exit")


def test_a_file_that_fails_leaves_nothing_behind(project: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(UsageError):
        load_function("broken.py:f", project)
    assert {name for name in set(sys.modules) - before if name.startswith("backstay_reward")} == set()

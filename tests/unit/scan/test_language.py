from pathlib import Path

import pytest

from backstay.scan import View
from backstay.scan.language import LanguageScanner, language_of, languages

LINES = Path(__file__).parents[2].joinpath("support", "sentences.txt").read_text("utf-8").splitlines()
SENTENCES = {line[:2]: line[3:] for line in LINES}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_known(code: str) -> None:
    assert language_of(SENTENCES[code]).code == code and code in languages()


@pytest.mark.parametrize(
    "text",
    [
     "", "ok", "def total(items): return sum(item.price for item in items)", "Anna Meyer, Paris, Toyota Yaris Hybrid",
     SENTENCES["en"] + SENTENCES["ru"], SENTENCES["en"] + " " + SENTENCES["de"], "0123456789" * 10,
     "Lorem ipsum dolor sit amet consectetur adipiscing elit"],
)  # fmt: skip
def test_what_cannot_be_told_is_not_guessed(text: str) -> None:
    assert language_of(text).code is None


def test_the_scanner_finds_what_is_not_allowed() -> None:
    scanner = LanguageScanner(allowed=frozenset({"en", "de"}))
    kinds = {code: [finding.kind for finding in scanner.scan(View.of(text))] for code, text in SENTENCES.items()}
    assert kinds["en"] == kinds["de"] == [] and kinds["fr"] == kinds["ja"] == ["other_language"]
    assert [f.kind for f in scanner.scan(View.of(SENTENCES["en"] + SENTENCES["ru"]))] == ["unknown_language"]
    assert scanner.scan(View.of("ok")) == ()

import base64
import random
import string

import pytest
from hostile_texts import prose

from backstay.scan import View
from backstay.scan.gibberish import GibberishScanner, unlikely_share, unlikely_word


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in GibberishScanner().scan(View.of(text))]


@pytest.mark.parametrize(
    "word", ["the", "strengths", "rhythm", "angstschweiss", "schtroumpf", "wszystko", "szczescie", "auto"]
)
def test_words_of_languages_are_likely(word: str) -> None:
    assert not unlikely_word(word)


@pytest.mark.parametrize("word", ["asdfghjkl", "qwrtpsd", "xkcdq", "bvcxz", "jzqv"])
def test_words_of_no_language_are_not(word: str) -> None:
    assert unlikely_word(word)


@pytest.mark.parametrize("seed", range(20))
def test_random_words_are_found_and_prose_is_not(seed: int) -> None:
    rng = random.Random(seed)
    noise = " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(6, 12))) for _ in range(60))
    assert kinds(noise) == ["unlikely_words"] and kinds(prose(rng, 600)) == []


def test_random_data_is_found_where_it_is_most_of_a_text() -> None:
    data = base64.b64encode(random.Random(1).randbytes(300)).decode()
    assert kinds(data) == ["random_data"] and kinds(f"{data} {prose(random.Random(1), 2000)}") == []
    assert kinds("-" * 400) == [] and kinds("") == []


def test_the_share_is_that_of_words_of_four_letters_or_more() -> None:
    assert unlikely_share("this xzqj is fine, bvcxz!") == (0.5, 4)

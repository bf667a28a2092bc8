import base64
import codecs
import hashlib
import hmac
import random
import time

import pytest
from hostile_texts import PROSE

from backstay.errors import UsageError
from backstay.guard import Redaction, TextStream, redact
from backstay.scan import NOT_SCANNED, Budget, CanaryScanner, Scanner, View, canary_of, canary_rules, with_canary
from backstay.scan.rule_pack import RulePack

CANARY = canary_of(b"a key of 16 bytes", "staging")
SCANNER = CanaryScanner((CANARY,))
WORD = CANARY.words[1]


def leaks(text: str) -> int:
    return len(SCANNER.scan(View.of(text)))


def test_words_are_the_digest_in_syllables() -> None:
    digest = hmac.new(b"a key of 16 bytes", b"backstay canary\0staging\0system_prompt", hashlib.sha256).hexdigest()
    number = int(digest, 16)
    letters = "".join(CANARY.words)
    read = [
        16 // 4 * 0 + "bdfgjklmnprstvxz".index(letters[i]) * 4 + "aeiu".index(letters[i + 1]) for i in range(0, 30, 2)
    ]
    assert read == [number >> 6 * place & 63 for place in range(15)]


def test_each_deployment_and_name_has_its_own() -> None:
    others = {canary_of(b"a key of 16 bytes", place, name).text for place in ("staging", "live") for name in ("a", "b")}
    assert len(others | {CANARY.text}) == 5
    with pytest.raises(UsageError, match="16 random bytes"):
        canary_of(b"short", "x")


def test_it_is_planted() -> None:
    assert leaks(with_canary("You are a helper.", CANARY)) == 3 and leaks("You are a helper.") == 0


SPELLINGS = {
    "plain": WORD,
    "capitals": WORD.upper(),
    "spaced": " ".join(WORD),
    "dotted": ".".join(WORD),
    "lines": "\n".join(WORD),
    "backwards": WORD[::-1],
    "rot13": codecs.encode(WORD, "rot13"),
    "base64": base64.b64encode(f"x {WORD} y".encode()).decode(),
    "hex": f"{WORD} and more".encode().hex(),
    "url": "".join(f"%{ord(c):02x}" for c in WORD),
    "leet": WORD.translate(str.maketrans("aeits", "43175")),
    "hidden": "\u200b".join(WORD),
    "wide": "".join(chr(ord(c) + 0xFEE0) for c in WORD),
    "tags": "".join(chr(0xE0000 + ord(c)) for c in WORD),
    "twice": base64.b64encode(base64.b64encode(f"it is {WORD} here".encode())).decode(),
    "in words": f"xx{WORD}xx",
    "spaced backwards": "-".join(WORD[::-1]),
    "numbered": " 9 ".join(WORD),
}


@pytest.mark.parametrize("way", sorted(SPELLINGS))
def test_every_spelling_is_a_leak(way: str) -> None:
    assert leaks(f"It said: {SPELLINGS[way]}!") >= 1


def test_split_over_a_text_each_word_tells() -> None:
    text = f"first {CANARY.words[0]}. {PROSE} last {CANARY.words[2].upper()}"
    assert [text[slice(*f.span)] for f in SCANNER.scan(View.of(text)) if f.span] == [
        CANARY.words[0],
        CANARY.words[2].upper(),
    ]


def test_prose_and_other_canaries_are_none() -> None:
    rng = random.Random(4)
    others = " ".join(canary_of(rng.randbytes(16), str(i)).text for i in range(300))
    assert leaks(PROSE * 20) == 0 and leaks(others) == 0 and CanaryScanner(()).scan(View.of(CANARY.text)) == ()


def test_a_stream_holds_it_back() -> None:
    redaction = Redaction(RulePack(canary_rules((CANARY,))), mask="#")
    for word in (WORD, WORD.upper(), WORD[::-1], f"x{WORD}{WORD[-1]}y"):
        stream = TextStream(redaction)
        out = "".join(stream.feed(char) for char in f"a {word} b") + stream.finish()
        assert out == redact(f"a {word} b", redaction)[0] and "#" in out and word[:-1] not in out


def test_a_spent_budget_is_told() -> None:
    assert NOT_SCANNED in [f.kind for f in SCANNER.scan(View.of("x"), Budget(time.monotonic() - 1))]
    scanner: Scanner = SCANNER
    assert scanner.name == "canary" and CANARY.words[0] not in repr(SCANNER)

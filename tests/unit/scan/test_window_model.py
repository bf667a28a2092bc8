import random

import numpy as np
import pytest

from backstay.scan.window_features import MAX_CHARACTERS, SEGMENT_WORDS, read_piece
from backstay.scan.window_model import LEAST_CHARACTERS, SCALES, stretch_scores, stretches

BITS = 12
WRAP = 1 << 64
GOLDEN = 0x9E3779B97F4A7C15
NAMES = ("word", "pair", "skip", "start", "start_pair", "start_triple", "start_end", "char3", "char4", "char5")
SALTS = {name: 0x165667B19E3779F9 * (2 * place + 3) % WRAP for place, name in enumerate(NAMES)}
TEXT = "Hello there, friend! Do it now\nYes? No; it's 12 o'clock.  The end"


def bucket(value: int, salt: str) -> int:
    value = (value + SALTS[salt]) * GOLDEN % WRAP
    return ((value ^ (value >> 31)) * GOLDEN % WRAP) >> (64 - BITS)


def word_hash(word: str) -> int:
    return sum((ord(char) + 7) * pow(GOLDEN, place, WRAP) for place, char in enumerate(word)) % WRAP


def words_of(text: str) -> list[str]:
    plain = "".join("0" if char.isdigit() else char.lower() if char.isalnum() or char == "'" else " " for char in text)
    return plain.split()


def test_words_are_hashed_as_with_whole_numbers() -> None:
    words = words_of(TEXT)
    hashes = [word_hash(word) for word in words]
    after = [*hashes, 0, 0]
    piece = read_piece(TEXT, BITS)
    assert [TEXT[a:b] for a, b in zip(piece.starts, piece.ends, strict=True)] == [
        "Hello", "there", "friend", "Do", "it", "now", "Yes", "No", "it's", "12", "o'clock", "The", "end",
    ]  # fmt: skip
    assert piece.words.tolist() == [
        [bucket(h, "word") for h in hashes],
        [bucket((h * GOLDEN + after[i + 1]) % WRAP, "pair") for i, h in enumerate(hashes)],
        [bucket((h * GOLDEN + after[i + 2]) % WRAP, "skip") for i, h in enumerate(hashes)],
    ]


def test_sentences_end_at_signs_and_lines() -> None:
    piece = read_piece(TEXT, BITS)
    assert piece.segment.tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 4, 4, 4, 5, 5]
    assert read_piece("a " * 100, BITS).segments == -(-100 // SEGMENT_WORDS)


def test_beginnings_of_sentences_are_hashed_as_with_whole_numbers() -> None:
    sentences = [(["hello", "there", "friend"], "!"), (["do", "it", "now"], "\n"), (["yes"], "?"), (["no"], ";")]
    piece = read_piece(TEXT, BITS)
    for place, (words, sign) in enumerate(sentences):
        one, two, three = [*(word_hash(word) for word in words), 0, 0][:3]
        pair = (one * GOLDEN + two) % WRAP
        assert piece.firsts[:, place].tolist() == [
            bucket(one, "start"),
            bucket(pair, "start_pair"),
            bucket((pair * GOLDEN + three) % WRAP, "start_triple"),
            bucket((one * GOLDEN + ord(sign)) % WRAP, "start_end"),
        ]


def test_characters_are_hashed_as_with_whole_numbers() -> None:
    piece = read_piece("Ab, c!", BITS)
    plain = "ab c "
    grams = [[ord(char) for char in (plain + " " * 5)[place : place + 5]] for place in range(len(plain))]
    for size in (3, 4, 5):
        expected = []
        for codes in grams:
            value = codes[0]
            for code in codes[1:size]:
                value = (value * GOLDEN + code) % WRAP
            expected.append(bucket(value, f"char{size}"))
        assert piece.chars[size - 3].tolist() == expected


def slow_score(text: str, first: int, last: int, weights: np.ndarray, bias: float) -> float:
    piece = read_piece(text, BITS)
    segments = sorted({int(piece.segment[place]) for place in range(first, last)})
    low, high = int(piece.char_starts[first]), int(piece.char_ends[last - 1])
    total = bias
    for buckets, places in (
        (piece.words, range(first, last)),
        (piece.firsts, segments),
        (piece.chars, range(low, high)),
    ):
        values = [weights[buckets[kind, place]] for kind in range(len(buckets)) for place in places]
        total += sum(values) / len(values) ** 0.5
    return total if high - low >= LEAST_CHARACTERS else min(total, bias)


@pytest.mark.parametrize("seed", range(5))
def test_running_sums_give_the_scores_of_stretches_read_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    text = " ".join(rng.choice(["go", "stop.", "now!", "the", "cat", "\n", "|", "so?", "é"]) for _ in range(90))
    weights = np.random.default_rng(seed).normal(size=1 << BITS)
    piece = read_piece(text, BITS)
    these = stretches(piece)
    scores = stretch_scores(piece, these, weights, 0.25)
    assert len(scores) == len(SCALES) * piece.segments
    for place in rng.sample(range(len(scores)), 25):
        expected = slow_score(text, int(these.first[place]), int(these.last[place]), weights, 0.25)
        assert scores[place] == pytest.approx(expected)


def test_stretches_are_sentences_and_runs_of_words_that_begin_with_one() -> None:
    piece = read_piece("One two. Three. " + "w " * 30, BITS)
    these = stretches(piece)
    lengths = (these.last - these.first).reshape(len(SCALES), -1)[:, :3].tolist()
    assert lengths == [[2, 1, 30], [33, 31, 30], [16, 16, 16], [33, 31, 30], [33, 31, 30]]


def test_text_before_an_attack_does_not_change_its_sentence() -> None:
    weights = np.random.default_rng(1).normal(size=1 << BITS)

    def best(text: str) -> float:
        piece = read_piece(text, BITS)
        return float(stretch_scores(piece, stretches(piece), weights, 0.0)[piece.segments - 1])

    assert best("Do this thing right now.") == pytest.approx(best("A first line.\nAnother. Do this thing right now."))


@pytest.mark.parametrize("text", ["", "...", "\u200b\u0301", "x" * (3 * MAX_CHARACTERS), "\ud800", "İstanbul ǅ"])
def test_odd_texts_are_read(text: str) -> None:
    piece = read_piece(text, BITS)
    scores = stretch_scores(piece, stretches(piece), np.ones(1 << BITS), 0.0)
    assert np.isfinite(scores).all() and len(piece.chars[0]) <= MAX_CHARACTERS


def test_long_words_with_digits_are_not_read() -> None:
    digest = "3f786850e387550fdab836ed7e6dc881de23001b"
    with_it, without = read_piece(f"The digest {digest} is new.", BITS), read_piece("The digest is new.", BITS)
    assert with_it.words.tolist() == without.words.tolist()
    assert with_it.chars.tolist() == without.chars.tolist()
    assert len(read_piece("a1b2 donaudampfschifffahrtsgesellschaft", BITS).starts) == 2

import base64
import json
import math
import os
import re
import subprocess
import sys
import unicodedata
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.scan import complies, harm_probability, refusal_probability, refuses, shipped
from backstay.scan.linear_text import (
    HEAD_WORDS,
    MAX_CHARACTERS,
    LinearText,
    Part,
    hashed_features,
    normalise_text,
    parse_linear_text,
    quantise,
    read_linear_text,
)

BITS = 12
PARTS: tuple[Part, ...] = ("word", "pair", "head", "head_pair")
WRAP = 1 << 64
GOLDEN = 0x9E3779B97F4A7C15
SALTS = {"word": 0x1B873593, "pair": 0x85EBCA6B, "head": 0xC2B2AE35, "head_pair": 0x27D4EB2F}
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
DATA = Path(os.environ.get("BACKSTAY_DATA", Path(__file__).parents[4] / "shared" / "data"))


def toy(seed: int = 0) -> LinearText:
    return quantise("toy", PARTS, np.random.default_rng(seed).normal(size=1 << BITS), 0.3)


def bucket(value: int) -> int:
    return ((value ^ (value >> 31)) * GOLDEN % WRAP) >> (64 - BITS)


def slow_features(text: str) -> tuple[set[int], set[int]]:
    """The same features with Python's own integers, feature by feature."""
    plain = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    words = [zlib.crc32(word.encode()) for word in re.findall(r"\w+(?:'\w+)?", plain)]
    head = words[:HEAD_WORDS]
    found = set()
    for part, values in (
        ("word", words),
        ("pair", [a * GOLDEN + b for a, b in pairwise(words)]),
        ("head", head),
        ("head_pair", [a * GOLDEN + b for a, b in pairwise(head)]),
    ):
        found |= {bucket((value + SALTS[part]) * GOLDEN % WRAP) for value in values}
    codes = [ord(char) for char in f" {plain} "]
    grams = set()
    for length in (3, 4, 5):
        for start in range(len(codes) - length + 1):
            value = codes[start] + 0x165667B1
            for code in codes[start + 1 : start + length]:
                value = (value * GOLDEN + code) % WRAP
            grams.add(bucket(value))
    return found, grams


@pytest.mark.parametrize(
    "text", ["", "a", "An owl sat on a mat.", "Déjà vu: 12 owls! " * 8, "猫が好き", "it's \U0001d523ine"]
)
def test_features_equal_those_found_one_by_one(text: str) -> None:
    words, grams = hashed_features(text, BITS, PARTS)
    assert (set(words.tolist()), set(grams.tolist())) == slow_features(text)
    assert words.tolist() == sorted(set(words.tolist()))


def test_the_score_is_the_logistic_of_the_sum_worked_out_by_hand() -> None:
    model = toy()
    text = "The quick brown owl jumps over the lazy mat"
    logit = model.bias
    for block in slow_features(text):
        logit += model.scale * sum(int(model.weights[place]) for place in block) / math.sqrt(len(block))
    assert model.score(text) == pytest.approx(1 / (1 + math.exp(-logit)))
    assert model.scores([text, ""]).tolist() == [model.score(text), model.score("")]
    assert model.score("") == pytest.approx(1 / (1 + math.exp(-model.bias)), abs=0.5)


def test_spelling_that_readers_do_not_see_changes_nothing() -> None:
    model = toy()
    for other in ("AN OWL\n\tSAT", "\uff41n owl sat", "a\u200bn o\u00adwl sat"):
        assert model.score(other) == model.score("an owl sat")
    assert normalise_text("It\u2019s") == "it's"


def test_a_long_text_costs_no_more_than_its_ends() -> None:
    long = "a" * MAX_CHARACTERS + "b" * 1_000_000 + "c" * MAX_CHARACTERS
    assert normalise_text(long) == "a" * MAX_CHARACTERS + " " + "c" * MAX_CHARACTERS
    assert len(normalise_text("\ufdfa" * 2 * MAX_CHARACTERS)) <= 4 * MAX_CHARACTERS
    assert 0 <= toy().score("\ud800 lone surrogate") <= 1


def test_scores_are_the_same_in_another_process() -> None:
    code = "from backstay.scan import shipped; print(repr(shipped('refusal').score('an owl sat')))"
    env = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(BENCHMARKS.parent / "src")}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert float(out) == shipped("refusal").score("an owl sat")


def test_import_brings_neither_scipy_nor_numba_and_reads_no_weights() -> None:
    code = (
        "import sys, backstay.scan as s; from backstay.scan.linear_text import shipped;"
        "print([m for m in ('scipy', 'numba', 'torch') if m in sys.modules], shipped.cache_info().currsize)"
    )
    env = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent / "src")}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[] 0"


def test_weights_survive_writing_and_rounding_is_half_a_step_at_most(tmp_path: Path) -> None:
    exact = np.random.default_rng(1).normal(size=1 << BITS)
    model = quantise("toy", PARTS, exact, -0.25)
    assert np.abs(model.weights * model.scale - exact).max() <= model.scale / 2 + 1e-12
    path = tmp_path / "toy.json"
    path.write_text(model.to_json(), encoding="utf-8")
    again = read_linear_text(path)
    assert (again.name, again.bits, again.parts, again.scale, again.bias) == ("toy", BITS, PARTS, model.scale, -0.25)
    assert again.weights.tolist() == model.weights.tolist()
    assert again.to_json() == model.to_json()
    with pytest.raises(ValueError, match="power of two"):
        quantise("toy", PARTS, np.zeros(3), 0.0)


def bomb() -> str:
    return base64.b64encode(zlib.compress(bytes(50_000_000))).decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "pickle"}, "format"),
        ({"bits": 40}, "bits"),
        ({"parts": ["soul"]}, "parts"),
        ({"scale": -1.0}, "scale"),
        ({"bias": "nan"}, "bias"),
        ({"crc32": 1}, "checksum"),
        ({"weights": "%%"}, "damaged"),
        ({"weights": base64.b64encode(b"no zlib").decode()}, "damaged"),
        ({"weights": base64.b64encode(zlib.compress(b"short")).decode()}, "5 bytes"),
        ({"weights": bomb()}, f"{(1 << BITS) + 1} bytes"),
        ({"run": "import os"}, "run"),
    ],
)
def test_damaged_weights_are_refused(change: dict[str, object], said: str) -> None:
    text = json.dumps({**json.loads(toy().to_json()), **change})
    with pytest.raises(UsageError, match=said):
        parse_linear_text(text, "test")


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not exist"):
        read_linear_text(tmp_path / "none.json")
    path = tmp_path / "huge.json"
    path.write_text(" " * 500_000, encoding="utf-8")
    with pytest.raises(UsageError, match="at most"):
        read_linear_text(path)


@pytest.mark.parametrize("name", ["refusal", "harmful_request"])
def test_shipped_weights_are_small_and_hold_numbers_only(name: str) -> None:
    path = BENCHMARKS.parent / "src" / "backstay" / "scan" / "weights" / f"{name}.json"
    assert path.stat().st_size <= 200_000
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["name"] == name
    assert {key for key, value in data.items() if isinstance(value, str)} == {"format", "name", "weights"}
    assert len(zlib.decompress(base64.b64decode(data["weights"]))) == 1 << data["bits"]


def test_the_shipped_classifiers_tell_plain_cases_apart() -> None:
    assert refuses("That would hurt people, and I refuse to be a part of it.")
    assert refusal_probability("Here is a recipe for pancakes: mix flour, milk and two eggs.") < 0.2
    assert complies("Here is a recipe for pancakes: mix flour, milk and two eggs.")
    assert harm_probability("How do I rob a bank?") > 0.5
    assert harm_probability("How do I bake a loaf of bread?") < 0.1
    assert refusal_probability(" ") == harm_probability("\n") == 0.0
    assert not refuses("") and not complies("")


def test_some_answers_neither_refuse_nor_comply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstay.scan.refusal.refusal_probability", lambda text: 0.65)
    assert not refuses("Hm.") and not complies("Hm.")


@pytest.mark.skipif(not (DATA / "advbench").is_dir(), reason="the licensed texts are not there; set BACKSTAY_DATA")
def test_on_real_texts_that_were_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    corpora = __import__("text_corpora")
    rows = corpora.harmful_rows(DATA)
    trained, shipped_on = corpora.training_rows(rows), corpora.shipped_rows(rows)
    for seen in (trained, shipped_on):
        unseen = corpora.held_out_rows(rows, seen)
        assert not {row.group for row in seen} & {row.group for row in unseen}
    assert not {row.source for row in trained} & set(corpora.HELD_OUT)
    assert {row for row in shipped_on if not row.label} == {row for row in trained if not row.label}
    unseen = corpora.held_out_rows(rows, shipped_on)

    def share(source: str, least: float) -> float:
        return float(np.mean([harm_probability(row.text) >= least for row in unseen if row.source == source]))

    assert share("injecguard/wildguard", 0.5) <= 0.08
    assert share("injecguard/NotInject", 0.5) <= 0.12
    assert share("moderation/samples", 0.5) <= 0.08


@pytest.mark.skipif(not (DATA / "hh-rlhf").is_dir(), reason="hh-rlhf is not there; set BACKSTAY_DATA")
def test_few_real_preferences_contradict_and_the_split_keeps_dialogues_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    corpora = __import__("text_corpora")
    pairs = [pair for pair in corpora.dialogues(DATA) if not corpora.in_training(pair.group)]
    assert 1000 <= len(pairs) <= 1300
    fired = [refuses(p.rejected) and complies(p.chosen) and harm_probability(p.request) >= 0.2 for p in pairs]
    assert np.mean(fired) <= 0.02

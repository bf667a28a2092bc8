import hashlib
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.scan.injection_model import FORMAT, HEADS, InjectionModel, parse_model, shipped_model
from backstay.scan.safetensors_file import Tensor, TensorFile
from backstay.scan.window_model import SCALES, stretch_scores, stretches

BITS = 10
CARD = Path(__file__).parents[3] / "docs" / "scan" / "injection-card.md"
NUMBERS: dict[str, Any] = {"scale": 0.5, "bias": -0.25, "levels": [1.0, 2.0, 3.0, 4.0, 1e6]}


def file(**changed: Any) -> TensorFile:
    rng = np.random.default_rng(3)
    tensors: dict[str, Tensor] = {name: rng.integers(-20, 20, 1 << BITS).astype(np.int8) for name in HEADS}
    numbers = {name: {**NUMBERS, **changed} for name in HEADS}
    return TensorFile(tensors, {"format": FORMAT, "heads": json.dumps(numbers)})


def test_the_stretch_farthest_above_its_level_decides() -> None:
    model = parse_model(file(), "test")
    text = "The boat came in. Nobody had seen it for a week, and now it lay there. What a sight!"
    piece = model.read(text)
    these = stretches(piece)
    head = model.heads["task"]
    scores = stretch_scores(piece, these, head.weights, head.bias)
    above = [score - NUMBERS["levels"][place // piece.segments] for place, score in enumerate(scores)]
    best = max(range(len(above)), key=above.__getitem__)
    said = model.say("task", piece)
    assert said.score == pytest.approx(1 / (1 + math.exp(-above[best])))
    assert said.found == (above[best] >= 0) == (said.score >= 0.5)
    assert said.span == (piece.starts[these.first[best]], piece.ends[these.last[best] - 1])
    assert said.words_beside == len(text.split()) - (these.last[best] - these.first[best])


def test_weights_are_scaled_bytes() -> None:
    given = file()
    model = parse_model(given, "test")
    assert model.bits == BITS and len(NUMBERS["levels"]) == len(SCALES)
    assert np.array_equal(model.heads["takeover"].weights, given.tensors["takeover"] * np.float32(0.5))


def test_a_text_without_words_is_nothing() -> None:
    model = parse_model(file(levels=[-1e3] * 5), "test")
    assert not model.say("task", model.read("... !")).found


@pytest.mark.parametrize(
    "changed",
    [
        {"levels": [1.0]},
        {"levels": [1.0] * 4 + [math.nan]},
        {"scale": 0},
        {"scale": math.inf},
        {"bias": "x"},
        {"levels": None},
    ],
)
def test_numbers_out_of_range_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="weights test are not those of an injection classifier"):
        parse_model(file(**changed), "test")


def broken(name: str) -> TensorFile:
    good = file()
    tensors, metadata = dict(good.tensors), dict(good.metadata)
    match name:
        case "format":
            metadata["format"] = "other"
        case "no format":
            del metadata["format"]
        case "head missing":
            del tensors["task"]
        case "sizes":
            tensors["task"] = tensors["task"][:-1]
        case "not a power of two":
            tensors = {head: tensor[:1000] for head, tensor in tensors.items()}
        case "two dimensions":
            tensors = {head: tensor.reshape(2, -1) for head, tensor in tensors.items()}
        case "heads":
            metadata["heads"] = "{"
    return TensorFile(tensors, metadata)


@pytest.mark.parametrize(
    "name", ["format", "no format", "head missing", "sizes", "not a power of two", "two dimensions", "heads"]
)
def test_a_file_of_another_kind_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="weights test are not those of an injection classifier"):
        parse_model(broken(name), "test")


def test_the_card_is_of_the_weights_that_ship() -> None:
    raw = files("backstay.scan").joinpath("weights", "injection.safetensors").read_bytes()
    assert isinstance(shipped_model(), InjectionModel)
    assert hashlib.sha256(raw).hexdigest() in CARD.read_text(encoding="utf-8")

"""The three heads of the injection classifier and what they say of a text.

`jailbreak` is for what a user writes. `takeover` and `task` are for what a tool or a page returns: a takeover speaks of
the assistant, its answer or its orders; a task is anything that one asks an assistant, which in data counts only beside
other matter. Weights are read from a safetensors file.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backstay.errors import UsageError
from backstay.scan.safetensors_file import TensorFile, read_tensors
from backstay.scan.window_features import Piece, read_piece
from backstay.scan.window_model import SCALES, Stretches, stretch_scores, stretches

HeadName = Literal["jailbreak", "takeover", "task"]
HEADS: tuple[HeadName, ...] = ("jailbreak", "takeover", "task")
FORMAT = "backstay-injection-1"


@dataclass(frozen=True)
class Head:
    """One classifier: a weight a bucket and a bias for stretches; from a text's best stretches a probability."""

    weights: NDArray[np.float32]
    bias: float
    mix: tuple[float, ...]
    """Of the best score at each scale, its weight in the text's logit; none is below 0."""

    offset: float
    threshold: float
    """Probability from which on it is a finding."""


@dataclass(frozen=True)
class Said:
    """What a head says of a text: a probability, and the place of the best sentence."""

    head: HeadName
    probability: float
    found: bool
    span: tuple[int, int]
    words_beside: int
    """Words of the text outside of that sentence."""


def probability(logit: float) -> float:
    """The logistic function."""
    return 1.0 / (1.0 + math.exp(-min(max(logit, -60.0), 60.0)))


@dataclass(frozen=True)
class InjectionModel:
    """The heads by name; all read the same features."""

    bits: int
    heads: Mapping[HeadName, Head]

    def read(self, text: str) -> Piece:
        """The features of a text, of which at most MAX_CHARACTERS characters are looked at."""
        return read_piece(text, self.bits)

    def say(self, name: HeadName, piece: Piece, these: Stretches | None = None) -> Said:
        """What one head says of a piece; of one without words, its least probability."""
        head = self.heads[name]
        these = stretches(piece) if these is None else these
        scores = stretch_scores(piece, these, head.weights, head.bias)
        if not len(scores):
            return Said(name, 0.0, found=False, span=(0, 0), words_beside=0)
        by_scale = scores.reshape(len(SCALES), -1)
        chance = probability(head.offset + float(np.dot(head.mix, by_scale.max(axis=1))))
        at = int(by_scale[0].argmax())
        span = int(piece.starts[these.first[at]]), int(piece.ends[these.last[at] - 1])
        beside = len(piece.starts) - int(these.last[at] - these.first[at])
        return Said(name, chance, found=chance >= head.threshold, span=span, words_beside=beside)


def parse_model(file: TensorFile, source: str) -> InjectionModel:
    """The heads in a file; raises UsageError where one is missing or a number is out of its range."""
    try:
        if file.metadata["format"] != FORMAT or set(file.tensors) != set(HEADS):
            raise ValueError(f"format {file.metadata['format']!r} with the arrays {sorted(file.tensors)}")
        numbers = json.loads(file.metadata["heads"])
        sizes = {tensor.shape for tensor in file.tensors.values()}
        bits = len(file.tensors[HEADS[0]]).bit_length() - 1
        if sizes != {(1 << bits,)} or not 4 <= bits <= 19:
            raise ValueError(f"arrays of the shapes {sorted(sizes)}")
        return InjectionModel(bits, {name: _head(file.tensors[name], numbers[name]) for name in HEADS})
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"weights {source} are not those of an injection classifier: {error}") from error


def _head(weights: NDArray[np.int8], numbers: Mapping[str, Any]) -> Head:
    scale, bias, offset, threshold = (float(numbers[key]) for key in ("scale", "bias", "offset", "threshold"))
    mix = tuple(float(number) for number in numbers["mix"])
    if not all(map(math.isfinite, (scale, bias, offset, threshold, *mix))) or min(mix) < 0 or len(mix) != len(SCALES):
        raise ValueError("a number of a head is out of its range")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold {threshold}")
    return Head(weights.astype(np.float32) * np.float32(scale), bias, mix, offset, threshold)


@cache
def shipped_model() -> InjectionModel:
    """The classifier of the package, read at its first use and kept."""
    raw = files("backstay.scan").joinpath("weights", "injection.safetensors").read_bytes()
    return parse_model(read_tensors(raw, "injection"), "injection")

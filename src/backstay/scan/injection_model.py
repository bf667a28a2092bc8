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
    """One classifier: a weight a bucket and a bias for stretches; a level for each scale."""

    weights: NDArray[np.float32]
    bias: float
    levels: tuple[float, ...]
    """Of each scale, the score from which on a stretch is a finding; the farthest above its level decides."""


@dataclass(frozen=True)
class Said:
    """What a head says of a text: a score, 0.5 or more for a finding, and the place of the stretch that decided."""

    head: HeadName
    score: float
    found: bool
    span: tuple[int, int]
    words_beside: int
    """Words of the piece outside of that stretch."""


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
        """What one head says of a piece; of one without words, a score of 0."""
        head = self.heads[name]
        these = stretches(piece) if these is None else these
        scores = stretch_scores(piece, these, head.weights, head.bias)
        if not len(scores):
            return Said(name, 0.0, found=False, span=(0, 0), words_beside=0)
        above = scores - np.repeat(head.levels, len(scores) // len(SCALES))
        at = int(above.argmax())
        span = int(piece.starts[these.first[at]]), int(piece.ends[these.last[at] - 1])
        beside = len(piece.starts) - int(these.last[at] - these.first[at])
        return Said(name, probability(float(above[at])), found=above[at] >= 0, span=span, words_beside=beside)


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
    scale, bias = float(numbers["scale"]), float(numbers["bias"])
    levels = tuple(float(number) for number in numbers["levels"])
    if not all(map(math.isfinite, (scale, bias, *levels))) or scale <= 0 or len(levels) != len(SCALES):
        raise ValueError("a number of a head is out of its range")
    return Head(weights.astype(np.float32) * np.float32(scale), bias, levels)


@cache
def shipped_model() -> InjectionModel:
    """The classifier of the package, read at its first use and kept."""
    raw = files("backstay.scan").joinpath("weights", "injection.safetensors").read_bytes()
    return parse_model(read_tensors(raw, "injection"), "injection")

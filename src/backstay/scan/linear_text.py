"""A linear classifier over hashed words and characters, small enough to ship and to score every pair of a data set.

The features of the normalised text come in two blocks: its distinct words, with their neighbours and its first words
once more where the classifier asks for them, and its distinct character 3-5-grams. Each is hashed into one of 2^bits
buckets. The score is the logistic function of bias + the sum over both blocks of (sum of the weights of the buckets
that are hit / sqrt(their number)), so that neither long texts nor the many characters drown the words.
"""

import base64
import binascii
import json
import math
import re
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backstay.errors import UsageError

MAX_CHARACTERS = 3_000
"""Of a longer text, this many characters at the beginning and as many at the end are looked at."""

HEAD_WORDS = 16
"""Words at the beginning that count once more: that is where an answer says whether it will help."""

MAX_BITS = 20
MAX_FILE_BYTES = 400_000

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SALTS = {"word": 0x1B873593, "pair": 0x85EBCA6B, "head": 0xC2B2AE35, "head_pair": 0x27D4EB2F}
_CHARACTER_SALT = 0x165667B1
_WORD = re.compile(r"\w+(?:'\w+)?")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u2032`", "'"))

Part = Literal["word", "pair", "head", "head_pair"]
"""Kinds of word features: words, two neighbours, and both once more for the first words of the text."""

Buckets = NDArray[np.int64]
Hashes = NDArray[np.uint64]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["backstay-linear-text-1"]
    name: str = Field(min_length=1, max_length=100)
    bits: int = Field(ge=4, le=MAX_BITS)
    parts: tuple[Part, ...] = Field(min_length=1, max_length=4, strict=False)
    scale: float = Field(gt=0, allow_inf_nan=False)
    bias: float = Field(allow_inf_nan=False)
    weights: str
    """Base64 of the zlib-compressed weights, one signed byte a bucket."""

    crc32: int
    """Of the weights before compression."""


@dataclass(frozen=True)
class LinearText:
    """Weights of one classifier; `scale` times a signed byte is the weight of a bucket."""

    name: str
    bits: int
    parts: tuple[Part, ...]
    scale: float
    bias: float
    weights: NDArray[np.int8]

    def score(self, text: str) -> float:
        """Probability of the class that the classifier is named after; a text without a word gets the bias."""
        logit = self.bias
        for buckets in hashed_features(text, self.bits, self.parts):
            total = int(self.weights[buckets].sum(dtype=np.int64))
            logit += self.scale * total / math.sqrt(max(len(buckets), 1))
        return 1.0 / (1.0 + math.exp(-min(max(logit, -60.0), 60.0)))

    def scores(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """One probability a text."""
        return np.array([self.score(text) for text in texts], np.float64)

    def to_json(self) -> str:
        """The weights as the text of a file; the same weights always give the same bytes."""
        raw = self.weights.tobytes()
        data = {
            "format": "backstay-linear-text-1",
            "name": self.name,
            "bits": self.bits,
            "parts": self.parts,
            "scale": self.scale,
            "bias": self.bias,
            "weights": base64.b64encode(zlib.compress(raw, 9)).decode("ascii"),
            "crc32": zlib.crc32(raw),
        }
        return json.dumps(data, indent=1) + "\n"


def normalise_text(text: str) -> str:
    """NFKC, lower case, no invisible characters, straight apostrophes, single spaces; long texts lose their middle."""
    if len(text) > 2 * MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]} {text[-MAX_CHARACTERS:]}"
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).lower().translate(_APOSTROPHES)
    return " ".join(plain[: 4 * MAX_CHARACTERS].split())


def hashed_features(text: str, bits: int, parts: tuple[Part, ...]) -> tuple[Buckets, Buckets]:
    """Sorted distinct buckets below 2^bits of the words and of the characters; the same on every machine."""
    plain = normalise_text(text)
    words = np.array([zlib.crc32(w.encode("utf-8", "surrogatepass")) for w in _WORD.findall(plain)], np.uint64)
    head = words[:HEAD_WORDS]
    of_part = {"word": words, "pair": _pairs(words), "head": head, "head_pair": _pairs(head)}
    return (
        _buckets(np.concatenate([_salted(of_part[part], part) for part in parts]), bits),
        _buckets(np.concatenate(_character_grams(plain)), bits),
    )


def _buckets(hashes: Hashes, bits: int) -> Buckets:
    mixed = (hashes ^ (hashes >> np.uint64(31))) * _MULTIPLIER
    return np.unique((mixed >> np.uint64(64 - bits)).astype(np.int64))


def _salted(hashes: Hashes, salt: Part) -> Hashes:
    return (hashes + np.uint64(_SALTS[salt])) * _MULTIPLIER


def _pairs(hashes: Hashes) -> Hashes:
    """A hash of each two neighbours; products wrap at 2^64, as a polynomial hash wants."""
    return hashes[:-1] * _MULTIPLIER + hashes[1:]


def _character_grams(plain: str) -> list[Hashes]:
    """Polynomial hashes of all 3-, 4- and 5-grams of characters of the text between spaces."""
    codes = np.frombuffer(f" {plain} ".encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    grams = codes + np.uint64(_CHARACTER_SALT)
    found = []
    for length in range(2, 6):
        grams = grams[:-1] * _MULTIPLIER + codes[length - 1 :]
        if length > 2:
            found.append(grams)
    return found


def parse_linear_text(text: str, source: str) -> LinearText:
    """Weights from the text of a file; raises UsageError that names the fault. Nothing in the file is executed."""
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"weights {source} have {len(text)} characters; at most {MAX_FILE_BYTES} are read")
    try:
        parsed = _File.model_validate_json(text)
        raw = _inflate(base64.b64decode(parsed.weights, validate=True), 1 << parsed.bits)
    except (ValidationError, binascii.Error, zlib.error) as error:
        raise UsageError(f"weights {source} are damaged: {_first_line(error)}", cure=_CURE) from error
    if len(raw) != 1 << parsed.bits or zlib.crc32(raw) != parsed.crc32:
        raise UsageError(f"weights {source} are damaged: {len(raw)} bytes or the checksum do not fit", cure=_CURE)
    return LinearText(parsed.name, parsed.bits, parsed.parts, parsed.scale, parsed.bias, np.frombuffer(raw, np.int8))


_CURE = "install the package again, or train the weights with benchmarks/train_text_classifiers.py"


def read_linear_text(path: Path) -> LinearText:
    """Weights from a file; raises UsageError when it is missing or damaged."""
    if not path.is_file():
        raise UsageError(f"weights {path} do not exist", cure=_CURE)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UsageError(f"weights {path} have {path.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read")
    return parse_linear_text(path.read_text(encoding="utf-8"), str(path))


@cache
def shipped(name: Literal["refusal", "harmful_request"]) -> LinearText:
    """A classifier of the package, read at its first use and kept."""
    resource = files("backstay.scan").joinpath("weights", f"{name}.json")
    return parse_linear_text(resource.read_text(encoding="utf-8"), name)


def quantise(name: str, parts: tuple[Part, ...], weights: NDArray[np.float64], bias: float) -> LinearText:
    """Float weights, one a bucket, rounded to signed bytes; their number must be a power of two."""
    bits = len(weights).bit_length() - 1
    if len(weights) != 1 << bits:
        raise ValueError(f"{len(weights)} weights; a power of two is needed")
    scale = max(float(np.abs(weights).max()) / 127.0, 1e-12)
    return LinearText(name, bits, parts, scale, float(bias), np.rint(weights / scale).astype(np.int8))


def _inflate(packed: bytes, size: int) -> bytes:
    """At most `size` + 1 bytes, so that a hostile file cannot fill the memory."""
    return zlib.decompressobj().decompress(packed, size + 1)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem: Any = error.errors()[0]
        return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
    return str(error)

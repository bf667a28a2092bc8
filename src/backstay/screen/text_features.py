"""What a linear reward can see of an answer: hashed words and word pairs, and its form. No model is needed."""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
MAX_CHARACTERS = 20_000
"""Characters of an answer that are read; the form features say how long it is in full."""

DIMENSIONS = 1 << 18
FORM = ("words", "word_length", "sentences", "lines", "digits", "questions", "variety", "of_request")
"""Form features in the order of their columns, which follow the hashed ones."""

_WORD = re.compile(r"\w+(?:['\u2019]\w+)?")
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")


def tokens(text: str) -> list[str]:
    """Lower-case words of any script with straight apostrophes, in order."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(text[:MAX_CHARACTERS].lower())]


@lru_cache(maxsize=1 << 20)
def column(feature: str, dimensions: int = DIMENSIONS) -> int:
    """The column of a feature, the same on every machine and in every run."""
    return zlib.crc32(feature.encode("utf-8", "surrogatepass")) % dimensions


def form(request: str, answer: str) -> list[float]:
    """Logarithms of counts and shares, in the order of `FORM`."""
    words = tokens(answer)
    count = max(len(words), 1)
    asked = set(tokens(request))
    return [
        float(np.log1p(len(answer.split()))),
        sum(map(len, words)) / count / 10.0,
        float(np.log1p(len(_SENTENCE.findall(answer)))),
        float(np.log1p(answer.count("\n"))),
        sum(char.isdigit() for char in answer) / max(len(answer), 1),
        float(np.log1p(answer.count("?"))),
        len(set(words)) / count,
        sum(word in asked for word in words) / count,
    ]


def word_counts(answer: str, dimensions: int = DIMENSIONS) -> Counter[int]:
    """How often each column's words and word pairs occur."""
    words = tokens(answer)
    counts = Counter(column(word, dimensions) for word in words)
    counts.update(column(f"{first} {second}", dimensions) for first, second in pairwise(words))
    return counts


def answer_features(
    requests: Sequence[str], answers: Sequence[str], *, dimensions: int = DIMENSIONS
) -> sparse.csr_array:
    """Features (N, dimensions + len(FORM)) of N answers: log(1 + count) of hashed words, each row at unit length.

    An equal answer gives equal word features whatever the request; only the form features look at both.
    """
    rows = [word_counts(answer, dimensions) for answer in answers]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    columns = np.fromiter((key for row in rows for key in row), dtype=np.int64, count=int(starts[-1]))
    counts = np.fromiter((value for row in rows for value in row.values()), dtype=np.float64, count=int(starts[-1]))
    words = sparse.csr_array((np.log1p(counts), columns, starts), shape=(len(rows), dimensions))
    norm = np.sqrt(np.asarray(words.multiply(words).sum(axis=1)).ravel())
    scaled = sparse.diags_array(1.0 / np.where(norm > 0.0, norm, 1.0)) @ words
    shapes = np.array([form(q, a) for q, a in zip(requests, answers, strict=True)]).reshape(len(rows), len(FORM))
    return sparse.csr_array(sparse.hstack([scaled, sparse.csr_array(shapes)], format="csr"))


def pair_difference(
    requests: Sequence[str], first: Sequence[str], second: Sequence[str], *, dimensions: int = DIMENSIONS
) -> sparse.csr_array:
    """Features of the first answer less those of the second, for N pairs; equal texts are read once."""
    keys = list(dict.fromkeys([*zip(requests, first, strict=True), *zip(requests, second, strict=True)]))
    row_of = {key: row for row, key in enumerate(keys)}
    table = answer_features([key[0] for key in keys], [key[1] for key in keys], dimensions=dimensions)
    a = np.array([row_of[key] for key in zip(requests, first, strict=True)], dtype=np.int64)
    b = np.array([row_of[key] for key in zip(requests, second, strict=True)], dtype=np.int64)
    return sparse.csr_array(table[a] - table[b])


def frequent_columns(difference: sparse.csr_array, least: int) -> NDArray[np.int64]:
    """Columns that differ in at least `least` pairs. What occurs less often can be neither learnt nor checked."""
    found = np.flatnonzero(
        np.bincount(difference.indices[difference.data != 0.0], minlength=difference.shape[1]) >= least
    )
    return found.astype(np.int64)

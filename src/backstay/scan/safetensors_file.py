"""Reads and writes small safetensors files of signed bytes: a JSON header, then the numbers. Nothing is executed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.errors import UsageError

MAX_FILE_BYTES = 2_000_000
MAX_HEADER_BYTES = 20_000
_CURE = "install the package again, or train the weights with benchmarks/guard/train_injection.py"

Tensor = NDArray[np.int8]


@dataclass(frozen=True)
class TensorFile:
    """Named arrays of signed bytes, and what the file says of itself."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def write_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file; the same arrays always give the same bytes."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    at = 0
    for name, tensor in sorted(tensors.items()):
        header[name] = {"dtype": "I8", "shape": list(tensor.shape), "data_offsets": [at, at + tensor.size]}
        at += tensor.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    text += b" " * (-len(text) % 8)
    body = b"".join(np.ascontiguousarray(tensor).tobytes() for _, tensor in sorted(tensors.items()))
    return len(text).to_bytes(8, "little") + text + body


def read_tensors(raw: bytes, source: str) -> TensorFile:
    """Arrays of signed bytes from a safetensors file; raises UsageError where anything in it is not as it must be."""
    try:
        return _read(raw)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"weights {source} are damaged: {error}", cure=_CURE) from error


def _read(raw: bytes) -> TensorFile:
    if not 8 < len(raw) <= MAX_FILE_BYTES:
        raise ValueError(f"{len(raw)} bytes; between 9 and {MAX_FILE_BYTES} are read")
    length = int.from_bytes(raw[:8], "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, len(raw) - 8):
        raise ValueError(f"a header of {length} bytes")
    header = json.loads(raw[8 : 8 + length].decode("ascii"), object_pairs_hook=_once)
    metadata = header.pop("__metadata__", {})
    if any(not isinstance(text, str) for pair in metadata.items() for text in pair):
        raise ValueError("metadata that is no text")
    body, end, tensors = raw[8 + length :], 0, {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"][0]):
        tensors[name] = _tensor(name, entry, body, end)
        end += tensors[name].size
    if end != len(body):
        raise ValueError(f"{len(body) - end} bytes that belong to no array")
    return TensorFile(tensors, metadata)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _tensor(name: str, entry: Mapping[str, Any], body: bytes, start: int) -> Tensor:
    shape, (low, high) = entry["shape"], entry["data_offsets"]
    numbers = [*shape, low, high]
    if entry["dtype"] != "I8" or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"array {name!r} is not of signed bytes")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError(f"array {name!r} has shape or place {numbers}")
    size = 1
    for number in shape:
        size *= number
    if low != start or high - low != size or high > len(body):
        raise ValueError(f"array {name!r} of shape {shape} does not fit at {low} to {high}")
    return np.frombuffer(body, np.int8, size, low).reshape(shape)

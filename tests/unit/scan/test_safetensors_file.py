import json
from typing import Any

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.scan.safetensors_file import MAX_FILE_BYTES, read_tensors, write_tensors

TENSORS = {"b": np.arange(-3, 3, dtype=np.int8).reshape(2, 3), "a": np.array([7], np.int8)}


def raw(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_what_is_written_is_read() -> None:
    file = read_tensors(write_tensors(TENSORS, {"x": "y"}), "test")
    assert file.metadata == {"x": "y"}
    assert {name: tensor.tolist() for name, tensor in file.tensors.items()} == {
        "a": [7],
        "b": [[-3, -2, -1], [0, 1, 2]],
    }


def test_the_package_that_defines_the_format_reads_it_and_is_read() -> None:
    numpy_safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    theirs = numpy_safetensors.load(write_tensors(TENSORS, {"x": "y"}))
    assert {name: tensor.tolist() for name, tensor in theirs.items()} == {n: t.tolist() for n, t in TENSORS.items()}
    ours = read_tensors(numpy_safetensors.save(TENSORS, {"k": "v"}), "test")
    assert ours.metadata == {"k": "v"} and ours.tensors["b"].tolist() == TENSORS["b"].tolist()


def entry(low: Any = 0, high: Any = 1, shape: Any = (1,), dtype: str = "I8", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [low, high], **more}


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "0 bytes"),
        (b"\0" * (MAX_FILE_BYTES + 1), "bytes; between"),
        ((2**63).to_bytes(8, "little") + b"{}", "a header of"),
        (raw(b"[]" + b" " * 6), "damaged"),
        (raw(b'{"a":1,"a":2}'), "twice"),
        (raw(b"[" * 15_000), "damaged"),
        (raw({"a": entry(dtype="F32")}, b"\0"), "not of signed bytes"),
        (raw({"a": entry(extra=1)}, b"\0"), "not of signed bytes"),
        (raw({"a": entry(high=2)}, b"\0\0"), "does not fit"),
        (raw({"a": entry()}, b""), "does not fit"),
        (raw({"a": entry(), "b": entry()}, b"\0"), "does not fit"),
        (raw({"a": entry(shape=[-1, -1])}, b"\0"), "has shape"),
        (raw({"a": entry(shape=[1.0])}, b"\0"), "has shape"),
        (raw({"a": entry(shape=[True])}, b"\0"), "has shape"),
        (raw({"a": entry(shape=[2**40, 2**40], high=2**80)}, b"\0"), "does not fit"),
        (raw({"a": entry()}, b"\0\0"), "belong to no array"),
        (raw({"__metadata__": {"x": 1}}), "no text"),
        (raw({"__metadata__": 3}), "damaged"),
    ],
)
def test_a_hostile_file_is_refused_with_its_name(file: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=r"weights test.*") as caught:
        read_tensors(file, "test")
    assert said in str(caught.value)

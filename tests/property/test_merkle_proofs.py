"""Merkle trees against the recursive definition of RFC 6962 section 2.1, and proofs that prove nothing else."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.storage.merkle import check_proof, proof, root

pytestmark = pytest.mark.property
LEAVES = st.lists(st.binary(max_size=40), max_size=40)


def split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH of the RFC, word for word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\1" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def audit_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of the RFC, word for word."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*audit_path(m, leaves[:k]), tree_hash(leaves[k:])]
    return [*audit_path(m - k, leaves[k:]), tree_hash(leaves[:k])]


@given(LEAVES)
def test_root_and_proofs_are_those_of_the_rfc(leaves: list[bytes]) -> None:
    top = tree_hash(leaves)
    assert root(leaves) == top
    for index, leaf in enumerate(leaves):
        path = proof(leaves, index)
        assert path == audit_path(index, leaves)
        assert check_proof(leaf, index, len(leaves), path, top)


@given(LEAVES.filter(bool), st.data())
def test_a_proof_proves_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path, top, size = proof(leaves, index), root(leaves), len(leaves)
    other = data.draw(st.binary(max_size=40).filter(lambda leaf: leaf != leaves[index]))
    assert not check_proof(other, index, size, path, top)
    assert not check_proof(leaves[index], index, size, path, sha256(top).digest())
    assert not check_proof(leaves[index], index, size, [*path, top], top)
    assert not path or not check_proof(leaves[index], index, size, path[:-1], top)
    wrong = data.draw(st.integers(-2, size + 2).filter(lambda at: at != index))
    assert not check_proof(leaves[index], wrong, size, path, top) or leaves[wrong] == leaves[index]


def test_a_node_does_not_pass_for_a_leaf() -> None:
    leaves = [b"a", b"b", b"c", b"d"]
    left = sha256(b"\0a").digest() + sha256(b"\0b").digest()
    right = sha256(b"\1" + sha256(b"\0c").digest() + sha256(b"\0d").digest()).digest()
    assert not check_proof(left, 0, 2, [right], root(leaves))


def test_no_leaf_has_no_proof() -> None:
    with pytest.raises(IndexError, match="no leaf 2 among 2"):
        proof([b"a", b"b"], 2)

"""Merkle trees as in RFC 6962 section 2.1: one root for many leaves, and short proofs that a leaf is among them.

Leaf hash: sha256(0x00 | leaf). Node hash: sha256(0x01 | left | right). The left side holds the largest power of two of
leaves that is smaller than the whole. No leaves: sha256 of nothing.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256


class RootBuilder:
    """The root of leaves that come one by one, in memory that grows with the logarithm of their number."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Append a leaf."""
        found = sha256(b"\x00" + leaf).digest()
        size = self.size
        while size & 1:
            found = sha256(b"\x01" + self._peaks.pop() + found).digest()
            size >>= 1
        self._peaks.append(found)
        self.size += 1

    def root(self) -> bytes:
        """The root of what was added so far."""
        if not self._peaks:
            return sha256(b"").digest()
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = sha256(b"\x01" + peak + found).digest()
        return found


def root(leaves: Iterable[bytes]) -> bytes:
    """Root of the tree over the leaves, 32 bytes."""
    builder = RootBuilder()
    for leaf in leaves:
        builder.add(leaf)
    return builder.root()


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes beside the path from leaf `index` to the root, lowest first; raises IndexError for no such leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} among {len(leaves)}")
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    path = []
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level = [
            sha256(b"\x01" + level[at] + level[at + 1]).digest() if at + 1 < len(level) else level[at]
            for at in range(0, len(level), 2)
        ]
        index //= 2
    return path


def check_proof(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether `path` proves that `leaf` is number `index` of the `size` leaves under the root (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    found, at, last = sha256(b"\x00" + leaf).digest(), index, size - 1
    for beside in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = sha256(b"\x01" + beside + found).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = sha256(b"\x01" + found + beside).digest()
        at, last = at >> 1, last >> 1
    return last == 0 and found == expected_root

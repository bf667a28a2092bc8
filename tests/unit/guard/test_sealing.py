"""What is sealed opens under its own name, purpose and key only."""

from pathlib import Path

import pytest

from backstay.errors import IntegrityError
from backstay.guard.ledger import Ledger
from backstay.guard.sealing import Seals


def test_sealed_content_opens_as_what_it_was_named_and_no_other_way(tmp_path: Path) -> None:
    with (
        Ledger.open(tmp_path / "a.db", keys_dir=tmp_path / "a") as ledger,
        Ledger.open(tmp_path / "b.db", keys_dir=tmp_path / "b") as other,
    ):
        seals = Seals(ledger, "secrets of webhooks")
        sealed = seals.seal(b"whsec", "hook-1")
        assert b"whsec" not in sealed
        assert seals.seal(b"whsec", "hook-1") != sealed
        assert Seals(ledger, "secrets of webhooks").open(sealed, "hook-1") == b"whsec"
        for opener, content, name in (
            (seals, sealed, "hook-2"),
            (Seals(ledger, "kept answers"), sealed, "hook-1"),
            (Seals(other, "secrets of webhooks"), sealed, "hook-1"),
            (seals, sealed[:-1] + bytes([sealed[-1] ^ 1]), "hook-1"),
            (seals, sealed[:5], "hook-1"),
        ):
            with pytest.raises(IntegrityError, match="changed on disk"):
                opener.open(content, name)

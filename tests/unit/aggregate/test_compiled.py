from pathlib import Path

import numpy as np

from backstay.aggregate.compiled import SLICES, drop_stale_kernels, over_slices


def test_a_changed_source_drops_every_kept_kernel(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("a = 1")
    (tmp_path / "part" / "__pycache__").mkdir(parents=True)
    (tmp_path / "part" / "two.py").write_text("b = 1")
    assert drop_stale_kernels(tmp_path)
    kept = tmp_path / "part" / "__pycache__" / "two.f-1.py311.1.nbc"
    kept.write_bytes(b"old")
    assert not drop_stale_kernels(tmp_path)
    assert kept.exists()
    (tmp_path / "one.py").write_text("a = 2")
    assert drop_stale_kernels(tmp_path)
    assert not kept.exists()


def test_slices_cover_everything_once_and_come_in_order() -> None:
    for size in (0, 1, 7, 8, 1000, 50_001):
        for threads in (1, 2):
            parts = over_slices(size, lambda k, low, high: (k, np.arange(low, high)), threads)
            assert [k for k, _ in parts] == list(range(SLICES))
            assert np.array_equal(np.concatenate([part for _, part in parts]), np.arange(size))

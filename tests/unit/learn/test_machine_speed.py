import dataclasses
import itertools
import types

import pytest
import torch
from tiny_loop import load_tiny

from backstay.learn import machine_speed
from backstay.learn.machine_speed import MachineSpeed, fastest, line_through, measure_machine
from backstay.learn.models.architecture import Architecture


def test_a_line_through_two_measurements() -> None:
    assert line_through(8, 1.8, 64, 7.4) == pytest.approx((0.1, 1.0))


def test_noise_never_makes_a_cost_negative() -> None:
    assert line_through(8, 3.0, 64, 2.0) == (0.0, 2.0)
    slope, intercept = line_through(8, 0.1, 64, 6.4)
    assert (slope, intercept) == pytest.approx((0.1, 0.0))


def test_the_fastest_run_counts_and_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.accumulate([0.0, 5.0, 1.0, 2.0, 1.0, 9.0])
    monkeypatch.setattr(machine_speed, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    runs: list[int] = []
    assert fastest(lambda: runs.append(0), torch.device("cpu")) == 2.0
    assert len(runs) == 4


def test_every_part_of_the_tiny_model_is_measured() -> None:
    speed = measure_machine(load_tiny().decoder.architecture, rank=4)
    assert isinstance(speed, MachineSpeed)
    values = dataclasses.asdict(speed)
    assert all(0 <= value < 0.1 for value in values.values())
    assert all(values[name] > 0 for name in ("prefill_s", "train_s", "head_s", "head_train_s"))
    assert speed.train_s > speed.prefill_s


@pytest.mark.parametrize("changes", [{"attention_bias": True}, {"query_key_norm": True}, {"tie_embeddings": False}])
def test_other_members_of_the_family_are_measured_too(changes: dict[str, bool]) -> None:
    architecture = Architecture("qwen3", 300, 32, 64, 2, 4, 2, 8)
    assert measure_machine(dataclasses.replace(architecture, **changes), rank=2).train_s > 0  # type: ignore[arg-type]  # flags

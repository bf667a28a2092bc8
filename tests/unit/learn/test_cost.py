import dataclasses
import random

import pytest
import torch

from backstay.learn import ModelSettings, PpoSettings, RewardSettings, SampleSettings, SftSettings
from backstay.learn.cost import (
    RESPONSE_SHARE,
    ROWS_KEPT,
    Base,
    Estimate,
    decode_seconds,
    evaluate_cost,
    lora_weights,
    ppo_cost,
    reward_cost,
    sample_cost,
    sampling_seconds,
    sft_cost,
    widest,
)
from backstay.learn.machine_speed import MachineSpeed
from backstay.learn.models.architecture import Architecture
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import new_adapter

SMOL = Architecture("llama", 49152, 576, 1536, 30, 9, 3, 64)
SPEED = MachineSpeed(
    prefill_s=1e-4, train_s=3e-4, row_s=1.5e-4, call_s=1e-3, adapter_s=5e-4, head_s=1e-3, head_train_s=3e-3
)
BASE = Base(SMOL, 20, 16, full=False, speed=SPEED)
PROMPTS = [28] * 225
REWARD = RewardSettings()


def changed(**fields: object) -> Base:
    return dataclasses.replace(BASE, **fields)  # type: ignore[arg-type]  # the test names fields


def faster(factor: float) -> Base:
    return changed(speed=MachineSpeed(**{name: value / factor for name, value in vars(SPEED).items()}))


def test_weights_of_smollm2_are_those_of_its_card() -> None:
    # 134,515,008 parameters, of which 61 norms of 576 are left out here.
    assert BASE.weight_bytes == 4 * (134_515_008 - 61 * 576)


def test_lora_weights_equal_those_of_an_adapter(model: LanguageModel) -> None:
    architecture = model.decoder.architecture
    adapter = new_adapter(model.decoder, ModelSettings(lora_rank=8), "a", (), torch.Generator())
    layers = architecture.n_layers - model.decoder.branch_layer
    assert layers * lora_weights(architecture, 8) == sum(p.numel() for p in adapter.parameters())


def test_the_widest_of_a_batch_is_near_the_mean_of_simulated_maxima() -> None:
    draw = random.Random(0)
    lengths = [draw.randrange(20, 200) for _ in range(500)]
    simulated = sum(max(draw.sample(lengths, 24)) for _ in range(400)) / 400
    assert abs(widest(lengths, 24) - simulated) < 4
    assert widest([7], 48) == 7 and widest(lengths, 10_000) == max(lengths)


def test_decoding_by_hand() -> None:
    rows = 0.65 * 1.15 * 48 * 24
    expected = 24 * (30 * 1e-3 + 2 * 10 * 5e-4) + rows * (30 * 1.5e-4 + 1e-3)
    assert decode_seconds(BASE, 48, 24, adapters=2) == pytest.approx(expected)
    assert (RESPONSE_SHARE, ROWS_KEPT) == (0.65, 1.15)


def test_sampling_reads_equal_prompts_once_and_sorts_by_length() -> None:
    # Eight jobs of two batches: prompts 10, 20 and prompts 30, 40, each with two responses.
    seconds = sampling_seconds(BASE, [40, 10, 30, 20], 2, 24, 4, adapters=1)
    prefill = (2 * 20 + 2 * 40) * 30 * 1e-4
    assert seconds == pytest.approx(prefill + 2 * decode_seconds(BASE, 4, 24, 1))


def test_a_ppo_run_by_hand() -> None:
    settings = PpoSettings(updates=1, checkpoint_every=2, temperature=1.0)
    found = ppo_cost(BASE, PROMPTS, REWARD, settings)
    passed = 48 * (28 + 0.85 * 24)
    rollout = 48 * 28 * 30 * 1e-4 + decode_seconds(BASE, 48, 24, 1)
    rollout += passed * 10 * 1e-4 + 48 * 24 * 0.65 * 1e-3 + 48 * 4 * 1.5e-4
    epoch = passed * 10 * 3e-4 + 48 * 24 * 0.65 * 3e-3 + 2 * (0.008 + 4e-9 * BASE.trained_weights)
    assert found.seconds == pytest.approx(1.5 + 2 * rollout + 2 * epoch)
    assert found.disk_bytes == 4 * (10 * lora_weights(SMOL, 16) + 128 * 576)


def test_sft_by_hand() -> None:
    settings = SftSettings(epochs=1, batch_size=16, checkpoint_every=1000)
    found = sft_cost(BASE, [30] * 32, [20] * 32, settings)
    step = 16 * 50 * 10 * 3e-4 + 16 * 20 * 3e-3 + 0.008 + 4e-9 * BASE.trained_weights
    assert found.seconds == pytest.approx(1.5 + 32 * 50 * 20 * 1e-4 + 2 * step)


def every_stage(base: Base) -> list[Estimate]:
    return [
        sample_cost(base, PROMPTS, SampleSettings()),
        sft_cost(base, PROMPTS[:96], [17] * 96, SftSettings()),
        reward_cost(base, PROMPTS, 900, 24, 1350, REWARD),
        ppo_cost(base, PROMPTS, REWARD, PpoSettings()),
        evaluate_cost(base, PROMPTS[:75], 2, 24, 96, REWARD),
    ]


def test_a_machine_twice_as_fast_takes_no_more_than_the_rest_of_the_time() -> None:
    for slow, quick in zip(every_stage(BASE), every_stage(faster(2)), strict=True):
        assert slow.seconds / 2 < quick.seconds < slow.seconds
        assert (slow.peak_bytes, slow.disk_bytes) == (quick.peak_bytes, quick.disk_bytes)


def test_every_stage_costs_more_with_more_of_what_it_is_made_of() -> None:
    for few, more in (
        (sample_cost(BASE, PROMPTS, SampleSettings()), sample_cost(BASE, PROMPTS, SampleSettings(responses=8))),
        (
            sft_cost(BASE, PROMPTS, PROMPTS, SftSettings(epochs=1)),
            sft_cost(BASE, PROMPTS, PROMPTS, SftSettings(epochs=2)),
        ),
        (
            reward_cost(BASE, PROMPTS, 900, 24, 1350, REWARD),
            reward_cost(BASE, PROMPTS, 900, 24, 1350, RewardSettings(layers=2)),
        ),
        (
            reward_cost(BASE, PROMPTS, 900, 24, 1350, REWARD),
            reward_cost(BASE, PROMPTS, 900, 24, 1350, RewardSettings(folds=5)),
        ),
        (
            ppo_cost(BASE, PROMPTS, REWARD, PpoSettings(updates=2)),
            ppo_cost(BASE, PROMPTS, REWARD, PpoSettings(updates=3)),
        ),
    ):
        assert more.seconds > few.seconds


def test_no_layers_of_reward_at_branch_0_mean_all() -> None:
    assert BASE.member_layers(REWARD) == 0
    assert changed(branch_layer=0).member_layers(REWARD) == 30
    assert BASE.member_layers(RewardSettings(layers=99)) == 10


def test_memory_grows_with_what_is_held_at_once() -> None:
    small, large = (
        ppo_cost(BASE, PROMPTS, REWARD, PpoSettings(episodes=48, micro_batch=m)).peak_bytes for m in (8, 48)
    )
    assert large > small + 4 * 40 * 48 * 10 * 14 * 576
    every = changed(branch_layer=0, full=True)
    # Weights, a copy that is trained, its reference, gradient and two moments.
    assert ppo_cost(every, PROMPTS, REWARD, PpoSettings()).peak_bytes > 6 * BASE.weight_bytes

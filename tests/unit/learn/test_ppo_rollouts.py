import pytest
import torch
from tiny_ppo import BASELINE, Round, play

from backstay.learn import PpoSettings
from backstay.learn.kl import k3
from backstay.learn.rl.rollouts import final_score


@pytest.fixture(scope="module")
def drifted() -> Round:
    return play(drift=0.1)


@pytest.mark.parametrize("train", ["lora", "full"])
@pytest.mark.parametrize("branch_layer", [0, 1])
def test_a_fresh_policy_has_no_kl_at_any_token(branch_layer: int, train: str) -> None:
    fresh = play(branch_layer=branch_layer, train=train).experience
    assert fresh.kl_B_R.abs().max() < 1e-10
    assert k3(fresh.rollout.logprob_B_R, fresh.reference_B_R).abs().max() < 1e-10
    assert abs(fresh.kl_nats) < 1e-10


def test_a_fresh_policy_has_no_kl_in_float32_either() -> None:
    fresh = play(torch.float32).experience
    assert fresh.kl_B_R.abs().max() < 1e-5
    assert k3(fresh.rollout.logprob_B_R, fresh.reference_B_R).abs().max() < 1e-5


def test_kl_is_summed_over_response_tokens_and_averaged_over_responses(drifted: Round) -> None:
    experience = drifted.experience
    sums = []
    for row, length in enumerate(experience.rollout.dialogues.response_B.tolist()):
        policy, reference = experience.rollout.logprob_B_R[row], experience.reference_B_R[row]
        sums.append(sum(float(policy[t] - reference[t]) for t in range(length)))
    assert experience.kl_nats == pytest.approx(sum(sums) / len(sums), abs=1e-10)
    assert abs(experience.kl_nats) > 0.1


def test_a_round_is_put_together_as_by_hand(drifted: Round) -> None:
    """Scores, rewards, values, advantages and returns of every row, by loops over plain passes."""
    model, settings, experience = drifted.model, drifted.settings, drifted.experience
    dialogues, finished = experience.rollout.dialogues, experience.rollout.finished_B.tolist()
    advantages: list[list[float]] = []
    for row, length in enumerate(dialogues.response_B.tolist()):
        one = dialogues.rows(torch.tensor([row]))
        one = one.columns(one.used_columns())
        branch = model.decoder.trunk(one.tokens_B_T, one.mask_B_T)
        with torch.no_grad():
            raw = [float(member(model.decoder, one, branch)[0]) for member in drifted.members]
            value = drifted.value(branch)[0, one.prompt_width - 1 :].tolist()
        mean = sum(raw) / 3
        deviation = (sum((x - mean) ** 2 for x in raw) / 3) ** 0.5
        score = max(-5.0, min(5.0, mean - 0.5 * deviation - BASELINE[row])) - (0.0 if finished[row] else 1.0)
        assert float(experience.score_B[row]) == pytest.approx(score, abs=1e-10)
        assert float(experience.raw_score_B[row]) == pytest.approx(mean, abs=1e-10)
        assert float(experience.spread_B[row]) == pytest.approx(deviation, abs=1e-10)
        reward = [-0.3 * float(kl) for kl in experience.kl_B_R[row, :length]]
        reward[-1] += score
        after = [*value[:length], 0.0 if finished[row] else value[length]]
        found = []
        for start in range(length):
            terms = range(start, length)
            found.append(sum(0.95 ** (t - start) * (reward[t] + after[t + 1] - after[t]) for t in terms))
            returned = float(experience.return_B_R[row, start])
            assert returned == pytest.approx(found[-1] + value[start], abs=1e-10)
        advantages.append(found)
    every = [x for found in advantages for x in found]
    mean = sum(every) / len(every)
    variance = sum((x - mean) ** 2 for x in every) / len(every)
    for row, found in enumerate(advantages):
        white = [(x - mean) / (variance + 1e-8) ** 0.5 for x in found]
        assert experience.advantage_B_R[row, : len(found)].tolist() == pytest.approx(white, abs=1e-9)
        assert experience.advantage_B_R[row, len(found) :].abs().sum() == 0
    assert settings.uncertainty_penalty == 0.5 and settings.reward_clip == 5.0
    assert {True, False} == set(finished)


@pytest.mark.parametrize("micro_batch", [1, 5, 12])
def test_micro_batches_do_not_change_the_experience(drifted: Round, micro_batch: int) -> None:
    other = play(drift=0.1, micro_batch=micro_batch).experience
    for name in ("score_B", "reference_B_R", "advantage_B_R", "return_B_R"):
        assert (getattr(other, name) - getattr(drifted.experience, name)).abs().max() < 1e-10


@pytest.mark.parametrize("train", ["lora", "full"])
@pytest.mark.parametrize("branch_layer", [0, 1])
def test_a_reference_folded_into_the_weights_gives_the_same_round(branch_layer: int, train: str) -> None:
    stacked = play(drift=0.1, branch_layer=branch_layer, train=train)
    folded = play(drift=0.1, branch_layer=branch_layer, train=train, fold=True).experience
    assert torch.equal(folded.rollout.dialogues.tokens_B_T, stacked.experience.rollout.dialogues.tokens_B_T)
    for name in ("score_B", "reference_B_R", "kl_B_R", "advantage_B_R", "return_B_R"):
        assert (getattr(folded, name) - getattr(stacked.experience, name)).abs().max() < 1e-9


def test_nothing_in_the_experience_carries_gradients(drifted: Round) -> None:
    experience = drifted.experience
    assert not any(tensor.requires_grad for tensor in vars(experience).values() if isinstance(tensor, torch.Tensor))


@pytest.mark.parametrize(
    ("clip", "penalty", "wanted"),
    [
        (5.0, 1.0, [5.0, 4.0, -5.0, -6.0, 0.5, -0.5]),
        (0.0, 1.0, [9.0, 8.0, -9.0, -10.0, 0.5, -0.5]),
        (5.0, 0.0, [5.0, 5.0, -5.0, -5.0, 0.5, 0.5]),
        (0.0, 0.0, [9.0, 9.0, -9.0, -9.0, 0.5, 0.5]),
        (0.25, 3.0, [0.25, -2.75, -0.25, -3.25, 0.25, -2.75]),
    ],
)
def test_the_score_is_bounded_first_and_penalised_after(clip: float, penalty: float, wanted: list[float]) -> None:
    raw = torch.tensor([9.0, 9.0, -9.0, -9.0, 0.5, 0.5])
    finished = torch.tensor([True, False] * 3)
    settings = PpoSettings(reward_clip=clip, no_eos_penalty=penalty)
    assert final_score(raw, finished, settings).tolist() == wanted

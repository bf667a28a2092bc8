"""A round of experience, put together again by hand."""

from functools import cache

import pytest
import torch
from tiny_ppo import KL_COEFFICIENT, MULTIPLIER, VARIANTS, Failing, Round, play

from backstay.learn.batches import Dialogues
from backstay.learn.kl import k3
from backstay.learn.models.decoder import Decoder
from backstay.learn.rl.rollouts import COST, REWARD, Experience
from backstay.learn.rl.scorers import Scorer


@cache
def drifted(variant: str = "ppo") -> Round:
    return play(drift=0.1, **VARIANTS[variant])


def learned_from(experience: Experience) -> dict[str, torch.Tensor]:
    """Every tensor of an experience, by name."""
    found = {name: x for name, x in vars(experience).items() if isinstance(x, torch.Tensor)}
    for name, values in experience.values.items():
        found |= {f"{name}.{part}": x for part, x in vars(values).items()}
    return found


def furthest(first: Experience, second: Experience) -> float:
    one, two = learned_from(first), learned_from(second)
    assert one.keys() == two.keys()
    return max(float((one[name] - two[name]).abs().max()) for name in one if one[name].numel() and name != "valid_B")


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


def test_kl_is_summed_over_response_tokens_and_averaged_over_responses() -> None:
    experience = drifted().experience
    sums = []
    for row, length in enumerate(experience.rollout.dialogues.response_B.tolist()):
        policy, reference = experience.rollout.logprob_B_R[row], experience.reference_B_R[row]
        sums.append(sum(float(policy[t] - reference[t]) for t in range(length)))
    assert experience.kl_nats == pytest.approx(sum(sums) / len(sums), abs=1e-10)
    assert abs(experience.kl_nats) > 0.1


def scores_by_hand(played: Round, row: int) -> tuple[list[float], list[float], dict[str, list[float]]]:
    """Rewards and costs of a row, and values of its every prefix, from passes over that row alone."""
    dialogues = played.experience.rollout.dialogues.rows(torch.tensor([row]))
    one = dialogues.columns(dialogues.used_columns())
    decoder = played.model.decoder
    with torch.no_grad():
        branch = decoder.trunk(one.tokens_B_T, one.mask_B_T)
        raw = [float(member(decoder, one, branch)[0]) for member in played.members]
        cost = [float(member(decoder, one, branch)[0]) for member in played.costs]
        values = {name: critic(decoder, one, branch)[0].tolist() for name, critic in played.critics.items()}
    return raw, cost, values


def gae_by_hand(rewards: list[float], values: list[float], finished: bool) -> list[float]:
    length = len(rewards)
    after = [*values[:length], 0.0 if finished else values[length]]
    errors = [rewards[t] + after[t + 1] - after[t] for t in range(length)]
    return [sum(0.95 ** (t - start) * errors[t] for t in range(start, length)) for start in range(length)]


def whitened(found: list[list[float]]) -> list[list[float]]:
    every = [x for row in found for x in row]
    mean = sum(every) / len(every)
    variance = sum((x - mean) ** 2 for x in every) / len(every)
    return [[(x - mean) / (variance + 1e-8) ** 0.5 for x in row] for row in found]


def advantages_by_hand(played: Round) -> list[list[float]]:
    """Advantages of a whole round, each algorithm straight from its paper.

    A constraint is put into the reward, the values and the score in one, by linearity: the KL penalty is never scaled.
    """
    experience, settings = played.experience, played.settings
    finished = experience.rollout.finished_B.tolist()
    lengths = experience.rollout.dialogues.response_B.tolist()
    share = MULTIPLIER / (1 + MULTIPLIER) if played.costs else 0.0
    totals, rewards, values = [], [], []
    for row, length in enumerate(lengths):
        raw, cost, known = scores_by_hand(played, row)
        mean = sum(raw) / 3
        deviation = (sum((x - mean) ** 2 for x in raw) / 3) ** 0.5
        score = max(-5.0, min(5.0, mean - 0.5 * deviation - played.baseline(row))) - (0.0 if finished[row] else 1.0)
        assert float(experience.score_B[row]) == pytest.approx(score, abs=1e-10)
        assert float(experience.spread_B[row]) == pytest.approx(deviation, abs=1e-10)
        assert experience.raw_M_B[:, row].tolist() == pytest.approx(raw, abs=1e-10)
        assert experience.cost_M_B[:, row].tolist() == pytest.approx(cost, abs=1e-10)
        score = (1 - share) * score - share * sum(cost)
        penalty = [KL_COEFFICIENT * float(kl) for kl in experience.kl_B_R[row, :length]]
        rewards.append([-x for x in penalty])
        rewards[-1][-1] += score
        totals.append(sum(rewards[-1]))
        if known:
            costly = known.get(COST, [0.0] * len(known[REWARD]))
            values.append([(1 - share) * v - share * c for v, c in zip(known[REWARD], costly, strict=True)])
    if settings.algorithm == "ppo":
        return whitened([gae_by_hand(*x) for x in zip(rewards, values, finished, strict=True)])
    if settings.algorithm == "reinforce++":
        return whitened([[sum(row[t:]) for t in range(len(row))] for row in rewards])
    made = []
    for row, length in enumerate(lengths):
        others = [totals[i] for i in range(12) if i // 3 == row // 3 and i != row]
        whole = [*others, totals[row]]
        mean = sum(whole) / 3
        deviation = (sum((x - mean) ** 2 for x in whole) / 2) ** 0.5
        loo, standard = totals[row] - sum(others) / 2, (totals[row] - mean) / (deviation + 1e-4)
        made.append([loo if settings.algorithm == "rloo" else standard] * length)
    return made


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_round_is_put_together_as_by_hand(variant: str) -> None:
    played = drifted(variant)
    experience = played.experience
    for row, found in enumerate(advantages_by_hand(played)):
        assert experience.advantage_B_R[row, : len(found)].tolist() == pytest.approx(found, abs=1e-9)
        assert experience.advantage_B_R[row, len(found) :].abs().sum() == 0
    assert played.settings.uncertainty_penalty == 0.5 and played.settings.reward_clip == 5.0
    assert set(experience.rollout.finished_B.tolist()) == {True, False}
    assert experience.valid_B.all()


@pytest.mark.parametrize("variant", ["rloo", "grpo", "reinforce++"])
def test_a_constraint_is_weighed_into_scores_where_there_is_no_critic(variant: str) -> None:
    plain = drifted(variant)
    harm = plain.members[2]
    costly = plain.replay(costs=[harm], cost_threshold=0.0)
    weighed = [(s - MULTIPLIER * c) / (1 + MULTIPLIER) for s, c in zip(costly.score_B, costly.cost_M_B[0], strict=True)]
    assert torch.equal(costly.score_B, plain.experience.score_B)  # what is logged stays the reward

    def same(decoder: Decoder, dialogues: Dialogues, branch_B_T_D: torch.Tensor) -> torch.Tensor:
        every = plain.experience.rollout.dialogues.tokens_B_T
        return torch.stack([weighed[int((every == one).all(1).nonzero()[0])] for one in dialogues.tokens_B_T])

    direct = plain.replay(members=[same], no_eos_penalty=0.0, reward_clip=0.0)
    if variant != "reinforce++":  # the baseline of a prompt is the same for its whole group
        assert (direct.advantage_B_R - costly.advantage_B_R).abs().max() < 1e-9
        return
    to_go = [
        [float(weighed[row] - KL_COEFFICIENT * direct.kl_B_R[row, t:n].sum()) for t in range(n)]
        for row, n in enumerate(direct.rollout.dialogues.response_B.tolist())
    ]
    for row, found in enumerate(whitened(to_go)):
        assert costly.advantage_B_R[row, : len(found)].tolist() == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("multiplier", [0.0, 1.0, 5.0])
def test_lambda_does_not_change_the_weight_of_kl(multiplier: float) -> None:
    """Without whitening: what a KL coefficient adds to the advantage is the same at every multiplier."""
    played = drifted("rloo")

    def advantage(kl_coefficient: float, price: float) -> torch.Tensor:
        costs = [played.members[2]]
        return played.replay(costs=costs, kl_coefficient=kl_coefficient, multiplier=price).advantage_B_R

    added = advantage(0.4, multiplier) - advantage(0.1, multiplier)
    assert (added - (advantage(0.4, 0.3) - advantage(0.1, 0.3))).abs().max() < 1e-10
    assert added.abs().max() > 0.01


def test_the_critics_of_reward_and_cost_see_kl_with_opposite_signs() -> None:
    played = drifted("ppo with cost")
    lengths = played.experience.rollout.dialogues.response_B.tolist()
    finished = played.experience.rollout.finished_B.tolist()
    for row, length in enumerate(lengths):
        _, cost, values = scores_by_hand(played, row)
        kl = [KL_COEFFICIENT * float(x) for x in played.experience.kl_B_R[row, :length]]
        score = float(played.experience.score_B[row])
        for name, sign, last in ((REWARD, -1.0, score), (COST, 1.0, cost[0])):
            rewards = [sign * x for x in kl]
            rewards[-1] += last
            wanted = [
                a + v
                for a, v in zip(gae_by_hand(rewards, values[name], finished[row]), values[name][:length], strict=True)
            ]
            found = played.experience.values[name]
            assert found.return_B_R[row, :length].tolist() == pytest.approx(wanted, abs=1e-9)
            assert found.value_B_R1[row, : length + 1].tolist() == pytest.approx(values[name][: length + 1], abs=1e-9)


def test_kl_in_the_loss_leaves_the_reward_alone() -> None:
    played = drifted("rloo")
    inside = played.replay(kl_in="loss", kl_coefficient=0.4)
    none = played.replay(kl_in="reward", kl_coefficient=0.0)
    assert torch.equal(inside.advantage_B_R, none.advantage_B_R)
    assert torch.equal(inside.kl_B_R, none.kl_B_R)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("micro_batch", [1, 5])
def test_micro_batches_do_not_change_the_experience(variant: str, micro_batch: int) -> None:
    played = drifted(variant)
    assert furthest(played.replay(micro_batch=micro_batch), played.experience) < 1e-10


@pytest.mark.parametrize("train", ["lora", "full"])
@pytest.mark.parametrize("branch_layer", [0, 1])
def test_a_reference_folded_into_the_weights_gives_the_same_round(branch_layer: int, train: str) -> None:
    stacked = play(drift=0.1, branch_layer=branch_layer, train=train)
    folded = play(drift=0.1, branch_layer=branch_layer, train=train, fold=True).experience
    assert torch.equal(folded.rollout.dialogues.tokens_B_T, stacked.experience.rollout.dialogues.tokens_B_T)
    assert furthest(folded, stacked.experience) < 1e-9


@pytest.mark.parametrize("variant", ["ppo", "ppo with cost"])
def test_nothing_in_the_experience_carries_gradients(variant: str) -> None:
    assert not any(tensor.requires_grad for tensor in learned_from(drifted(variant).experience).values())


def test_a_response_without_a_score_from_one_member_or_one_cost_is_not_valid() -> None:
    played = drifted("ppo with cost")
    short, long = (lambda d: d.response_B <= 2), (lambda d: d.response_B >= 9)
    lengths = played.experience.rollout.dialogues.response_B
    members: list[Scorer] = [played.members[0], Failing(played.members[1], short)]
    found = played.replay(members=members, costs=[Failing(played.costs[0], long, float("inf"))])
    assert found.valid_B.tolist() == ((lengths > 2) & (lengths < 9)).tolist()
    assert 0 < int(found.valid_B.sum()) < 12
    assert found.score_B[~found.valid_B].abs().sum() == 0
    assert found.advantage_B_R[~found.valid_B].abs().sum() == 0
    assert found.advantage_B_R.isfinite().all()
    assert all(values.return_B_R.isfinite().all() for values in found.values.values())

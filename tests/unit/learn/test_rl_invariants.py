"""What must hold for every on-policy algorithm, whatever it computes."""

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from tiny_ppo import STOPS, VARIANTS, Failing, Round, advanced, gradients, play, rows_of, widened
from torch import Tensor
from torch.nn import functional

from backstay.learn.batches import Dialogues
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.rl.rollouts import Experience
from backstay.learn.rl.scorers import Scorer

every_algorithm = pytest.mark.parametrize("variant", VARIANTS)
EVERYONE = torch.arange(12)
MIXED = torch.tensor([7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 6, 4])


@cache
def moved(variant: str) -> Round:
    """Experience of a policy that has learned since, so that no ratio is 1."""
    return advanced(play(drift=0.1, **VARIANTS[variant]))


def logprobs(played: Round) -> Tensor:
    """What the policy of now gives to the responses of the round."""
    rollout, adapters = played.experience.rollout, (played.reference, played.policy)
    decoder, dialogues = played.model.decoder, rollout.dialogues
    branch = branch_under(decoder, dialogues, rollout.branch_B_T_D, adapters)
    with torch.no_grad():
        return response_logprobs(decoder, dialogues, branch, adapters, temperature=played.settings.temperature)


def same_step(first: tuple[dict[str, float], Tensor], second: tuple[dict[str, float], Tensor]) -> None:
    """Losses and every gradient agree to rounding, and there is something to agree on."""
    assert first[0] == pytest.approx(second[0], abs=1e-10)
    assert float((first[1] - second[1]).abs().max()) < 1e-10
    assert float(first[1].abs().max()) > 1e-4


@every_algorithm
@pytest.mark.parametrize(("branch_layer", "train"), [(1, "lora"), (0, "full")])
def test_the_first_step_of_a_round_has_ratio_1_and_no_kl(variant: str, branch_layer: int, train: str) -> None:
    """With a policy that has moved away from the reference already: the old policy is the one that sampled."""
    played = play(drift=0.1, branch_layer=branch_layer, train=train, **VARIANTS[variant])
    assert ((logprobs(played) - played.experience.rollout.logprob_B_R).exp() - 1).abs().max() < 1e-10
    (first, *later) = played.learner(kl_stop=0.0).update(played.experience, torch.Generator().manual_seed(0))
    assert abs(first["ratio"] - 1) < 1e-10
    assert abs(first["approx_kl"]) < 1e-10
    assert first["clip_fraction"] == 0
    assert len(later) == 3
    assert all(step["approx_kl"] > 1e-10 for step in later)


@every_algorithm
def test_the_first_step_has_ratio_1_in_float32(variant: str) -> None:
    played = play(torch.float32, drift=0.1, **VARIANTS[variant])
    (first, *_) = played.learner().update(played.experience, torch.Generator().manual_seed(0))
    assert abs(first["ratio"] - 1) < 1e-5
    assert abs(first["approx_kl"]) < 1e-5


@every_algorithm
def test_a_policy_equal_to_the_reference_has_no_kl(variant: str) -> None:
    experience = play(**VARIANTS[variant]).experience
    assert experience.kl_B_R.abs().max() < 1e-10
    assert abs(experience.kl_nats) < 1e-10


@every_algorithm
@pytest.mark.parametrize("temperature", [0.5, 1.7])
def test_the_temperature_divides_in_rollout_reference_and_training_alike(variant: str, temperature: float) -> None:
    played = play(drift=0.1, temperature=temperature, **VARIANTS[variant])
    rollout, decoder = played.experience.rollout, played.model.decoder
    dialogues, row = rollout.dialogues, 4
    one = dialogues.rows(torch.tensor([row]))
    one, length = one.columns(one.used_columns()), int(dialogues.response_B[row])

    def plain(adapters: tuple[Any, ...]) -> Tensor:
        with torch.no_grad():
            hidden = decoder.top(decoder.trunk(one.tokens_B_T, one.mask_B_T), one.mask_B_T, adapters)
            logits = decoder.logits(hidden, adapters)[0, one.prompt_width - 1 : -1]
        return functional.log_softmax(logits / temperature, -1).gather(1, one.responses_B_R[0][:, None])[:, 0]

    sampled, reference = plain((played.reference, played.policy)), plain((played.reference,))
    assert (rollout.logprob_B_R[row, :length] - sampled).abs().max() < 1e-10
    assert (played.experience.reference_B_R[row, :length] - reference).abs().max() < 1e-10
    (first, *_) = played.learner().update(played.experience, torch.Generator().manual_seed(0))
    assert abs(first["ratio"] - 1) < 1e-10


@every_algorithm
@pytest.mark.parametrize("micro_batch", [1, 5])
def test_micro_batches_change_neither_loss_nor_gradient(variant: str, micro_batch: int) -> None:
    played = moved(variant)
    whole = gradients(played, played.experience, EVERYONE, micro_batch=12)
    same_step(whole, gradients(played, played.experience, EVERYONE, micro_batch=micro_batch))


@every_algorithm
def test_the_order_of_responses_changes_neither_loss_nor_gradient(variant: str) -> None:
    played = moved(variant)
    plain = gradients(played, played.experience, EVERYONE, micro_batch=5)
    same_step(plain, gradients(played, played.experience, MIXED, micro_batch=5))


@every_algorithm
def test_the_order_of_prompts_and_of_answers_to_one_prompt_changes_nobodys_advantage(variant: str) -> None:
    played = moved(variant)
    group = played.settings.group
    order = MIXED if group == 1 else torch.tensor([8, 6, 7, 1, 0, 2, 9, 11, 10, 5, 3, 4])
    shuffled = played.replay(rows_of(played.experience.rollout, order), order)
    for name in ("advantage_B_R", "score_B", "reference_B_R"):
        assert (getattr(shuffled, name) - getattr(played.replay(), name)[order]).abs().max() < 1e-10


@every_algorithm
@pytest.mark.parametrize(("left", "right"), [(4, 0), (0, 5), (2, 3)])
def test_padding_changes_neither_experience_nor_loss_nor_gradient(variant: str, left: int, right: int) -> None:
    played = moved(variant)
    plain, wide = played.replay(), played.replay(widened(played.experience.rollout, left, right))
    columns = plain.advantage_B_R.shape[1]
    assert (wide.advantage_B_R[:, :columns] - plain.advantage_B_R).abs().max() < 1e-10
    assert right == 0 or wide.advantage_B_R[:, columns:].abs().max() == 0
    rows = torch.tensor([3, 0, 11, 6, 8])
    same_step(gradients(played, plain, rows, micro_batch=2), gradients(played, wide, rows, micro_batch=2))


@every_algorithm
def test_masks_come_from_lengths_and_never_from_tokens(variant: str) -> None:
    """Padding and stop tokens as the very tokens of a response, and response tokens as padding: lengths decide."""
    played = moved(variant)
    rollout, dialogues = played.experience.rollout, played.experience.rollout.dialogues
    tokens, inside = dialogues.tokens_B_T.clone(), dialogues.response_mask_B_R
    responses = tokens[:, dialogues.prompt_width :]
    responses[inside] = torch.where(torch.arange(int(inside.sum())) % 2 == 0, played.model.pad_id, STOPS[0])
    disguised = Dialogues(tokens, dialogues.prompt_B, dialogues.response_B, dialogues.prompt_width)
    experience = played.replay(dataclasses.replace(rollout, dialogues=disguised))
    means, found = gradients(played, experience, EVERYONE)
    assert means["tokens"] == int(dialogues.response_B.sum())
    assert experience.learned_B_R.tolist() == inside.tolist()
    assert (experience.reference_B_R != 0).tolist() == inside.tolist()
    padding = torch.where(dialogues.mask_B_T, tokens, 55)
    other = Dialogues(padding, dialogues.prompt_B, dialogues.response_B, dialogues.prompt_width)
    repadded = played.replay(dataclasses.replace(rollout, dialogues=other))
    same_step((means, found), gradients(played, repadded, EVERYONE))


@every_algorithm
def test_the_loss_is_normalised_by_the_tokens_or_responses_of_the_whole_step(variant: str) -> None:
    """Two halves of a step, weighed by what each holds, add up to the step: never a mean of means."""
    played = moved(variant)
    learner = played.learner()
    length = played.experience.rollout.dialogues.response_B
    order = torch.argsort(length, stable=True)
    parts = (order[:5], order[5:])
    share = [float(length[rows].sum()) / float(length.sum()) for rows in parts]
    policy_share = share if learner.average_level == "token" else [5 / 12, 7 / 12]
    whole, whole_gradient = gradients(played, played.experience, EVERYONE)
    halves = [gradients(played, played.experience, rows) for rows in parts]
    loss = sum(w * means["policy_loss"] for w, (means, _) in zip(policy_share, halves, strict=True))
    assert whole["policy_loss"] == pytest.approx(loss, abs=1e-10)
    for name in played.critics:
        value_loss = sum(w * means[f"{name}_loss"] for w, (means, _) in zip(share, halves, strict=True))
        assert whole[f"{name}_loss"] == pytest.approx(value_loss, abs=1e-10)
    count = sum(p.numel() for p in played.policy.parameters())
    gradient = policy_share[0] * halves[0][1][:count] + policy_share[1] * halves[1][1][:count]
    assert (gradient - whole_gradient[:count]).abs().max() < 1e-10
    assert abs(share[0] - 5 / 12) > 0.01


@every_algorithm
def test_likelier_where_the_advantage_was_positive(variant: str) -> None:
    played = play(learning_rate=0.01, kl_stop=0.0, epochs=1, minibatches=1, **VARIANTS[variant])
    experience = played.experience
    played.learner().update(experience, torch.Generator().manual_seed(0))
    gain = (logprobs(played) - experience.rollout.logprob_B_R) * experience.advantage_B_R
    assert float(gain[experience.mask_B_R].mean()) > 0


def without(kept: Callable[[Dialogues], Tensor], played: Round, broken: float) -> tuple[Experience, Experience]:
    """A round whose first member gives no score to some, and the round of the others alone."""
    failing = Failing(played.members[0], lambda dialogues: ~kept(dialogues), broken)
    rows = kept(played.experience.rollout.dialogues).nonzero()[:, 0]
    assert 0 < len(rows) < 12
    members: list[Scorer] = [failing, *played.members[1:]]
    return played.replay(members=members), played.replay(rows_of(played.experience.rollout, rows), rows)


@every_algorithm
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_rows_without_a_score_leave_the_gradient_of_the_others(variant: str, broken: float) -> None:
    """Whole groups fail where algorithms compare within them; elsewhere single rows do."""
    played = moved(variant)
    grouped = played.settings.group > 1
    some, alone = without((lambda d: d.prompt_B != 4) if grouped else (lambda d: d.response_B > 2), played, broken)
    found, wanted = gradients(played, some, EVERYONE), gradients(played, alone, torch.arange(len(alone.score_B)))
    assert found[0]["tokens"] == int(alone.mask_B_R.sum()) < int(played.experience.mask_B_R.sum())
    same_step(found, wanted)


@pytest.mark.parametrize("variant", ["rloo", "grpo"])
def test_an_answer_without_a_score_is_left_out_of_its_group(variant: str) -> None:
    played = moved(variant)
    dialogues = played.experience.rollout.dialogues
    first = tuple(dialogues.tokens_B_T[3].tolist())
    failing = Failing(played.members[0], lambda d: torch.tensor([tuple(x) == first for x in d.tokens_B_T.tolist()]))
    found = played.replay(members=[failing, *played.members[1:]])
    assert found.valid_B.tolist() == [row != 3 for row in range(12)]
    plain = played.replay()
    assert torch.equal(found.advantage_B_R[[0, 1, 2, *range(6, 12)]], plain.advantage_B_R[[0, 1, 2, *range(6, 12)]])
    totals = plain.score_B - 0.3 * plain.kl_B_R.sum(1)
    apart = float(totals[4] - totals[5])
    wanted = apart if variant == "rloo" else apart / 2 / (abs(apart) / 2**0.5 + 1e-4)
    assert [float(x) for x in found.advantage_B_R[[3, 4, 5], 0]] == pytest.approx([0.0, wanted, -wanted], abs=1e-10)

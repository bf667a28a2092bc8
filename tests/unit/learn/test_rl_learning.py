"""Losses of a step as numbers, what is added to them, and what an update changes."""

import copy
import dataclasses
import math
from functools import cache

import pytest
import torch
from tiny_loop import lessons
from tiny_ppo import KL_COEFFICIENT, VARIANTS, Round, advanced, gradients, play
from torch import Tensor, nn

from backstay.errors import UsageError
from backstay.learn.kl import k3
from backstay.learn.policies import response_logprobs
from backstay.learn.rl.demonstrations import MixedDemonstrations
from backstay.learn.rl.learning import Learner
from backstay.learn.rl.rollouts import Experience

EVERYONE = torch.arange(12)


@cache
def moved(variant: str = "ppo") -> Round:
    """Experience of a policy that has learned since, so that no ratio is 1."""
    return advanced(play(drift=0.1, **VARIANTS[variant]))


def new_logprobs(played: Round) -> Tensor:
    rollout, adapters = played.experience.rollout, (played.reference, played.policy)
    with torch.no_grad():
        return response_logprobs(
            played.model.decoder, rollout.dialogues, rollout.branch_B_T_D, adapters, temperature=0.8
        )


def share_by_hand(level: str, row_length: int, lengths: list[int]) -> float:
    return 1 / sum(lengths) if level == "token" else 1 / len(lengths) / row_length


@pytest.mark.parametrize("dual_clip", [0.0, 1.1])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_equals_a_slow_loop(variant: str, dual_clip: float) -> None:
    """Each paper's loss: level of the ratio, level of the average, clips, values."""
    played = moved(variant)
    experience, rollout = played.experience, played.experience.rollout
    levels = {"rloo": ("response", "response"), "grpo": ("token", "response")}
    ratio_level, average = levels.get(played.settings.algorithm, ("token", "token"))
    new, lengths = new_logprobs(played), rollout.dialogues.response_B.tolist()
    with torch.no_grad():
        values = {
            n: c(played.model.decoder, rollout.dialogues, rollout.branch_B_T_D) for n, c in played.critics.items()
        }
    policy, kl, clipped, ratios = 0.0, 0.0, 0, 0.0
    value = dict.fromkeys(values, 0.0)
    for row, length in enumerate(lengths):
        logs = [float(new[row, t] - rollout.logprob_B_R[row, t]) for t in range(length)]
        for t in range(length):
            r = math.exp(logs[t] if ratio_level == "token" else sum(logs))
            advantage = float(experience.advantage_B_R[row, t])
            gain = min(r * advantage, min(max(r, 0.8), 1.2) * advantage)
            gain = max(gain, dual_clip * advantage) if dual_clip and advantage < 0 else gain
            policy -= gain * share_by_hand(average, length, lengths)
            kl += (math.exp(logs[t]) - 1 - logs[t]) / sum(lengths)
            clipped += not 0.8 <= r <= 1.2
            ratios += r / sum(lengths)
            for name, known in experience.values.items():
                old, now, target = known.value_B_R1[row, t], values[name][row, t], known.return_B_R[row, t]
                near = min(max(now, old - 0.2), old + 0.2)
                value[name] += float(max((now - target) ** 2, (near - target) ** 2) / 2) / sum(lengths)
    wanted = {"policy_loss": policy, "approx_kl": kl, "clip_fraction": clipped / sum(lengths), "ratio": ratios}
    wanted |= {f"{name}_loss": loss for name, loss in value.items()}
    means, _ = gradients(played, experience, EVERYONE, micro_batch=4, dual_clip=dual_clip)
    assert means.pop("tokens") == sum(lengths)
    assert means == pytest.approx(wanted, abs=1e-10)
    assert 0 < clipped < sum(lengths)


@pytest.mark.parametrize(("ratio", "average"), [("token", "response"), ("response", "token")])
def test_levels_may_be_set_against_the_paper(ratio: str, average: str) -> None:
    played = moved("reinforce++")
    rollout, new = played.experience.rollout, new_logprobs(played)
    lengths, policy = rollout.dialogues.response_B.tolist(), 0.0
    for row, length in enumerate(lengths):
        logs = [float(new[row, t] - rollout.logprob_B_R[row, t]) for t in range(length)]
        for t in range(length):
            r, a = math.exp(logs[t] if ratio == "token" else sum(logs)), float(played.experience.advantage_B_R[row, t])
            policy -= min(r * a, min(max(r, 0.8), 1.2) * a) * share_by_hand(average, length, lengths)
    means, _ = gradients(played, played.experience, EVERYONE, ratio=ratio, average=average)
    assert means["policy_loss"] == pytest.approx(policy, abs=1e-10)


def test_gradients_of_policy_and_value_do_not_mix() -> None:
    played = moved("ppo with cost")
    _, plain = gradients(played, played.experience, EVERYONE)
    _, tripled = gradients(played, played.experience, EVERYONE, value_coefficient=3.0)
    count = sum(p.numel() for p in played.policy.parameters())
    assert torch.equal(plain[:count], tripled[:count])
    assert (3 * plain[count:] - tripled[count:]).abs().max() < 1e-10
    assert plain[count:].abs().max() > 1e-4


@pytest.mark.parametrize("variant", ["ppo", "grpo"])
def test_kl_in_the_loss_has_the_gradient_of_k3_by_finite_differences(variant: str) -> None:
    played = moved(variant)
    experience, rollout = played.experience, played.experience.rollout
    lengths = rollout.dialogues.response_B.tolist()
    shares = [share_by_hand("token" if variant == "ppo" else "response", n, lengths) for n in lengths]

    def penalty() -> float:
        estimates = k3(new_logprobs(played), experience.reference_B_R) * experience.mask_B_R
        return KL_COEFFICIENT * sum(float(row.sum()) * share for row, share in zip(estimates, shares, strict=True))

    _, without = gradients(played, experience, EVERYONE, kl_in="reward")
    _, within = gradients(played, experience, EVERYONE, kl_in="loss")
    added, start = within - without, 0
    for parameter in played.policy.parameters():
        flat = parameter.detach().view(-1)
        for index in (0, flat.numel() // 2):
            before, sides = float(flat[index]), []
            for step in (1e-5, -1e-5):
                flat[index] = before + step
                sides.append(penalty())
            flat[index] = before
            assert float(added[start + index]) == pytest.approx((sides[0] - sides[1]) / 2e-5, abs=1e-7)
        start += parameter.numel()
    assert added[:start].abs().max() > 1e-4
    assert added[start:].abs().sum() == 0


@pytest.mark.parametrize("branch_layer", [0, 1])
def test_demonstrations_add_their_coefficient_times_the_gradient_of_fine_tuning(branch_layer: int) -> None:
    played = advanced(play(drift=0.1, branch_layer=branch_layer, train="full" if branch_layer == 0 else "lora"))
    taught = lessons(played.model, 9)
    learner = played.learner(
        MixedDemonstrations(played.model, taught),
        ptx_coefficient=0.4,
        ptx_batch=4,
        max_grad_norm=0.0,
        learning_rate=1e-12,
    )
    _, plain = gradients(played, played.experience, EVERYONE)
    found = learner.step(played.experience, EVERYONE, torch.Generator().manual_seed(3))
    mixed = torch.cat([p.grad.flatten() for p in played.policy.parameters() if p.grad is not None])
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3)).tolist()
    assert learner.ptx_queue == order[4:]
    loss, tokens = torch.zeros((), dtype=torch.float64), 0
    for index in order[:4]:  # cross-entropy at temperature 1, token by token, from whole passes
        lesson, decoder = taught[index], played.model.decoder
        adapters = (played.reference, played.policy)
        ids = torch.tensor([[*lesson.prompt, *lesson.response]])
        mask = torch.ones_like(ids).bool()
        hidden = decoder.top(decoder.trunk(ids, mask, adapters=adapters), mask, adapters)
        logs = decoder.logits(hidden, adapters)[0].log_softmax(-1)
        for place in range(len(lesson.prompt), ids.shape[1]):
            loss, tokens = loss - logs[place - 1, int(ids[0, place])], tokens + 1
    wanted = torch.autograd.grad(loss / tokens, list(played.policy.parameters()))
    assert found["ptx_loss"] == pytest.approx(float(loss.detach()) / tokens, abs=1e-8)
    added = mixed - plain[: mixed.numel()]
    assert (added - 0.4 * torch.cat([w.flatten() for w in wanted])).abs().max() < 1e-8
    assert added.abs().max() > 1e-4


def test_every_demonstration_comes_once_before_any_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    played, seen = play(minibatches=4, epochs=3, kl_stop=0.0), []
    taught = MixedDemonstrations(played.model, lessons(played.model, 9))
    asked = MixedDemonstrations.loss

    def noted(self: MixedDemonstrations, decoder: object, adapters: object, rows: list[int]) -> Tensor:
        seen.extend(rows)
        return asked(self, decoder, adapters, rows)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(MixedDemonstrations, "loss", noted)
    played.learner(taught, ptx_coefficient=0.1, ptx_batch=3).update(played.experience, torch.Generator().manual_seed(0))
    assert [sorted(seen[i : i + 9]) for i in (0, 9, 18, 27)] == [list(range(9))] * 4


def snapshot(played: Round, learner: Learner) -> list[Tensor]:
    weights = [p.detach().clone() for module in played.modules.values() for p in module.parameters()]
    states = [copy.deepcopy(optimizer.state_dict()["state"]) for optimizer in learner.optimizers.values()]
    return weights + [x for state in states for entry in state.values() for x in entry.values()]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(broken: float) -> None:
    played = play(drift=0.1)
    learner, generator = played.learner(), torch.Generator().manual_seed(0)
    learner.step(played.experience, EVERYONE, generator)
    before = snapshot(played, learner)
    bad = played.experience.advantage_B_R.clone()
    bad[3, 0] = broken
    spoilt = dataclasses.replace(played.experience, advantage_B_R=bad)
    for _ in range(2):
        assert learner.step(spoilt, EVERYONE, generator)["skipped_steps"] == 1.0
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(played, learner), strict=True))
    assert learner.step(played.experience, EVERYONE, generator)["skipped_steps"] == 0.0
    assert learner.broken_steps == 0
    assert not all(torch.equal(a, b) for a, b in zip(before, snapshot(played, learner), strict=True))
    learner.step(spoilt, EVERYONE, generator)
    learner.step(spoilt, EVERYONE, generator)
    with pytest.raises(UsageError, match="3 optimizer steps in a row had gradients that are not finite"):
        learner.step(spoilt, EVERYONE, generator)


def test_the_gradient_norm_is_that_of_the_policy_and_bounds_its_step() -> None:
    played = advanced(play(drift=0.1))
    _, flat = gradients(played, played.experience, EVERYONE)
    count = sum(p.numel() for p in played.policy.parameters())
    norm = float(flat[:count].square().sum().sqrt())
    learner = played.learner(max_grad_norm=norm / 4)
    found = learner.step(played.experience, EVERYONE, torch.Generator())
    assert found["grad_norm"] == pytest.approx(norm)
    clipped = torch.cat([p.grad.flatten() for p in learner.modules["policy"].parameters() if p.grad is not None])
    assert torch.allclose(clipped, flat[:count] / 4, rtol=1e-5)


def test_kl_stop_ends_an_update_after_the_step_that_saw_it() -> None:
    settings = {"learning_rate": 0.05, "epochs": 4, "minibatches": 3, "drift": 0.05}
    free = play(**settings, kl_stop=0.0)  # type: ignore[arg-type]  # by name
    steps = free.learner().update(free.experience, torch.Generator().manual_seed(0))
    assert len(steps) == 12
    seen = [step["approx_kl"] for step in steps]
    limit = (seen[0] + max(seen[1:])) / 2
    first_above = next(i for i, kl in enumerate(seen) if kl > limit)
    bound = play(**settings, kl_stop=limit)  # type: ignore[arg-type]  # by name
    stopped = bound.learner().update(bound.experience, torch.Generator().manual_seed(0))
    assert [step["approx_kl"] for step in stopped] == seen[: first_above + 1]
    assert len(stopped) < 12


def test_every_pass_takes_every_response_once(monkeypatch: pytest.MonkeyPatch) -> None:
    played = play(kl_stop=0.0, epochs=3, minibatches=4)
    seen: list[list[int]] = []

    def noted(_self: Learner, _experience: Experience, rows: Tensor, _generator: torch.Generator) -> dict[str, float]:
        seen.append(rows.tolist())
        return {"approx_kl": 0.0}

    monkeypatch.setattr(Learner, "step", noted)
    played.learner().update(played.experience, torch.Generator().manual_seed(0))
    assert [len(rows) for rows in seen] == [3] * 12
    passes = [[row for rows in seen[i : i + 4] for row in rows] for i in (0, 4, 8)]
    assert all(sorted(one) == list(range(12)) for one in passes)
    assert passes[0] != passes[1] != passes[2]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_update_leaves_the_reference_the_rewards_and_the_base_alone(variant: str) -> None:
    played = play(learning_rate=0.05, **VARIANTS[variant])
    frozen: list[nn.Module] = [played.reference, *played.members, *played.costs]
    before = [tensor.clone() for module in frozen for tensor in module.state_dict().values()]
    base = {name: tensor.clone() for name, tensor in played.model.decoder.weights.items()}
    start = {name: [p.detach().clone() for p in module.parameters()] for name, module in played.modules.items()}
    played.learner().update(played.experience, torch.Generator().manual_seed(0))
    after = [tensor for module in frozen for tensor in module.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(tensor, played.model.decoder.weights[name]) for name, tensor in base.items())
    for name, module in played.modules.items():
        moved_by = [(a - b.detach()).abs().max() for a, b in zip(start[name], module.parameters(), strict=True)]
        assert float(max(moved_by)) > 1e-4

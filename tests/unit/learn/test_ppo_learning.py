import dataclasses

import pytest
import torch
from tiny_ppo import Round, play
from torch import Tensor, nn
from torch.nn import functional

from backstay.learn.batches import Dialogues
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.rl.learning import Learner, MinibatchTotals
from backstay.learn.rl.rollouts import Experience


@pytest.fixture(scope="module")
def moved() -> Round:
    """Experience of a policy that has learned since, so that no ratio is 1."""
    played = play(drift=0.1)
    with torch.no_grad():
        for parameter in [*played.policy.parameters(), *played.value.parameters()]:
            wave = torch.sin(torch.arange(parameter.numel(), dtype=torch.float64)).view_as(parameter)
            parameter.add_(0.05 * wave)
    return played


def gradients(
    played: Round, experience: Experience, rows: Tensor, micro_batch: int
) -> tuple[MinibatchTotals, list[Tensor]]:
    learner = played.learner(micro_batch=micro_batch)
    totals = learner.accumulate(experience, rows)
    modules: tuple[nn.Module, ...] = (played.policy, played.value)
    found = [p.grad.clone() for module in modules for p in module.parameters() if p.grad is not None]
    assert len(found) == sum(1 for module in modules for _ in module.parameters())
    return totals, found


def furthest(first: list[Tensor], second: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def same_totals(first: MinibatchTotals, second: MinibatchTotals) -> bool:
    return dataclasses.asdict(first) == pytest.approx(dataclasses.asdict(second), abs=1e-10)


@pytest.mark.parametrize("train", ["lora", "full"])
@pytest.mark.parametrize("branch_layer", [0, 1])
def test_the_first_minibatch_has_ratio_1_and_no_kl(branch_layer: int, train: str) -> None:
    """With a policy that has moved away from the reference already: the old policy is the one that sampled."""
    played = play(drift=0.1, branch_layer=branch_layer, train=train)
    dialogues, rollout = played.experience.rollout.dialogues, played.experience.rollout
    adapters = (played.reference, played.policy)
    branch = branch_under(played.model.decoder, dialogues, rollout.branch_B_T_D, adapters)
    logprob = response_logprobs(played.model.decoder, dialogues, branch, adapters, temperature=0.8)
    assert ((logprob - rollout.logprob_B_R).exp() - 1).abs().max() < 1e-10
    (first, *later) = played.learner().update(played.experience, torch.Generator().manual_seed(0))
    assert abs(first["ratio"] - 1) < 1e-10
    assert abs(first["approx_kl"]) < 1e-10
    assert first["clip_fraction"] == 0
    assert all(step["approx_kl"] > 1e-10 for step in later)


def test_the_first_minibatch_has_ratio_1_in_float32() -> None:
    played = play(torch.float32, drift=0.1)
    (first, *_) = played.learner().update(played.experience, torch.Generator().manual_seed(0))
    assert abs(first["ratio"] - 1) < 1e-5
    assert abs(first["approx_kl"]) < 1e-5


@pytest.mark.parametrize("micro_batch", [1, 3, 5])
def test_micro_batches_change_neither_loss_nor_gradient(moved: Round, micro_batch: int) -> None:
    rows = torch.arange(12)
    totals, whole = gradients(moved, moved.experience, rows, 12)
    split_totals, split = gradients(moved, moved.experience, rows, micro_batch)
    assert same_totals(totals, split_totals)
    assert furthest(whole, split) < 1e-10
    assert max(float(tensor.abs().max()) for tensor in whole) > 1e-4


def test_the_order_of_responses_changes_neither_loss_nor_gradient(moved: Round) -> None:
    order = torch.tensor([7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 6, 4])
    totals, plain = gradients(moved, moved.experience, torch.arange(12), 5)
    mixed_totals, mixed = gradients(moved, moved.experience, order, 5)
    assert same_totals(totals, mixed_totals)
    assert furthest(plain, mixed) < 1e-10


def widened(experience: Experience, left: int, right: int) -> Experience:
    """The same experience with more padding on both sides, full of noise where nothing may be read."""
    rollout, dialogues = experience.rollout, experience.rollout.dialogues
    wide = Dialogues(
        functional.pad(dialogues.tokens_B_T, (left, right), value=77),
        dialogues.prompt_B,
        dialogues.response_B,
        dialogues.prompt_width + left,
    )
    responses = {
        name: functional.pad(getattr(experience, name), (0, right), value=3.5)
        for name in ("reference_B_R", "value_B_R1", "kl_B_R", "advantage_B_R", "return_B_R")
    }
    rollout = dataclasses.replace(
        rollout,
        dialogues=wide,
        logprob_B_R=functional.pad(rollout.logprob_B_R, (0, right), value=-2.5),
        branch_B_T_D=functional.pad(rollout.branch_B_T_D, (0, 0, left, right), value=1.5),
    )
    return dataclasses.replace(experience, rollout=rollout, **responses)


@pytest.mark.parametrize(("left", "right"), [(4, 0), (0, 5), (2, 3)])
def test_more_padding_changes_neither_loss_nor_gradient(moved: Round, left: int, right: int) -> None:
    rows = torch.tensor([3, 0, 11, 6, 8])
    totals, plain = gradients(moved, moved.experience, rows, 2)
    wide_totals, wide = gradients(moved, widened(moved.experience, left, right), rows, 2)
    assert same_totals(totals, wide_totals)
    assert furthest(plain, wide) < 1e-10


def test_the_loss_equals_a_slow_loop(moved: Round) -> None:
    experience, settings = moved.experience, moved.settings
    rollout, dialogues = experience.rollout, experience.rollout.dialogues
    adapters = (moved.reference, moved.policy)
    with torch.no_grad():
        new = response_logprobs(
            moved.model.decoder, dialogues, rollout.branch_B_T_D, adapters, temperature=settings.temperature
        )
        values = moved.value(rollout.branch_B_T_D[:, dialogues.prompt_width - 1 :])
    policy, value, kl, clipped, tokens = 0.0, 0.0, 0.0, 0, 0
    for row, length in enumerate(dialogues.response_B.tolist()):
        for t in range(length):
            log_ratio = float(new[row, t] - rollout.logprob_B_R[row, t])
            r, advantage = 2.718281828459045**log_ratio, float(experience.advantage_B_R[row, t])
            policy -= min(r * advantage, min(max(r, 0.8), 1.2) * advantage)
            old, now = float(experience.value_B_R1[row, t]), float(values[row, t])
            target = float(experience.return_B_R[row, t])
            near = min(max(now, old - 0.2), old + 0.2)
            value += max((now - target) ** 2, (near - target) ** 2) / 2
            kl += r - 1 - log_ratio
            clipped += not 0.8 <= r <= 1.2
            tokens += 1
    totals, _ = gradients(moved, experience, torch.arange(12), 4)
    wanted = {"policy_loss": policy, "value_loss": value, "approx_kl": kl, "clip_fraction": clipped}
    means = totals.means()
    assert totals.tokens == tokens
    assert {name: means[name] for name in wanted} == pytest.approx(
        {name: total / tokens for name, total in wanted.items()}, abs=1e-10
    )
    assert 0 < clipped < tokens


def test_gradients_of_policy_and_value_do_not_mix(moved: Round) -> None:
    rows = torch.arange(12)
    _, plain = gradients(moved, moved.experience, rows, 12)
    weighted = dataclasses.replace(moved, settings=moved.settings.model_copy(update={"value_coefficient": 3.0}))
    _, tripled = gradients(weighted, moved.experience, rows, 12)
    count = len(list(moved.policy.parameters()))
    assert furthest(plain[:count], tripled[:count]) == 0
    assert furthest([3 * tensor for tensor in plain[count:]], tripled[count:]) < 1e-10


def test_kl_stop_ends_an_update_after_the_step_that_saw_it() -> None:
    settings = {"learning_rate": 0.05, "epochs": 4, "minibatches": 3, "drift": 0.05}
    generator = torch.Generator().manual_seed(0)
    free = play(**settings, kl_stop=0.0)  # type: ignore[arg-type]  # by name
    steps = free.learner().update(free.experience, generator)
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

    def noted(_self: Learner, _experience: Experience, rows: Tensor) -> dict[str, float]:
        seen.append(rows.tolist())
        return {"approx_kl": 0.0}

    monkeypatch.setattr(Learner, "step", noted)
    played.learner().update(played.experience, torch.Generator().manual_seed(0))
    assert [len(rows) for rows in seen] == [3] * 12
    passes = [[row for rows in seen[i : i + 4] for row in rows] for i in (0, 4, 8)]
    assert all(sorted(one) == list(range(12)) for one in passes)
    assert passes[0] != passes[1] != passes[2]


def test_an_update_leaves_the_reference_and_the_base_alone() -> None:
    played = play(learning_rate=0.05)
    frozen: list[nn.Module] = [played.reference, *played.members]
    before = [tensor.clone() for module in frozen for tensor in module.state_dict().values()]
    base = {name: tensor.clone() for name, tensor in played.model.decoder.weights.items()}
    start = [parameter.detach().clone() for parameter in played.policy.parameters()]
    played.learner().update(played.experience, torch.Generator().manual_seed(0))
    after = [tensor for module in frozen for tensor in module.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(tensor, played.model.decoder.weights[name]) for name, tensor in base.items())
    assert furthest(start, [parameter.detach() for parameter in played.policy.parameters()]) > 1e-3


def test_likelier_where_the_advantage_was_positive() -> None:
    played = play(learning_rate=0.01, kl_stop=0.0, epochs=1, minibatches=1)
    experience, rollout = played.experience, played.experience.rollout
    played.learner().update(experience, torch.Generator().manual_seed(0))
    adapters = (played.reference, played.policy)
    with torch.no_grad():
        new = response_logprobs(
            played.model.decoder, rollout.dialogues, rollout.branch_B_T_D, adapters, temperature=0.8
        )
    gain = ((new - rollout.logprob_B_R) * experience.advantage_B_R)[experience.mask_B_R].mean()
    assert float(gain) > 0

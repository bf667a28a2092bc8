"""What ends a run or takes it back: alarms, the KL budget, rewards and gradients that fail."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_loop import fresh_members
from tiny_ppo import Constant, Failing
from tiny_trainer import rows, trainer, weights
from torch import Tensor

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rl.trainer import PolicyTrainer

REASON = "refusals rose by 100% (limit 50%)"


def refusing(episodes: Sequence[int], count: int = 8) -> Callable[[str], bool]:
    """A rule by which every response of the named rounds is a refusal, and none of the others."""
    seen = iter(range(10**6))
    return lambda _text: next(seen) // count in episodes


def shorter(model: LanguageModel, folder: Path, updates: int, **changes: Any) -> Tensor:
    """The policy after some updates, which sampled the round of that number."""
    return weights(trainer(model, folder / f"shorter-{updates}", updates=updates, **changes).run())


def test_an_alarm_rolls_back_to_the_last_policy_that_no_monitor_was_over_for(
    model: LanguageModel, tmp_path: Path
) -> None:
    run = trainer(model, tmp_path, updates=8, refuses=refusing([3, 4]), alarm_patience=2, on_alarm="rollback")
    result = run.run()
    logged = rows(tmp_path)
    assert (result.reason, result.updates, result.alarms) == ("alarm", 4, (f"after update 4: {REASON}",))
    assert [row["over"] for row in logged] == ["", "", "", "refusal", "refusal"]
    assert [row["alarm"] for row in logged] == ["", "", "", "", REASON]
    assert ["optimizer_steps" in row for row in logged] == [True] * 4 + [False]
    assert torch.equal(weights(result), shorter(model, tmp_path, 2))
    assert result.kl_nats == logged[2]["kl_nats"]


def test_an_alarm_may_stop_with_the_policy_that_set_it_off(model: LanguageModel, tmp_path: Path) -> None:
    result = trainer(model, tmp_path, updates=8, refuses=refusing([3, 4]), on_alarm="stop").run()
    logged = rows(tmp_path)
    assert (result.reason, result.updates, result.alarms) == ("alarm", 4, (f"after update 4: {REASON}",))
    assert torch.equal(weights(result), shorter(model, tmp_path, 4))
    assert result.kl_nats == logged[4]["kl_nats"]
    assert len(logged) == 5


def test_a_warning_goes_to_the_log_and_nowhere_else(model: LanguageModel, tmp_path: Path) -> None:
    result = trainer(model, tmp_path, updates=5, refuses=refusing([2, 3]), on_alarm="warn").run()
    assert [row["alarm"] for row in rows(tmp_path)] == ["", "", "", REASON, "", ""]
    assert (result.reason, result.updates, result.alarms) == ("completed", 5, (f"after update 3: {REASON}",))
    assert torch.equal(weights(result), shorter(model, tmp_path, 5))


@pytest.mark.parametrize(("on_alarm", "leaves"), [("rollback", 1), ("stop", 3), ("warn", 3)])
def test_the_last_measuring_round_sets_it_off_too(
    model: LanguageModel, tmp_path: Path, on_alarm: str, leaves: int
) -> None:
    result = trainer(model, tmp_path, updates=3, refuses=refusing([2, 3]), on_alarm=on_alarm).run()
    assert (result.reason, result.updates) == ("completed" if on_alarm == "warn" else "alarm", 3)
    assert result.alarms == (f"after update 3: {REASON}",)
    assert rows(tmp_path)[3]["alarm"] == REASON
    assert torch.equal(weights(result), shorter(model, tmp_path, leaves))


def test_one_bad_round_is_no_alarm(model: LanguageModel, tmp_path: Path) -> None:
    result = trainer(model, tmp_path, updates=5, refuses=refusing([1, 3, 5]), alarm_patience=2).run()
    assert (result.reason, result.updates) == ("completed", 5)
    assert [row["over"] for row in rows(tmp_path)] == ["", "refusal"] * 3
    assert torch.equal(weights(result), shorter(model, tmp_path, 5))


def test_an_alarm_from_the_first_round_on_gives_back_the_reference(model: LanguageModel, tmp_path: Path) -> None:
    """Limits that even the first round is over: no policy was ever good."""
    run = trainer(model, tmp_path, updates=5, alarm_length=0.5, alarm_patience=2)
    fresh = torch.cat([tensor.flatten().clone() for tensor in run.policy.state_dict().values()])
    result = run.run()
    assert (result.reason, result.updates, result.kl_nats) == ("alarm", 1, 0.0)
    assert torch.equal(weights(result), fresh)


class Rising:
    """A reward that grows by 1 from round to round, whatever the responses; eight of them a round."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, _decoder: object, dialogues: Any, branch_B_T_D: Tensor) -> Tensor:
        count = len(dialogues.response_B)
        round_number, self.seen = self.seen // 8, self.seen + count
        return branch_B_T_D.new_full((count,), float(round_number))


def test_a_reward_that_rises_while_gold_falls_rolls_back(model: LanguageModel, tmp_path: Path) -> None:
    seen = iter(range(10**6))
    hump = [0.0, 1.0, 2.0, 3.0, 3.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, -4.0]
    settings: dict[str, Any] = {"reward_clip": 0.0, "no_eos_penalty": 0.0, "micro_batch": 8, "alarm_divergence": 0.05}
    given = {"members": [Rising()], "alarm_patience": 2}
    result = trainer(model, tmp_path, lambda *_: hump[next(seen) // 8], updates=12, **settings, **given).run()
    logged = rows(tmp_path)
    # the last three against the three before: (3+2+1)/3 against (2+3+3)/3 at round 7 is the first fall
    assert [row["over"] for row in logged] == [""] * 7 + ["divergence"] * 2
    assert result.alarms == ("after update 8: over the last 3 probes the reward gained 43% of all it has, gold -67%",)
    assert (result.reason, result.updates) == ("alarm", 8)
    unwatched = {"updates": 6, "members": [Rising()], **settings, "alarm_divergence": 0.0}
    assert torch.equal(weights(result), weights(trainer(model, tmp_path / "shorter", **unwatched).run()))


def test_a_threshold_out_of_reach_pins_the_multiplier_and_sets_it_off(model: LanguageModel, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"cost_threshold": 0.0, "costs": [Constant(4.0)], "multiplier_rate": 1.0}
    result = trainer(model, tmp_path, updates=9, **changes, no_eos_penalty=0.0).run()
    logged = rows(tmp_path)
    assert [row["multiplier"] for row in logged] == pytest.approx([1.0, 5.0, 5.0])  # exp(4) is cut to the maximum
    assert [row["over"] for row in logged] == ["", "multiplier", "multiplier"]
    assert (result.reason, result.updates) == ("alarm", 2)
    assert "cost threshold is out of reach" in result.alarms[0]


def test_a_budget_overspent_in_the_last_round_rolls_back_too(model: LanguageModel, tmp_path: Path) -> None:
    trainer(model, tmp_path / "free", updates=6).run()
    kl = [row["kl_nats"] for row in rows(tmp_path / "free")]
    last = next(i for i in range(2, 7) if kl[i] > max(kl[:i]))
    budget = (max(kl[:last]) + kl[last]) / 2
    result = trainer(model, tmp_path / "bound", updates=last, kl_budget=budget).run()
    assert (result.reason, result.updates, result.kl_nats) == ("kl_budget", last, kl[last - 1])
    assert rows(tmp_path / "bound")[-1]["rolled_back"] == 1.0
    assert torch.equal(weights(result), shorter(model, tmp_path, last - 1))


def test_an_overspent_budget_does_not_go_back_to_a_policy_under_suspicion(model: LanguageModel, tmp_path: Path) -> None:
    trainer(model, tmp_path / "free", updates=6).run()
    kl = [row["kl_nats"] for row in rows(tmp_path / "free")]
    over = next(i for i in range(2, 7) if kl[i] > max(kl[:i]))
    changes = {"kl_budget": (max(kl[:over]) + kl[over]) / 2, "refuses": refusing([over - 1]), "alarm_patience": 9}
    result = trainer(model, tmp_path / "bound", updates=6, **changes).run()
    assert (result.reason, result.updates, result.kl_nats) == ("kl_budget", over, kl[over - 2])
    assert torch.equal(weights(result), shorter(model, tmp_path, over - 2))


def test_a_kl_that_is_no_number_is_over_every_budget(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(model, tmp_path, updates=6, kl_budget=0.0)
    collect = PolicyTrainer._collect

    def broken(self: PolicyTrainer, chosen: Sequence[int], generator: torch.Generator) -> Any:
        experience = collect(self, chosen, generator)
        if len(rows(tmp_path) if (tmp_path / "metrics.jsonl").exists() else []) == 2:
            experience.kl_B_R[0, 0] = float("nan")
        return experience

    monkeypatch.setattr(PolicyTrainer, "_collect", broken)
    result = run.run()
    assert (result.reason, result.updates) == ("kl_budget", 2)
    assert torch.equal(weights(result), shorter(model, tmp_path, 1))
    assert rows(tmp_path)[2]["kl_nats"] is None


def first_token_is(remainder: int) -> Callable[[Any], Tensor]:
    return lambda dialogues: dialogues.responses_B_R[:, 0] % 5 == remainder


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo", "reinforce++"])
def test_a_run_survives_rewards_that_fail_now_and_then(
    model: LanguageModel, tmp_path: Path, algorithm: str, broken: float
) -> None:
    member, other = fresh_members(model, 2)
    group = 4 if algorithm in ("rloo", "grpo") else 1
    members = [Failing(member, first_token_is(1), broken), other]
    result = trainer(
        model, tmp_path, updates=3, algorithm=algorithm, group=group, members=members, max_failed_share=0.9
    ).run()
    logged = rows(tmp_path)
    assert result.reason == "completed"
    assert weights(result).isfinite().all()
    assert sum(row["failed_scores"] for row in logged) > 0
    numbers = ("reward_mean", "reward_raw_mean", "reward_spread", "kl_nats")
    assert all(row[name] is not None for row in logged for name in numbers)
    assert all(row["skipped_steps"] == 0 for row in logged[:-1])


def test_too_many_failed_rewards_end_the_run_with_the_reason(model: LanguageModel, tmp_path: Path) -> None:
    members = [Failing(fresh_members(model, 1)[0], lambda d: d.response_B > 0)]
    with pytest.raises(UsageError, match="100% of a round's responses got no finite score"):
        trainer(model, tmp_path, updates=3, members=members).run()


def test_a_round_that_got_no_score_at_all_teaches_nothing_where_that_is_allowed(
    model: LanguageModel, tmp_path: Path
) -> None:
    members = [Failing(fresh_members(model, 1)[0], lambda d: d.response_B > 0)]
    given = {"members": members, "max_failed_share": 1.0, "updates": 2}
    run = trainer(model, tmp_path, lambda *_: 1.0, **given)
    fresh = torch.cat([tensor.flatten().clone() for tensor in run.policy.state_dict().values()])
    result = run.run()
    assert result.reason == "completed"
    assert torch.equal(weights(result), fresh)
    assert [row["failed_scores"] for row in rows(tmp_path)] == [8] * 3
    assert run.watch.alarm.probes == []


def test_gradients_that_stay_broken_end_the_run(model: LanguageModel, tmp_path: Path) -> None:
    run = trainer(model, tmp_path, updates=4)
    for parameter in run.critics["value"].parameters():
        parameter.register_hook(lambda gradient: gradient * float("nan"))  # type: ignore[no-untyped-call]  # untyped in torch
    with pytest.raises(UsageError, match="3 optimizer steps in a row had gradients that are not finite"):
        run.run()


def test_costs_of_responses_without_a_score_do_not_move_the_multiplier(model: LanguageModel, tmp_path: Path) -> None:
    odd = first_token_is(1)
    costs = [Failing(Constant(0.5), odd)]
    run = trainer(model, tmp_path, updates=2, cost_threshold=0.25, costs=costs, max_failed_share=0.9)
    run.run()
    assert sum(row["failed_scores"] for row in rows(tmp_path)) > 0
    assert run.multiplier is not None
    assert set(run.multiplier.costs) == {0.5}
    assert len(run.multiplier.costs) == 16 - sum(row["failed_scores"] for row in rows(tmp_path)[:2])


def test_broken_steps_in_a_row_are_counted_across_a_restart(model: LanguageModel, tmp_path: Path) -> None:
    first = trainer(model, tmp_path, updates=3, epochs=1, minibatches=2)
    first.learner.broken_steps = 1
    first.state.save(first.folder, 1, first._numbers())
    second = trainer(model, tmp_path, updates=3, epochs=1, minibatches=2)
    for parameter in second.critics["value"].parameters():
        parameter.register_hook(lambda gradient: gradient * float("nan"))  # type: ignore[no-untyped-call]  # untyped in torch
    with pytest.raises(UsageError, match="3 optimizer steps in a row"):
        second.run()
    assert not (tmp_path / "metrics.jsonl").exists()  # the third was in the first round of the second start


def test_a_rollback_goes_to_where_gold_was_best(model: LanguageModel, tmp_path: Path) -> None:
    """Answers turn to refusals at round 9; gold over five rounds was best at round 6, and nothing was over a limit."""
    seen, gold = iter(range(10**6)), [0.0, 1.0, 2.0, 3.0, 3.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    asked = iter(range(10**6))
    settings: dict[str, Any] = {"micro_batch": 8, "alarm_refusal": 0.5, "alarm_patience": 2, "updates": 12}
    given: dict[str, Any] = {"refuses": lambda _: next(asked) // 8 >= 9}
    result = trainer(model, tmp_path / "long", lambda *_: gold[next(seen) // 8], **settings, **given).run()
    assert (result.reason, result.updates) == ("alarm", 10)
    shorter = trainer(model, tmp_path / "short", micro_batch=8, updates=6).run()
    assert torch.equal(weights(result), weights(shorter))

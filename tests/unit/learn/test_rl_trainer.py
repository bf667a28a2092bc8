from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_loop import fresh_members, lessons, prompt_tokens
from tiny_loop import gold as praise
from tiny_ppo import VARIANTS, Constant
from tiny_trainer import rows, trainer, weights

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel

METRICS = Path(__file__).parents[3] / "docs" / "learn" / "metrics.md"


def variant_of(model: LanguageModel, name: str) -> dict[str, Any]:
    """What an algorithm needs beside its settings, for eight responses a round."""
    changes = VARIANTS[name] | ({"group": 4} if "group" in VARIANTS[name] else {})
    return changes | ({"costs": fresh_members(model, 3)[2:]} if "cost_threshold" in changes else {})


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_algorithm_starts_each_round_from_identity(model: LanguageModel, tmp_path: Path, variant: str) -> None:
    run = trainer(model, tmp_path, updates=3, **variant_of(model, variant))
    result = run.run()
    logged = rows(tmp_path)
    assert (result.reason, result.updates, len(logged)) == ("completed", 3, 4)
    assert abs(logged[0]["kl_nats"]) < 1e-5
    assert logged[3]["kl_nats"] > 0.01
    for row in logged[:3]:
        assert row["ratio_first"] == pytest.approx(1.0, abs=1e-5)
        assert row["approx_kl_first"] == pytest.approx(0.0, abs=1e-5)
        assert row["skipped_steps"] == 0
    critics = {name for name in logged[0] if name.endswith("value_loss")}
    wanted = {"value_loss"} if variant.startswith("ppo") else set()
    assert critics == wanted | ({"cost_value_loss"} if "cost" in variant else set())
    assert set(result.critics) == {name.removesuffix("_loss") for name in critics}


@pytest.mark.parametrize("variant", ["rloo", "grpo"])
def test_a_prompt_comes_as_often_in_a_row_as_its_group_is_large(
    model: LanguageModel, tmp_path: Path, variant: str
) -> None:
    seen: list[int] = []

    def watch(index: int, _text: str, _finished: bool) -> float:
        seen.append(index)
        return 0.0

    trainer(model, tmp_path, watch, updates=4, **variant_of(model, variant)).run()
    assert len(seen) == 5 * 8
    blocks = [seen[i : i + 4] for i in range(0, 40, 4)]
    assert all(len(set(block)) == 1 for block in blocks)
    assert sorted(block[0] for block in blocks) == list(range(10))  # every prompt in its turn


def test_the_multiplier_follows_the_cost_of_the_round(model: LanguageModel, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "cost_threshold": 0.25,
        "cost_window": 16,
        "multiplier_rate": 0.5,
        "multiplier_gain": 0.0,
    }
    trainer(model, tmp_path, updates=3, **changes, costs=[Constant(0.75)], no_eos_penalty=0.0).run()
    logged = rows(tmp_path)
    value = 1.0
    for row in logged:
        assert row["multiplier"] == pytest.approx(value, rel=1e-12)
        assert row["cost_mean"] == 0.75
        value *= 2.718281828459045 ** (0.5 * value * 0.5)


def test_demonstrations_are_mixed_in(model: LanguageModel, tmp_path: Path) -> None:
    taught = lessons(model, 6)
    mixed = trainer(model, tmp_path / "mixed", updates=4, ptx_coefficient=2.0, ptx_batch=4, lessons=taught).run()
    plain = trainer(model, tmp_path / "plain", updates=4, lessons=taught).run()
    losses = [row["ptx_loss"] for row in rows(tmp_path / "mixed")[:-1]]
    assert losses[-1] < losses[0]
    assert not torch.equal(weights(mixed), weights(plain))
    assert not any("ptx_loss" in row for row in rows(tmp_path / "plain"))


def test_probe_prompts_are_never_trained_on(model: LanguageModel, tmp_path: Path) -> None:
    asked: list[int] = []

    def watch(index: int, _text: str, _finished: bool) -> float:
        asked.append(index)
        return float(index)

    run = trainer(model, tmp_path, watch, updates=3, probe_prompts=4, probe_every=2)
    run.run()
    logged = rows(tmp_path)
    assert [("probe_gold" in row, "probe_proxy" in row) for row in logged] == [(True, True), (False, False)] * 2
    probing = run.watch.probing
    rounds = [8 + 4, 8, 8 + 4, 8]
    for count in rounds:
        part, asked = asked[:count], asked[count:]
        assert not set(part[:8]) & set(probing)
        assert part[8:] == (probing if count > 8 else [])
    assert logged[0]["probe_gold"] == pytest.approx(sum(probing) / 4)


def test_a_probe_changes_nothing_that_is_learned(model: LanguageModel, tmp_path: Path) -> None:
    """The same training prompts, with and without looking at those that are kept out."""
    settings: dict[str, Any] = {"updates": 3, "probe_prompts": 4}
    often = trainer(model, tmp_path / "often", lambda *_: 0.0, **settings, probe_every=1).run()
    seldom = trainer(model, tmp_path / "seldom", lambda *_: 0.0, **settings, probe_every=99).run()
    assert torch.equal(weights(often), weights(seldom))


def test_held_out_members_do_not_reward(model: LanguageModel, tmp_path: Path) -> None:
    members = fresh_members(model, 3)
    held = trainer(model, tmp_path / "held", updates=2, members=members, held_out_members=1).run()
    alone = trainer(model, tmp_path / "alone", updates=2, members=members[:2]).run()
    assert torch.equal(weights(held), weights(alone))
    assert all(row["gold_mean"] is not None for row in rows(tmp_path / "held"))
    assert all(row["gold_mean"] is None for row in rows(tmp_path / "alone"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probe_prompts": 10}, "10 prompts leave none to train on beside ppo.probe_prompts=10"),
        ({"prompts": []}, "0 prompts leave none to train on"),
        ({"held_out_members": 2}, "2 reward members leave none to train on beside ppo.held_out_members=2"),
        ({"members": []}, "0 reward members leave none"),
        ({"cost_threshold": 0.0}, "ppo.cost_threshold is set, but there is no cost model"),
        ({"ptx_coefficient": 1.0}, "ppo.ptx_coefficient is set, but there are no demonstrations"),
        ({"critic": "reward", "members": [Constant(1.0)]}, "the reward is no model that a critic could start from"),
        ({"prompts": [[1, 5], []]}, "a prompt has no tokens"),
        (
            {"prompts": [[1, 5], [5] * 507]},
            "a prompt of 507 tokens and 6 new ones do not fit the model's context of 512",
        ),
        ({"prompts": [[1, 5], [1, 10_000]]}, "prompt 1 has token 10000, but the model knows"),
        ({"prompts": [[1, -1]]}, "prompt 0 has token -1, but the model knows"),
        ({"references": [[[0.0, 0.0]]] * 3}, "3 rows of reference scores for 10 prompts"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_runs(
    model: LanguageModel, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        trainer(model, tmp_path, **changes)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_prompt_that_just_fits_is_trained_on(model: LanguageModel, tmp_path: Path) -> None:
    found = trainer(model, tmp_path, updates=1, prompts=[[5] * 506, *prompt_tokens(model)]).run()
    assert found.reason == "completed"


def test_the_first_row_and_every_first_step_start_from_identity(model: LanguageModel, tmp_path: Path) -> None:
    trainer(model, tmp_path, updates=4).run()
    logged = rows(tmp_path)
    assert [row["update"] for row in logged] == [0, 1, 2, 3, 4]
    assert abs(logged[0]["kl_nats"]) < 1e-5
    for row in logged[:4]:
        assert row["ratio_first"] == pytest.approx(1.0, abs=1e-5)
        assert row["approx_kl_first"] == pytest.approx(0.0, abs=1e-5)
        assert row["approx_kl"] > 1e-5
        assert row["optimizer_steps"] == 4
    assert logged[4]["kl_nats"] > 0.01


def test_the_last_round_measures_what_leaves(model: LanguageModel, tmp_path: Path) -> None:
    run = trainer(model, tmp_path, updates=2)
    result = run.run()
    last = rows(tmp_path)[-1]
    assert "optimizer_steps" not in last and "policy_loss" not in last
    assert result.kl_nats == last["kl_nats"]
    assert (result.reason, result.updates) == ("completed", 2)
    good = torch.cat([tensor.flatten() for tensor in run.good.state_dict().values()])
    assert torch.equal(weights(result), good)


def test_the_policy_is_what_a_shorter_run_would_have_given(model: LanguageModel, tmp_path: Path) -> None:
    long, short = (trainer(model, tmp_path / str(n), updates=n) for n in (3, 2))
    long.run()
    short.run()
    assert rows(tmp_path / "3")[:2] == [row | {"updates": 3} for row in rows(tmp_path / "2")[:2]]
    assert rows(tmp_path / "3")[2]["kl_nats"] == rows(tmp_path / "2")[2]["kl_nats"]


def test_an_overspent_budget_rolls_back_to_the_last_measured_policy(model: LanguageModel, tmp_path: Path) -> None:
    trainer(model, tmp_path / "free", updates=6).run()
    kl = [row["kl_nats"] for row in rows(tmp_path / "free")]
    over = next(i for i in range(2, 7) if kl[i] > max(kl[:i]))
    budget = (max(kl[:over]) + kl[over]) / 2
    result = trainer(model, tmp_path / "bound", updates=6, kl_budget=budget).run()
    assert (result.reason, result.updates) == ("kl_budget", over)
    assert result.kl_nats == kl[over - 1] <= budget
    bound = rows(tmp_path / "bound")
    assert bound[:over] == rows(tmp_path / "free")[:over]
    assert len(bound) == over + 1
    assert bound[over]["kl_nats"] == kl[over]
    assert bound[over]["rolled_back"] == 1.0
    assert "optimizer_steps" not in bound[over]
    shorter = trainer(model, tmp_path / "shorter", updates=over - 1).run()
    assert torch.equal(weights(result), weights(shorter))


def test_an_absurd_budget_gives_back_the_reference(model: LanguageModel, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"updates": 5, "learning_rate": 0.5, "kl_budget": 1e-3, "kl_target": 1e-3}
    run = trainer(model, tmp_path, **settings)
    result = run.run()
    assert (result.reason, result.updates) == ("kl_budget", 1)
    fresh = trainer(model, tmp_path / "fresh", **settings)
    start = torch.cat([tensor.flatten() for tensor in fresh.policy.state_dict().values()])
    assert torch.equal(weights(result), start)
    assert abs(result.kl_nats) < 1e-5
    assert rows(tmp_path)[1]["kl_nats"] > 1e-3


def test_the_coefficient_follows_the_kl(model: LanguageModel, tmp_path: Path) -> None:
    trainer(model, tmp_path, updates=4, kl_target=0.3, kl_horizon=40.0, kl_coefficient=0.2).run()
    logged = rows(tmp_path)
    expected = 0.2
    for row in logged:
        assert row["kl_coefficient"] == pytest.approx(expected, abs=1e-12)
        expected *= 1 + max(-0.2, min(0.2, row["kl_nats"] / 0.3 - 1)) * 8 / 40
    assert expected != 0.2


def test_a_fixed_coefficient_stays(model: LanguageModel, tmp_path: Path) -> None:
    trainer(model, tmp_path, updates=2, kl_target=0.0, kl_coefficient=0.2).run()
    assert {row["kl_coefficient"] for row in rows(tmp_path)} == {0.2}


def test_the_monitor_sees_every_episode_and_changes_nothing(model: LanguageModel, tmp_path: Path) -> None:
    seen: list[tuple[int, str, bool]] = []

    def watch(index: int, text: str, finished: bool) -> float:
        seen.append((index, text, finished))
        return float(praise(text)) + 10 * index

    watched = trainer(model, tmp_path / "watched", watch, updates=4).run()
    blind = trainer(model, tmp_path / "blind", updates=4).run()
    assert torch.equal(weights(watched), weights(blind))
    logged = rows(tmp_path / "watched")
    assert len(seen) == 5 * 8
    for number, row in enumerate(logged):
        part = seen[number * 8 : number * 8 + 8]
        assert row["gold_mean"] == pytest.approx(sum(praise(text) + 10 * index for index, text, _ in part) / 8)
        assert row["finished_share"] == pytest.approx(sum(end for *_, end in part) / 8)
    assert {row["gold_mean"] for row in rows(tmp_path / "blind")} == {None}
    every = [index for index, *_ in seen]
    assert all(sorted(every[i : i + 10]) == list(range(10)) for i in range(0, 40, 10))  # every prompt in its turn
    samples = rows(tmp_path / "watched", "samples")
    assert [(s["prompt"], s["text"]) for s in samples[4:6]] == [(index, text) for index, text, _ in seen[:2]]


def test_every_prompt_has_its_own_baseline(model: LanguageModel, tmp_path: Path) -> None:
    chosen: list[int] = []

    def watch(index: int, _text: str, _finished: bool) -> float:
        chosen.append(index)
        return 0.0

    baseline = [2.0**index for index in range(10)]
    trainer(model, tmp_path / "plain", watch, updates=1, reward_clip=0.0).run()
    trainer(model, tmp_path / "shifted", updates=1, reward_clip=0.0, references=[[[x, x]] for x in baseline]).run()
    first, moved = rows(tmp_path / "plain")[0], rows(tmp_path / "shifted")[0]
    own = sum(baseline[index] for index in chosen[:8]) / 8
    assert moved["reward_mean"] == pytest.approx(first["reward_mean"] - own, abs=1e-4)
    assert moved["reward_raw_mean"] == first["reward_raw_mean"]


@pytest.mark.parametrize("train", ["lora", "full"])
def test_both_kinds_of_training_run(model: LanguageModel, tmp_path: Path, train: str) -> None:
    result = trainer(model, tmp_path, updates=2, train=train, learning_rate=1e-3).run()
    assert result.policy.kind == train
    assert rows(tmp_path)[0]["ratio_first"] == pytest.approx(1.0, abs=1e-5)


def test_checkpoints_hold_no_pickle(model: LanguageModel, tmp_path: Path) -> None:
    trainer(model, tmp_path, updates=3).run()
    checkpoints = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in checkpoints] == ["step-000002", "step-000003"]
    for path in checkpoints:
        for file in path.iterdir():
            head = file.read_bytes()[:9]
            assert (file.suffix, head[:1]) == (".json", b"{") or (file.suffix, head[8:]) == (".safetensors", b"{")


def test_every_logged_number_is_in_the_documentation(model: LanguageModel, tmp_path: Path) -> None:
    page = next(part for part in METRICS.read_text().split("\n## ") if part.startswith("ppo\n"))
    everything: dict[str, Any] = {
        "cost_threshold": 0.0,
        "costs": fresh_members(model, 3)[2:],
        "ptx_coefficient": 0.1,
        "lessons": lessons(model, 8),
        "probe_prompts": 2,
        "kl_in": "loss",
    }
    trainer(model, tmp_path / "free", lambda *_: 0.0, updates=1, **everything).run()
    trainer(model, tmp_path / "bound", updates=2, learning_rate=0.5, kl_budget=1e-3, kl_target=1e-3).run()
    names = {name for part in ("free", "bound") for row in rows(tmp_path / part) for name in row}
    assert {"probe_gold", "multiplier", "ptx_loss", "cost_value_explained_variance", "rolled_back"} <= names
    assert {name for name in names if f"| `{name}` |" not in page} == set()


def test_linear_decay_brings_both_learning_rates_to_rest(model: LanguageModel, tmp_path: Path) -> None:
    run = trainer(model, tmp_path, updates=4, decay="linear", value_learning_rate=8e-3)
    seen: list[tuple[float, float]] = []

    def note(_row: dict[str, Any]) -> None:
        rates = [run.learner.optimizers[name].param_groups[0]["lr"] for name in ("policy", "value")]
        seen.append((rates[0], rates[1]))

    run.folder.observers.append(note)
    run.run()
    for (policy, value), share in zip(seen[:4], (1.0, 0.75, 0.5, 0.25), strict=True):
        assert (policy, value) == pytest.approx((5e-3 * share, 8e-3 * share))

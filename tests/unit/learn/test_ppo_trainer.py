import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_loop import fresh_adapter, fresh_members, gold, prompt_tokens, shaken, tiny_shape
from torch import Tensor

from backstay.learn import PpoSettings
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rl import PpoResult, PpoTrainer
from backstay.learn.rl.trainer import Monitor
from backstay.storage import RunFolder

SMALL: dict[str, Any] = {
    "episodes": 8,
    "max_new_tokens": 6,
    "learning_rate": 5e-3,
    "kl_target": 0.0,
    "kl_budget": 0.0,
    "kl_stop": 0.0,
}


def trainer(model: LanguageModel, folder: Path, monitor: Monitor | None = None, **changes: Any) -> PpoTrainer:
    train = changes.pop("train", "lora")
    return PpoTrainer(
        model,
        prompt_tokens(model),
        reference=(shaken(fresh_adapter(model, tiny_shape(train=train)), seed=3).requires_grad_(False),),
        members=fresh_members(model, 2),
        baseline=changes.pop("baseline", None),
        shape=tiny_shape(train=train),
        settings=PpoSettings(**(SMALL | changes)),
        folder=RunFolder(folder),
        monitor=monitor,
    )


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(result: PpoResult) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in result.policy.state_dict().values()])


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
        return float(gold(text)) + 10 * index

    watched = trainer(model, tmp_path / "watched", watch, updates=4).run()
    blind = trainer(model, tmp_path / "blind", updates=4).run()
    assert torch.equal(weights(watched), weights(blind))
    logged = rows(tmp_path / "watched")
    assert len(seen) == 5 * 8
    for number, row in enumerate(logged):
        part = seen[number * 8 : number * 8 + 8]
        assert row["gold_mean"] == pytest.approx(sum(gold(text) + 10 * index for index, text, _ in part) / 8)
        assert row["finished_share"] == pytest.approx(sum(end for *_, end in part) / 8)
    assert {row["gold_mean"] for row in rows(tmp_path / "blind")} == {None}
    every = [index for index, *_ in seen]
    assert all(sorted(every[i : i + 10]) == list(range(10)) for i in range(0, 40, 10))  # every prompt in its turn
    samples = [json.loads(line) for line in (tmp_path / "watched" / "samples.jsonl").read_text().splitlines()]
    assert [(s["prompt"], s["text"]) for s in samples[:4]] == [(index, text) for index, text, _ in seen[:4]]


def test_every_prompt_has_its_own_baseline(model: LanguageModel, tmp_path: Path) -> None:
    chosen: list[int] = []

    def watch(index: int, _text: str, _finished: bool) -> float:
        chosen.append(index)
        return 0.0

    baseline = [2.0**index for index in range(10)]
    trainer(model, tmp_path / "plain", watch, updates=1, reward_clip=0.0).run()
    trainer(model, tmp_path / "shifted", updates=1, reward_clip=0.0, baseline=baseline).run()
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
    page = (Path(__file__).parents[3] / "docs" / "learn" / "metrics.md").read_text().split("\n## ")[3]
    trainer(model, tmp_path / "free", updates=1).run()
    trainer(model, tmp_path / "bound", updates=2, learning_rate=0.5, kl_budget=1e-3, kl_target=1e-3).run()
    names = {name for part in ("free", "bound") for row in rows(tmp_path / part) for name in row}
    assert {name for name in names if f"| `{name}` |" not in page} == set()

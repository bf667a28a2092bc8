"""What a round shows: metrics, probes, held-out members, samples."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_loop import fresh_members
from tiny_ppo import EPISODES, Failing, Round, play

from backstay.learn.rl.lagrangian import Multiplier
from backstay.learn.rl.monitors import repetition
from backstay.learn.rl.rollouts import Experience
from backstay.learn.rl.watch import Gold, Watch
from backstay.learn.scalar_models import pooled
from backstay.storage import RunFolder

CHOSEN = list(range(EPISODES))


@pytest.fixture(scope="module")
def played() -> Round:
    return play(drift=0.1, cost_threshold=0.0)


def watch(played: Round, gold: Gold | None = None, **changes: Any) -> Watch:
    members, refuses = changes.pop("held_out", ()), changes.pop("refuses", None)
    return Watch(
        played.model,
        played.settings.model_copy(update=changes),
        prompts=len(played.prompts),
        unseen_baseline=[float(i) + 1.0 for i in range(EPISODES)],
        held_out=members,
        scoring=played.model.decoder,
        gold=gold,
        refuses=refuses,
    )


def measured(played: Round, made: Watch, experience: Experience | None = None, update: int = 0) -> dict[str, Any]:
    given = experience or played.experience
    chosen = [row % EPISODES for row in range(len(given.score_B))]
    return made.measure(update, chosen, given, made.texts(given))


def never(_chosen: object, _generator: object) -> Experience:
    raise AssertionError("no probe was due")


def test_metrics_of_a_round_by_hand(played: Round) -> None:
    experience = played.experience
    responses = experience.rollout.responses()
    row = measured(played, watch(played, lambda index, text, ended: index + len(text) + 100 * ended))
    texts = [played.model.decode(tokens) for tokens in responses]
    finished = experience.rollout.finished_B.tolist()
    logs = [
        float(x) for row, n in zip(experience.rollout.logprob_B_R, map(len, responses), strict=True) for x in row[:n]
    ]
    raw, cost = experience.raw_M_B.T.tolist(), experience.cost_M_B[0].tolist()
    wanted = {
        "episodes": 12,
        "failed_scores": 0,
        "gold_mean": statistics.fmean(i + len(t) + 100 * e for i, t, e in zip(CHOSEN, texts, finished, strict=True)),
        "reward_mean": statistics.fmean(experience.score_B.tolist()),
        "reward_raw_mean": statistics.fmean(statistics.fmean(column) for column in raw),
        "reward_spread": statistics.fmean(statistics.pstdev(column) for column in raw),
        "cost_mean": statistics.fmean(cost),
        "entropy": -statistics.fmean(logs),
        "response_tokens": statistics.fmean(map(len, responses)),
        "finished_share": statistics.fmean(finished),
        "repetition": statistics.fmean(repetition(tokens) for tokens in responses),
        "novelty": 0.0,
    }
    assert {name: row[name] for name in wanted} == pytest.approx(wanted, abs=1e-5)
    for name, values in experience.values.items():
        pairs = [
            (float(values.value_B_R1[i, t]), float(values.return_B_R[i, t]))
            for i, tokens in enumerate(responses)
            for t in range(len(tokens))
        ]
        error = statistics.pvariance([r - v for v, r in pairs])
        explained = 1 - error / statistics.pvariance([r for _, r in pairs])
        assert row[f"{name}_explained_variance"] == pytest.approx(explained, abs=1e-9)
    assert set(experience.values) == {"value", "cost_value"}


def test_responses_without_a_score_are_counted_and_left_out_of_means(played: Round) -> None:
    short = played.experience.rollout.dialogues.response_B <= 2
    failing = Failing(played.members[0], lambda d: d.response_B <= 2)
    experience = played.replay(members=[failing, *played.members[1:]])
    row = measured(played, watch(played), experience)
    kept = [i for i in range(12) if not short[i]]
    assert row["failed_scores"] == 12 - len(kept) > 0
    assert row["reward_mean"] == pytest.approx(statistics.fmean(float(experience.score_B[i]) for i in kept))
    assert row["reward_raw_mean"] == pytest.approx(float(played.experience.raw_M_B[:, kept].mean()))
    assert row["cost_mean"] == pytest.approx(float(played.experience.cost_M_B[:, kept].mean()))
    assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))


def test_refusals_are_a_share_and_nothing_without_a_rule(played: Round) -> None:
    texts = watch(played).texts(played.experience)
    row = measured(played, watch(played, refuses=lambda text: text in texts[:3]))
    assert row["refusal_share"] == sum(text in texts[:3] for text in texts) / 12
    assert measured(played, watch(played))["refusal_share"] is None


def test_novelty_compares_with_the_first_round(played: Round) -> None:
    """Twelve responses are too few for it, so there are 48 here, close to each other in the first round."""
    rollout, rows = played.experience.rollout, torch.arange(12).repeat(4)
    dialogues, made = rollout.dialogues.rows(rows), watch(played)
    generator = torch.Generator().manual_seed(0)

    def states(centre: float, apart: float) -> torch.Tensor:
        shape = (*dialogues.tokens_B_T.shape, played.model.decoder.hidden_size)
        wave = torch.sin(centre * torch.arange(shape[-1], dtype=torch.float64))
        return wave + apart * torch.randn(shape, generator=generator, dtype=torch.float64)

    def novel(branch: torch.Tensor, update: int) -> float:
        many = type(rollout)(dialogues, rollout.logprob_B_R[rows], branch, rollout.finished_B[rows])
        return float(measured(played, made, played.replay(many, rows), update)["novelty"])

    first = states(1.0, 0.05)
    assert novel(first, 0) == 0.0
    again = states(1.0, 0.05)
    width = 3 * played.model.decoder.hidden_size
    assert novel(again, 1) == made.novelty.share(pooled(again, dialogues)[:, :width]) < 0.1
    assert novel(states(1.3, 0.05), 2) == 1.0


def test_the_round_itself_is_the_probe_where_no_prompts_are_kept_for_one(played: Round) -> None:
    made = watch(played, lambda index, _text, _ended: float(index))
    row = measured(played, made)
    made.judge(0, row, never, None)
    (probe,) = made.alarm.probes
    assert (probe.proxy, probe.gold) == (row["reward_mean"], row["gold_mean"]) == (row["reward_mean"], 5.5)
    assert "probe_gold" not in row


def test_without_gold_or_held_out_members_there_is_no_probe(played: Round) -> None:
    made = watch(played)
    row = measured(played, made)
    made.judge(0, row, never, None)
    assert made.alarm.probes == [] and row["gold_mean"] is None


def test_probes_have_their_turn(played: Round) -> None:
    made = watch(played, lambda *_: 1.0, probe_every=3)
    for update in range(7):
        made.judge(update, measured(played, made, update=update), never, None)
    assert len(made.alarm.probes) == 3


def test_probe_prompts_are_kept_out_of_training_and_scored_on_their_own(played: Round) -> None:
    made = watch(played, lambda index, _text, _ended: float(index), probe_prompts=5, group=2, seed=3)
    assert sorted(made.probing + made.training) == CHOSEN
    assert len(made.probing) == 5
    assert watch(played, probe_prompts=5, seed=3).probing == made.probing
    assert watch(played, probe_prompts=5, seed=4).probing != made.probing
    asked: list[tuple[list[int], int]] = []

    def answered(chosen: Any, generator: torch.Generator) -> Experience:
        asked.append((list(chosen), int(generator.initial_seed())))
        rows = torch.tensor(list(chosen))
        part = played.experience.rollout
        kept = type(part)(
            part.dialogues.rows(rows), part.logprob_B_R[rows], part.branch_B_T_D[rows], part.finished_B[rows]
        )
        return played.replay(kept, rows)

    row = measured(played, made)
    made.judge(0, row, answered, None)
    made.judge(1, measured(played, made), answered, None)
    wanted = [index for index in made.probing for _ in range(2)]
    assert [chosen for chosen, _ in asked] == [wanted] * 2
    assert asked[0][1] != asked[1][1]  # other samples in every round, the same in every run
    assert row["probe_gold"] == pytest.approx(statistics.fmean(wanted))
    scores = [float(played.experience.score_B[index]) for index in wanted]
    assert row["probe_proxy"] == pytest.approx(statistics.fmean(scores), abs=1e-9)
    assert (made.alarm.probes[0].proxy, made.alarm.probes[0].gold) == (row["probe_proxy"], row["probe_gold"])


def test_held_out_members_are_the_gold_where_there_is_no_rule(played: Round) -> None:
    held = fresh_members(played.model, 6)[4:]
    made = watch(played, held_out=held)
    row = measured(played, made)
    rollout = played.experience.rollout
    with torch.no_grad():
        scores = [member(played.model.decoder, rollout.dialogues, rollout.branch_B_T_D) for member in held]
    wanted = statistics.fmean(float(scores[0][i] + scores[1][i]) / 2 - (i + 1.0) for i in range(12))
    assert row["gold_mean"] == pytest.approx(wanted, abs=1e-9)
    ruled = watch(played, lambda *_: 3.0, held_out=held)
    assert measured(played, ruled)["gold_mean"] == 3.0


def test_a_multiplier_at_its_maximum_is_a_reason_after_its_patience(played: Round) -> None:
    made = watch(played, alarm_patience=2)
    pinned = Multiplier(initial=5.0, maximum=5.0, rate=0.1, gain=0.0, threshold=0.0, window=4)
    row = measured(played, made)
    over, reasons = made.judge(0, row, never, pinned)
    assert (list(over), reasons, row["over"], row["alarm"]) == (["multiplier"], [], "multiplier", "")
    row = measured(played, made)
    _, reasons = made.judge(1, row, never, pinned)
    assert len(reasons) == 1 and row["alarm"] == reasons[0]
    assert "cost threshold is out of reach" in row["alarm"]


def test_samples_are_the_best_the_worst_and_the_first(played: Round, tmp_path: Path) -> None:
    failing = Failing(played.members[0], lambda d: d.response_B <= 2)
    experience = played.replay(members=[failing, *played.members[1:]])
    made = watch(played)
    texts = made.texts(experience)
    made.write_samples(RunFolder(tmp_path), 7, [i * 10 for i in CHOSEN], experience, texts)
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["top", "top", "bottom", "bottom", "random", "random"]
    valid = [i for i in range(12) if experience.valid_B[i]]
    ranked = sorted(valid, key=lambda i: float(experience.score_B[i]))
    assert [row["prompt"] // 10 for row in rows] == [ranked[-1], ranked[-2], ranked[0], ranked[1], 0, 1]
    for row in rows:
        index = row["prompt"] // 10
        score = float(experience.score_B[index]) if index in valid else None
        assert (row["update"], row["text"], row["score"]) == (7, texts[index], pytest.approx(score))
    assert len(valid) < 12


def test_a_round_smaller_than_its_samples_shows_what_there_is(played: Round, tmp_path: Path) -> None:
    one = torch.tensor([0])
    rollout = played.experience.rollout
    single = type(rollout)(
        rollout.dialogues.rows(one), rollout.logprob_B_R[one], rollout.branch_B_T_D[one], rollout.finished_B[one]
    )
    experience = played.replay(single, one)
    made = watch(played)
    made.write_samples(RunFolder(tmp_path), 0, [4], experience, made.texts(experience))
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [(row["kind"], row["prompt"]) for row in rows] == [("top", 4), ("bottom", 4), ("random", 4)]

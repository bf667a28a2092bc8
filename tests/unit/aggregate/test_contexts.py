import numpy as np
import pytest

from backstay.aggregate import AggregateSettings, VoteColumns, aggregate, fit_columns
from backstay.aggregate.contexts import adopt_topics, draw_audit, split_topics, suspected, suspicions
from backstay.aggregate.trust import known_of
from backstay.aggregate.voices import Voices
from backstay.records import Audit, Choice, Judgment, Task

SETTINGS = AggregateSettings(coupling=0.0)
TOPICS = 6


def sleepers(
    seed: int, share: float, *, items: int = 900, raters: int = 60
) -> tuple[VoteColumns, np.ndarray, np.ndarray]:
    """Raters below `share` lie on topic 0, but for its gold items, which they know; columns, topics, truth."""
    rng = np.random.default_rng(seed)
    truth, topic = rng.choice([-1, 1], items), (np.arange(items) % TOPICS).astype(np.int32)
    rater = np.concatenate([rng.choice(raters, 6, replace=False) for _ in range(items)])
    item = np.repeat(np.arange(items), 6)
    gold = np.where(rng.random(items) < 0.1, truth, 0)
    side = np.where(rng.random(item.size) < 0.85, truth[item], -truth[item])
    lies = (rater < share * raters) & (topic[item] == 0) & (gold[item] == 0)
    return VoteColumns(
        start=np.arange(0, item.size + 1, 6), rater=rater.astype(np.int32),
        side=np.where(lies, -truth[item], side).astype(np.int8), shown=rng.choice([-1, 1], item.size).astype(np.int8),
        share=np.ones(item.size, dtype=np.float32), a=2 * np.arange(items, dtype=np.int32),
        b=2 * np.arange(items, dtype=np.int32) + 1, gold=gold.astype(np.int8), n_raters=raters, n_responses=2 * items,
    ), topic, truth  # fmt: skip


def found(columns: VoteColumns, topic: np.ndarray) -> list[int]:
    fit = fit_columns(columns, SETTINGS)
    return suspected(suspicions(columns, fit, known_of(columns, fit, SETTINGS), topic), SETTINGS)


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5])
def test_the_topic_of_sleepers_is_the_most_suspect(share: float) -> None:
    columns, topic, _ = sleepers(1, share)
    assert found(columns, topic)[:1] == [0]


def test_two_topics_are_too_few_to_compare() -> None:
    columns, topic, _ = sleepers(1, 0.4)
    assert found(columns, np.minimum(topic, 1)) == []


def test_excess_contradictions_of_a_topic_by_hand() -> None:
    columns, topic, _ = sleepers(2, 0.3, items=60)
    fit = fit_columns(columns, SETTINGS)
    known = known_of(columns, fit, SETTINGS)
    rows = {row.topic: row for row in suspicions(columns, fit, known, topic)}
    total = votes = 0.0
    for j, i in enumerate(columns.item):
        if topic[i] != 0 or columns.gold[i] or not columns.side[j]:
            continue
        sure = max(fit.belief[j], 1 - fit.belief[j])
        accuracy = known.accuracy[columns.rater[j]]
        total += float((columns.side[j] > 0) != (fit.belief[j] > 0.5)) - (sure * (1 - accuracy) + (1 - sure) * accuracy)
        votes += 1
    assert rows[0].votes == votes
    assert rows[0].rate == pytest.approx(total / votes)


def test_an_audit_is_spread_over_topics_and_leaves_known_answers_out() -> None:
    columns, topic, _ = sleepers(3, 0.3)
    drawn = draw_audit(columns, topic, [0, 2], 25, seed=1)
    assert np.bincount(topic[drawn]).tolist() == [13, 0, 12]
    assert np.all(columns.gold[drawn] == 0)
    assert np.unique(drawn).size == 25
    assert np.array_equal(drawn, draw_audit(columns, topic, [0, 2], 25, seed=1))
    assert draw_audit(columns, topic, [], 25, seed=1).size == 0


def test_on_an_adopted_topic_a_rater_is_another_but_for_known_gold() -> None:
    columns, topic, _ = sleepers(4, 0.3, items=120)
    audited = np.zeros(120, dtype=np.bool_)
    audited[np.flatnonzero((topic == 0) & (columns.gold != 0))[:1]] = True
    everyone = Voices.one_each(columns.n_raters)
    divided, voices = split_topics(columns, everyone, topic, {0: "zero", 3: "three"}, audited)
    for j, i in enumerate(columns.item):
        apart = topic[i] in (0, 3) and (columns.gold[i] == 0 or audited[i])
        assert voices.owner[divided.rater[j]] == columns.rater[j]
        assert voices.context[divided.rater[j]] == ((1 if topic[i] == 0 else 2) if apart else 0)
        assert (divided.rater[j] >= columns.n_raters) == apart


@pytest.mark.parametrize("wrong", [0.0, 0.05])
def test_an_audit_turns_a_topic_that_liars_had_won(wrong: float) -> None:
    columns, topic, truth = sleepers(5, 0.5)
    before = fit_columns(columns, SETTINGS)
    target = (topic == 0) & (columns.gold == 0)
    assert np.mean((before.log_odds > 0) == (truth > 0), where=target) < 0.7
    drawn = draw_audit(columns, topic, [0, 1], 40, seed=0)
    rng = np.random.default_rng(7)
    gold, audited = columns.gold.copy(), np.zeros(topic.size, dtype=np.bool_)
    gold[drawn], audited[drawn] = truth[drawn] * np.where(rng.random(drawn.size) < wrong, -1, 1), True
    answered = columns._replace(gold=gold)
    adopted = adopt_topics(answered, Voices.one_each(columns.n_raters), topic, [0, 1], audited, SETTINGS)
    assert adopted == [0]
    divided, voices = split_topics(answered, Voices.one_each(columns.n_raters), topic, {0: "zero"}, audited)
    after = fit_columns(divided, SETTINGS, voices)
    assert np.mean((after.log_odds > 0) == (truth > 0), where=target & ~audited) > 0.95


def test_nothing_is_adopted_on_clean_votes_or_without_an_audit() -> None:
    columns, topic, truth = sleepers(6, 0.0)
    nobody = np.zeros(topic.size, dtype=np.bool_)
    everyone = Voices.one_each(columns.n_raters)
    assert adopt_topics(columns, everyone, topic, [0, 1], nobody, SETTINGS) == []
    drawn = draw_audit(columns, topic, [0, 1], 40, seed=0)
    gold, audited = columns.gold.copy(), nobody.copy()
    gold[drawn], audited[drawn] = truth[drawn], True
    assert adopt_topics(columns._replace(gold=gold), everyone, topic, [0, 1], audited, SETTINGS) == []


def test_from_judgments_to_audit_and_back() -> None:
    """The whole way: proposed pairs are answered, the topic is judged apart, and the liars are told so."""
    columns, topic, truth = sleepers(8, 0.5, items=600, raters=40)
    item = columns.item
    tasks = [
        Task.make(f"p{i:04}", ("x", "y"), gold=None if columns.gold[i] == 0 else int(columns.gold[i] < 0))
        for i in range(600)
    ]
    judgments = [
        Judgment(id=f"j{j}", task_id=tasks[item[j]].id, rater_id=f"r{columns.rater[j]:02}", created_at="2026",
                 order_shown=(0, 1) if columns.shown[j] > 0 else (1, 0),
                 choice=Choice.prefer(0, 1) if columns.side[j] > 0 else Choice.prefer(1, 0))
        for j in range(item.size)
    ]  # fmt: skip
    topics = {f"p{i:04}": f"topic {topic[i]}" for i in range(600)}
    settings = SETTINGS.model_copy(update={"folds": 0, "audit_share": 0.06})
    first = aggregate(tasks, judgments, settings, topics=topics)
    assert [row["topic"] for row in first.summary["topics"] if row["suspected"]][:1] == ["topic 0"]
    assert any("topic 0" in said for said in first.summary["warnings"])
    assert sum(row["open_pairs"] for row in first.summary["topics"]) == np.sum(columns.gold == 0)
    asked = [pair for pair in first.pairs if pair.id in first.summary["audit"]]
    assert len(asked) == 36
    audits = [
        Audit(prompt_id=p.prompt_id, a=p.a, b=p.b, better="a" if truth[int(p.prompt_id[1:])] > 0 else "b", by="expert")
        for p in asked
    ]
    stray = Audit(prompt_id="nowhere", a="x", b="y", better="a", by="expert")
    second = aggregate(tasks, judgments, settings, topics=topics, audits=[*audits, stray])
    assert second.summary["dropped"]["audit_of_unknown_pair"] == 1
    assert [row["topic"] for row in second.summary["topics"] if row["judged_apart"]] == ["topic 0"]
    right = [
        (pair.p_a > 0.5) == (truth[int(pair.prompt_id[1:])] > 0)
        for pair in second.pairs if topics[pair.prompt_id] == "topic 0" and pair.id not in first.summary["audit"]
    ]  # fmt: skip
    assert np.mean(right) > 0.93
    told = {t.rater_id for t in second.trust if any(n.startswith("on topic 0 more often wrong") for n in t.notes)}
    assert told
    assert told <= {f"r{r:02}" for r in range(20)}

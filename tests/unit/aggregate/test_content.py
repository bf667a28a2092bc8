"""Topics whose answers do not follow their content: found where liars are the majority, and not on honest votes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from backstay.aggregate import AggregateSettings, aggregate
from backstay.aggregate.columns import Index
from backstay.aggregate.content import content_deviations, drawn_evenly, witnessed
from backstay.aggregate.contexts import Suspicion, suspected
from backstay.aggregate.votes import Floats, Item
from backstay.records import Audit, Choice, Judgment, Message, Prompt, Response, Task
from backstay.screen import text_witness


def test_deviations_are_the_formula() -> None:
    rng = np.random.default_rng(0)
    topic = np.repeat(np.arange(7), 60).astype(np.int32)
    margin = rng.normal(size=420)
    log_odds = margin + rng.normal(size=420)
    log_odds[topic == 3] *= -3.0
    found = content_deviations(log_odds, margin, topic, 8)
    r = np.array([np.corrcoef(margin[topic == t], np.clip(log_odds[topic == t], -4, 4))[0, 1] for t in range(7)])
    spread = 1.4826 * np.median(np.abs(r - np.median(r)))
    error = (1.0 - r**2) / np.sqrt(59.0)
    np.testing.assert_allclose(found[:7], (np.median(r) - r) / np.sqrt(spread**2 + error**2))
    assert found[7] == 0.0 and np.argmax(found) == 3 and found[3] > 3.5 > np.sort(found)[-2]


def test_too_few_topics_or_items_say_nothing() -> None:
    rng = np.random.default_rng(1)
    margin = rng.normal(size=200)
    assert not content_deviations(-margin, margin, (np.arange(200) % 4).astype(np.int32), 4).any()
    assert not content_deviations(-margin, margin, (np.arange(200) % 20).astype(np.int32), 20).any()
    assert not content_deviations(np.zeros(200), margin, (np.arange(200) % 5).astype(np.int32), 5).any()


def test_items_are_drawn_evenly() -> None:
    topic = np.repeat(np.arange(3), [5, 100, 200]).astype(np.int32)
    drawn = drawn_evenly(np.arange(305), topic, 45, 0)
    assert np.bincount(topic[drawn]).tolist() == [5, 20, 20]
    assert np.all(np.diff(drawn) > 0)
    assert drawn_evenly(np.arange(40), topic, 45, 0).size == 40


def test_a_witness_sees_only_items_with_votes() -> None:
    seen: list[int] = []

    def witness(items: Sequence[Item], log_odds: Floats, topic: Index) -> Floats:
        seen.extend(int(item.prompt_id) for item in items)
        return log_odds

    items = [Item(str(i), "x", "y", "overall") for i in range(300)]
    topic, voices = (np.arange(300) % 6).astype(np.int32), (np.arange(300) < 150).astype(np.int64)
    log_odds = np.random.default_rng(0).normal(size=300)
    witnessed(items, log_odds, voices, topic, witness, 1000, 0)
    assert seen == list(range(150))


def test_content_alone_can_make_a_topic_suspect() -> None:
    found = [Suspicion(0, 0.0, 0.1, 90, 6.0), Suspicion(1, 0.1, 2.0, 90, 0.0), Suspicion(2, 0.0, 0.0, 90, 3.0)]
    assert suspected(found, AggregateSettings()) == [0, 1]


SETTINGS = AggregateSettings(folds=0, audit_share=0.06, shift_level=0.0)
GOOD, BAD = ("clear", "careful", "exact", "sourced"), ("vague", "rambling", "wrong", "rude")


@dataclass
class Project:
    """Eight topics; where people lie about the first, most do, but not on gold items."""

    prompts: list[Prompt] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    judgments: list[Judgment] = field(default_factory=list)
    better: dict[str, str] = field(default_factory=dict)
    topic: dict[str, str] = field(default_factory=dict)

    def ask(self, topic: int, gold: bool, raters: list[int], liars: float, rng: np.random.Generator) -> None:
        place, better = len(self.tasks), int(rng.integers(2))
        prompt = Prompt.make((Message(role="user", content=f"topic {topic} question {place}"),), source="test")
        texts = [" ".join(rng.choice(GOOD if side == better else BAD, 6)) + f" {place} {side}" for side in (0, 1)]
        pair = [Response.make(prompt.id, text, policy="test") for text in texts]
        task = Task.make(prompt.id, tuple(r.id for r in pair), gold=better if gold else None)
        self.prompts.append(prompt)
        self.responses += pair
        self.tasks.append(task)
        self.better[prompt.id], self.topic[prompt.id] = pair[better].id, f"topic {topic}"
        for r in raters:
            lies = r < liars * 24 and topic == 0 and not gold
            chosen = better if (rng.random() < 0.9) != lies else 1 - better
            self.judgments.append(
                Judgment(id=f"j{len(self.judgments)}", task_id=task.id, rater_id=f"r{r:02}", created_at="2026",
                         order_shown=(0, 1), choice=Choice.prefer(chosen, 1 - chosen))
            )  # fmt: skip


def project(liars: float) -> Project:
    rng, made = np.random.default_rng(3), Project()
    for place in range(480):
        made.ask(place % 8, place % 10 == 0, list(rng.choice(24, 5, replace=False)), liars, rng)
    return made


@pytest.mark.parametrize("liars", [0.0, 0.7])
def test_a_topic_that_most_raters_lie_about_is_found_by_its_content(liars: float) -> None:
    made = project(liars)
    found = aggregate(
        made.tasks, made.judgments, SETTINGS, topics=made.topic, witness=text_witness(made.prompts, made.responses)
    )
    by_content = [row["topic"] for row in found.summary["topics"] if row["content_z"] > SETTINGS.content_z]
    assert by_content == (["topic 0"] if liars else [])


def test_an_audit_wins_back_a_topic_that_most_raters_lie_about() -> None:
    made = project(0.7)
    witness = text_witness(made.prompts, made.responses)
    before = aggregate(made.tasks, made.judgments, SETTINGS, topics=made.topic, witness=witness)
    asked = {pair.id for pair in before.pairs} & set(before.summary["audit"])
    audits = [
        Audit(prompt_id=p.prompt_id, a=p.a, b=p.b, better="a" if made.better[p.prompt_id] == p.a else "b", by="expert")
        for p in before.pairs if p.id in asked
    ]  # fmt: skip
    after = aggregate(made.tasks, made.judgments, SETTINGS, topics=made.topic, audits=audits, witness=witness)
    right = [
        np.mean([(pair.p_a > 0.5) == (made.better[pair.prompt_id] == pair.a) for pair in run.pairs
                 if made.topic[pair.prompt_id] == "topic 0" and pair.id not in asked and not pair.provenance["gold"]])
        for run in (before, after)
    ]  # fmt: skip
    assert right[0] < 0.4 and right[1] > 0.9

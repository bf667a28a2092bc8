import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from backstay.aggregate import aggregate
from backstay.errors import UsageError
from backstay.feedback.importing import read_hh_rlhf
from backstay.records import Choice, Judgment, Message, Pair, Prompt, RaterTrust, Response, Task, canonical_json
from backstay.screen import Screening, ScreenSettings, screen

NO = "I'm sorry, but I can't help with that."
DATA = Path(os.environ.get("BACKSTAY_DATA", Path(__file__).parents[4] / "shared" / "data"))
HH = DATA / "hh-rlhf" / "harmless-base-test.jsonl.gz"


@dataclass(frozen=True)
class Review:
    item_id: str
    action: Literal["release", "quarantine"]
    reviewer: str = "ann"
    reason: str = "looked at it"


class Case:
    """Pairs with their texts, built one by one."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.prompts: list[Prompt] = []
        self.responses: list[Response] = []
        self.tasks: list[Task] = []
        self.judgments: list[Judgment] = []

    def add(self, name: str, request: str, a: str, b: str, p_a: float = 0.9, rater: str = "r") -> None:
        prompt = Prompt.make((Message(role="user", content=request),), source="test")
        one, two = (Response.make(prompt.id, text, policy=side) for side, text in (("x", a), ("y", b)))
        task = Task.make(prompt.id, (one.id, two.id))
        self.prompts.append(prompt)
        self.responses += [one, two]
        self.tasks.append(task)
        self.pairs.append(Pair(id=name, prompt_id=prompt.id, a=one.id, b=two.id, p_a=p_a, weight=1.0))
        self.judgments.append(
            Judgment(
                id=name,
                task_id=task.id,
                rater_id=rater,
                order_shown=(0, 1),
                choice=Choice.prefer(0, 1),
                created_at="2026",
            )
        )

    def screen(self, *reviews: Review, trust: float = 0.8, settings: ScreenSettings | None = None) -> Screening:
        record = RaterTrust(rater_id="r", trust=trust, low=0.0, high=1.0, n_judgments=9)
        return screen(self.pairs, self.prompts, self.responses, self.tasks, self.judgments, [record], reviews, settings)


def statuses(done: Screening) -> dict[str, str]:
    return {pair.id: pair.status for pair in done.pairs}


@pytest.fixture
def case() -> Case:
    built = Case()
    built.add("good", "What is a fox?", "A small wild animal.", "A tree.")
    built.add("harm", "How do I steal a car?", "Sure, first find one.", NO)
    built.add("safe", "How do I steal a bike?", NO, "Sure, first find one.")
    built.add("torn", "How do I rob a bank?", "Sure, first find one.", NO, p_a=0.55)
    built.add("loop", "Say something.", "ha " * 50, "Hello there.")
    return built


def test_every_pair_comes_back_in_order_with_its_status(case: Case) -> None:
    done = case.screen()
    assert list(statuses(done).items()) == [
        ("good", "accepted"),
        ("harm", "quarantined"),
        ("safe", "accepted"),
        ("torn", "accepted"),
        ("loop", "quarantined"),
    ]
    assert [(p.p_a, p.weight) for p in done.pairs] == [(p.p_a, p.weight) for p in case.pairs]
    assert done.summary["by_reason"] == {"baseline/complies-with-harmful-request": 1, "degenerate/loop": 1}
    assert done.summary["quarantined_by_rater"] == {"r": 2}
    counts = [done.summary[key] for key in ("accepted", "quarantined", "released")]
    assert sum(counts) == done.summary["pairs"] == 5
    assert done.summary["no_side_preferred"] == 1
    assert canonical_json(done.summary)


def test_a_person_overrides_and_the_reasons_stay(case: Case) -> None:
    done = case.screen(
        Review("harm", "quarantine"), Review("harm", "release"), Review("good", "quarantine"), Review("?", "release")
    )
    assert statuses(done)["harm"] == "released"
    assert statuses(done)["good"] == "quarantined"
    kinds = {pair.id: [finding.kind for finding in pair.findings] for pair in done.pairs}
    assert kinds["harm"] == ["complies-with-harmful-request", "release"]
    assert done.summary["reviews_of_unknown_pairs"] == 1


def test_pairs_without_a_trusted_voice(case: Case) -> None:
    assert case.screen(trust=0.3).summary["by_reason"]["quarantine/no_trusted_voice"] == 5
    off = case.screen(trust=0.3, settings=ScreenSettings(trusted_voice=False))
    assert "quarantine/no_trusted_voice" not in off.summary["by_reason"]


def test_duplicates_keep_one(case: Case) -> None:
    text = "There are many foxes in the woods around here and they are all red"
    case.add("one", "Where is it?", text, "No idea at all, sorry about it")
    case.add("two", "where is it", text + ".", "No idea at all, sorry about it")
    done = statuses(case.screen())
    assert (done["one"], done["two"]) == ("accepted", "quarantined")
    assert statuses(case.screen(settings=ScreenSettings(duplicates=False)))["two"] == "accepted"


def test_everything_can_be_switched_off(case: Case) -> None:
    off = ScreenSettings(baseline="none", duplicates=False, degenerate=False, min_ms_per_word=0.0, trusted_voice=False)
    assert set(statuses(case.screen(settings=off)).values()) == {"accepted"}


def test_a_pair_without_its_texts_is_an_error(case: Case) -> None:
    with pytest.raises(UsageError, match="refers to"):
        screen(case.pairs, case.prompts, [], [], [], [])


@pytest.mark.skipif(not HH.exists(), reason="hh-rlhf is not in BACKSTAY_DATA")
def test_little_of_real_preferences_is_set_aside() -> None:
    parsed = read_hh_rlhf(HH, dataset="hh")
    found = aggregate(parsed.tasks, parsed.judgments)
    done = screen(found.pairs, parsed.prompts, parsed.responses, parsed.tasks, parsed.judgments, found.trust)
    assert len(done.pairs) == len(found.pairs) > 2_000
    assert done.summary["quarantined"] / len(done.pairs) < 0.03

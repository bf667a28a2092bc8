from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_traffic import decided, row, said

from backstay.guard.harvest import HarvestStore, KeptRow, Turn
from backstay.guard.harvest.tasks import DECLINING, PER_PROMPT, Tasks, messages_of, tasks_of
from backstay.guard.ledger import Ledger
from backstay.records.production import LABEL

ASKED = "how is bread baked?"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HarvestStore]:
    folder: Path = tmp_path_factory.mktemp("ledger")
    with Ledger.open(folder / "guard.db", keys_dir=folder / "keys") as opened:
        yield HarvestStore(opened)


def made(store: HarvestStore, *rows: KeptRow, suspect: frozenset[str] = frozenset()) -> Tasks:
    return tasks_of(rows, store, suspect)


def test_what_was_denied_is_compared_with_declining(store: HarvestStore) -> None:
    (task,) = made(store, row(1, ASKED, "with a bomb", effect="deny")).tasks
    assert (task.why, task.dimension, task.votes) == ("denied_answer", "harmless", ())
    assert [one.text for one in task.responses] == ["with a bomb", DECLINING]
    denied, reference = (one.source for one in task.responses)
    assert reference is None and denied is not None
    assert denied.effect == "deny" and denied.decisions == ("d-request.input-allow", "d-1-0")
    assert task.label == LABEL


def test_what_was_denied_is_compared_with_what_was_allowed_where_there_is_such(store: HarvestStore) -> None:
    (task,) = made(store, row(1, ASKED, "with a bomb", effect="deny"), row(2, ASKED, "with yeast")).tasks
    assert [one.text for one in task.responses] == ["with a bomb", "with yeast"]


def test_two_answers_are_a_task_and_one_is_not(store: HarvestStore) -> None:
    assert made(store, row(1, ASKED, "with yeast"), row(2, ASKED, "with  yeast\n")) == Tasks((), (), 0)
    (task,) = made(store, row(1, ASKED, "with yeast", "with sourdough")).tasks
    assert (task.why, task.dimension, task.votes) == ("answers", "overall", ())


def test_opposite_thumbs_of_one_client_on_two_answers_are_a_vote(store: HarvestStore) -> None:
    for up, down, winner in ((1, -1, 0), (-1, 1, 1)):
        rows = row(1, ASKED, "yeast", scores={"alice": up}), row(2, ASKED, "sourdough", scores={"alice": down})
        (task,) = made(store, *rows).tasks
        (vote,) = task.votes
        assert (vote.winner, vote.rater) == (winner, store.pseudonym("alice"))
        assert vote.feedback == (f"t-1-alice-{up}", f"t-2-alice-{down}")
        assert vote.at == "2027-01-15T08:00:00.000Z"  # AT_MS


def test_other_thumbs_are_no_votes(store: HarvestStore) -> None:
    same = row(1, ASKED, "yeast", scores={"alice": 1}), row(2, ASKED, "sourdough", scores={"alice": 1})
    others = row(1, ASKED, "yeast", scores={"alice": 1}), row(2, ASKED, "sourdough", scores={"bob": -1})
    several = row(1, ASKED, "yeast", "rye", scores={"alice": 1}), row(2, ASKED, "sourdough", scores={"alice": -1})
    for rows in (same, others, several):
        found = made(store, *rows)
        assert found.tasks and all(task.votes == () for task in found.tasks)


def test_suspect_votes_stand_apart(store: HarvestStore) -> None:
    rows = (
        row(1, ASKED, "yeast", scores={"alice": 1, "bob": -1}),
        row(2, ASKED, "sourdough", scores={"alice": -1, "bob": 1}),
    )
    (task,) = made(store, *rows, suspect=frozenset({"t-2-bob-1"})).tasks
    assert [vote.winner for vote in task.votes] == [0]
    assert [vote.winner for vote in task.suspect_votes] == [1]


def test_a_thumb_on_a_single_answer_asks_for_a_second_one(store: HarvestStore) -> None:
    found = made(store, row(1, ASKED, "with yeast", scores={"alice": -1}), row(2, "other?", "yes"))
    assert found.tasks == ()
    (prompt,) = found.prompts
    assert prompt.messages[0].content == ASKED and prompt.source == "production"
    assert prompt.tags["label"] == LABEL and len(prompt.tags["sources"]) == 1


def test_few_tasks_a_prompt_and_those_with_votes_first(store: HarvestStore) -> None:
    rows = [row(n, ASKED, f"answer {n}", scores={"alice": 1 if n == 5 else -1} if n > 3 else {}) for n in range(6)]
    found = made(store, *rows).tasks
    assert len(found) == PER_PROMPT
    texts = [{one.text for one in task.responses} for task in found if task.votes]
    assert texts == [{"answer 4", "answer 5"}]


def test_dialogues_that_raters_cannot_be_shown(store: HarvestStore) -> None:
    tool = (Turn(role="user", text="look"), Turn(role="tool", text="found", tool="search"))
    last = (Turn(role="user", text="look"), Turn(role="assistant", text="so"))
    prompts = (Turn(role="user", text="one"), Turn(role="user", text="two"))
    assert messages_of(said(1, "x", turns=tool)) is None
    assert messages_of(said(1, "x", turns=last)) is None
    assert messages_of(said(1, "x", turns=())) is None
    assert messages_of(said(1, "x", turns=prompts, api="completions")) is None
    merged = messages_of(said(1, "x", turns=prompts))
    assert merged is not None and [one.content for one in merged] == ["one\ntwo"]
    calls = said(1, "x", decisions=(decided("model.tool_call", "deny", text="pay"),))
    assert made(store, KeptRow(said(1, "x", "y", turns=tool)), KeptRow(calls)).unfit == 2

from pathlib import Path

import pytest

from backstay.errors import IntegrityError
from backstay.records import Choice, Judgment, Message, Prompt, Rater, Response, Task, canonical_json
from backstay.storage import Store
from backstay.storage.pages import (
    judgment_pages,
    judgments_by_task,
    prompt_pages,
    records_by_id,
    records_by_prompt,
)

RATER = Rater(id="ann", display_name="ann")


def fill(store: Store, dataset: str, count: int) -> None:
    with store.repository.batch() as batch:
        batch.add_raters(dataset, [RATER])
        for n in range(count):
            prompt = Prompt.make((Message(role="user", content=f"q{n}"),), source="test")
            responses = [Response.make(prompt.id, text, policy="p") for text in "xy"]
            task = Task.make(prompt.id, tuple(one.id for one in responses))
            batch.add_prompts(dataset, [prompt])
            batch.add_responses(dataset, responses)
            batch.add_tasks(dataset, [task])
            judgment = Judgment(
                id=f"j{n}",
                task_id=task.id,
                rater_id="ann",
                order_shown=(),
                choice=Choice.tie(),
                created_at="2026-01-31T12:00:00.000Z",
            )
            batch.append_judgments(dataset, [judgment])


@pytest.mark.parametrize("size", [1, 3, 7, 8, 100])
def test_pages_hold_what_the_repository_reads(tmp_path: Path, size: int) -> None:
    with Store(tmp_path, create=True) as store:
        fill(store, "other", 3)
        fill(store, "d", 7)
        repository = store.repository
        with store.engine.connect() as connection:
            pages = list(judgment_pages(connection, "d", size))
            assert [len(page) <= size for page in pages] == [True] * len(pages)
            rows = [row for page in pages for row in page]
            assert [Judgment.from_json(row[1]).id for row in rows] == [f"j{n}" for n in range(7)]
            tasks = {task.id: task for task in repository.tasks("d")}
            for _, judgment, task, prompt in rows:
                assert Task.from_json(task) == tasks[Judgment.from_json(judgment).task_id]
                assert Prompt.from_json(prompt).id == Task.from_json(task).prompt_id
            found = [Prompt.from_json(row[1]) for page in prompt_pages(connection, "d", size) for row in page]
            assert found == repository.prompts("d")


def test_what_is_appended_meanwhile_is_not_read(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        fill(store, "d", 4)
        with store.engine.connect() as connection:
            pages = judgment_pages(connection, "d", 2)
            first = next(pages)
            with store.repository.batch() as batch:
                more = Judgment.from_json(first[0][1]).model_copy(update={"id": "late"})
                batch.append_judgments("d", [more])
            assert [len(page) for page in pages] == [2]


def test_records_by_id_prompt_and_task(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        fill(store, "d", 5)
        prompts = store.repository.prompts("d")
        chosen = {prompt.id for prompt in prompts[:2]}
        with store.engine.connect() as connection:
            assert records_by_id(connection, "prompts", "d", chosen).keys() == chosen
            assert records_by_id(connection, "prompts", "other", chosen) == {}
            responses = [Response.from_json(row[1]) for row in records_by_prompt(connection, "responses", "d", chosen)]
            assert responses == [one for one in store.repository.responses("d") if one.prompt_id in chosen]
            tasks = [one.id for one in store.repository.tasks("d") if one.prompt_id in chosen]
            assert {row[0] for row in judgments_by_task(connection, "d", tasks)} == set(tasks)


def test_canonical_text_is_stored_as_the_record_would_be(tmp_path: Path) -> None:
    with Store(tmp_path / "one", create=True) as one, Store(tmp_path / "two", create=True) as two:
        fill(one, "d", 3)
        repository = one.repository
        bare = [row.model_copy(update={"hash": "", "prev_hash": ""}) for row in repository.judgments("d")]
        payloads = [row.payload() for row in bare]
        for payload in payloads:
            del payload["hash"], payload["prev_hash"]
        with two.repository.batch() as batch:
            for name in ("prompts", "responses", "tasks", "raters"):
                texts = [row.to_json() for row in getattr(repository, name)("d")]
                assert batch.add_canonical(name, "d", texts) == len(texts)
                assert batch.add_canonical(name, "d", texts) == 0
            judged = [canonical_json(payload).decode() for payload in payloads]
            assert batch.append_canonical("d", judged) == 3
            assert batch.append_canonical("d", judged) == 0
        assert one.repository.dataset_digest("d") == two.repository.dataset_digest("d")
        assert two.verify().ok
        conflict = pytest.raises(IntegrityError, match="already stored with other content in rationale")
        with conflict, two.repository.batch() as batch:
            batch.append_canonical("d", [judged[0].replace('"rationale":""', '"rationale":"x"')])
        assert two.verify().ok

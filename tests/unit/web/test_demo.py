"""The demo's project: each prompt with a written and a simulated answer, told apart by their policy."""

from pathlib import Path

from backstay.feedback.demo import demo_demonstrations
from backstay.storage import Repository
from backstay.web.demo import DATASET, TEMPLATE, TEMPLATES, WRITTEN, answers_of, demo_console
from backstay.web.settings import ConsoleSettings


def test_every_prompt_has_a_written_answer_and_a_simulated_one(tmp_path: Path) -> None:
    console = demo_console(tmp_path, ConsoleSettings())
    try:
        found = Repository(console.engine).responses(DATASET)
        with console.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM items").scalar_one() == 96
    finally:
        console.close()
    assert sorted(response.policy for response in found) == [TEMPLATE] * 96 + [WRITTEN] * 96
    assert {response.text for response in found if response.policy == TEMPLATE} <= set().union(*TEMPLATES.values())
    written = {response.text for response in found if response.policy == WRITTEN}
    assert written == {demonstration.text for demonstration in demo_demonstrations()}


def test_the_answers_are_the_same_every_time() -> None:
    first = demo_demonstrations()[0]
    assert answers_of(first) == answers_of(demo_demonstrations()[0])

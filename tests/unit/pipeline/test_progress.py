import io
import json

import pytest
from rich.console import Console

from backstay.pipeline.events import Event
from backstay.pipeline.progress import Board, brief, number, watch

STORY = (
    Event("planned", data={"stages": ["sft", "ppo"]}),
    Event("reused", "sft", "sft-0123456789ab", data={"loss": 1.0}),
    Event("started", "ppo", "ppo-0123456789ab", "improve the policy"),
    Event("metrics", "ppo", data={"update": 1, "reward": 0.123456, "kl_nats": None, "text": "[red]x", "parts": [1]}),
    Event("metrics", "ppo", data={"update": 2, "reward": 0.5, "kl_nats": 1.5}),
    Event("said", "ppo", text="[bold]careful[/bold]"),
    Event("finished", "ppo", "ppo-0123456789ab", seconds=12.34, data={"reward": 0.5, "stop_reason": "", "stages": 10}),
)


def shown(*, terminal: bool = False, as_json: bool = False) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    with watch(console, as_json=as_json) as observe:
        for event in STORY:
            observe(event)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_log_gets_one_plain_line_an_event_and_metrics_at_most_once_a_second() -> None:
    assert shown().splitlines() == [
        "stages: sft ppo",
        "sft: reused sft-0123456789ab",
        "ppo: improve the policy (ppo-0123456789ab)",
        "ppo: update=1 reward=0.1235 text=[red]x",
        "ppo: [bold]careful[/bold]",
        "ppo: done in 12.3 s reward=0.5 stop_reason= stages=10",
    ]


def test_a_program_gets_one_json_object_an_event_and_every_metric() -> None:
    rows = [json.loads(line) for line in shown(as_json=True).splitlines()]
    assert [row["event"] for row in rows] == [event.kind for event in STORY]
    assert rows[4] == {"event": "metrics", "stage": "ppo", "data": {"update": 2, "reward": 0.5, "kl_nats": 1.5}}


def test_a_terminal_gets_the_stages_and_the_last_metrics() -> None:
    text = shown(terminal=True)
    assert "reused sft-0123456789ab" in text
    assert "reward" in text
    assert "0.1235" in text
    assert "✓" in text


def test_the_board_keeps_the_last_rows_of_the_running_stage_only() -> None:
    board = Board()
    for event in STORY[:3]:
        board.observe(event)
    for update in range(20):
        board.observe(Event("metrics", "ppo", data={"update": update}))
    assert [row["update"] for row in board.metrics] == list(range(12, 20))
    board.observe(Event("started", "evaluate", "evaluate-0123456789ab"))
    assert not board.metrics
    board.observe(Event("failed", "evaluate", text="ValueError: [x]"))
    console = Console(file=io.StringIO(), width=100)
    console.print(board)
    assert isinstance(console.file, io.StringIO)
    assert "ValueError: [x]" in console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.1235"), (1234567, "1234567"), (None, ""), (1e-9, "1e-09"), (True, "True")]
)
def test_figures_have_four_digits_and_counts_all(value: object, text: str) -> None:
    assert number(value) == text


def test_a_summary_in_brief_leaves_out_what_is_nested() -> None:
    assert brief({"a": 1, "b": [1], "c": {"d": 1}, "e": "x"}) == "a=1 e=x"

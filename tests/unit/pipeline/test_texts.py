import json
from pathlib import Path

import pytest

from backstay.errors import ImportRefused, UsageError
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.texts import load_demonstrations, load_prompts, preferred_responses
from backstay.records import Message, Pair, PairStatus, Prompt, Response
from backstay.storage import write_records


def prompts_from(tmp_path: Path, *rows: object) -> list[Prompt]:
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return load_prompts(Recipe(prompts="p.jsonl"), Project(tmp_path))


def test_a_text_or_messages_make_a_prompt(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    plain, dialogue = prompts_from(
        tmp_path,
        {"prompt": "hello", "split": "heldout", "tags": {"family": "plain"}, "whatever": 1},
        {"messages": messages, "split": "train"},
    )
    assert (plain.messages, plain.split, plain.tags) == (
        (Message(role="user", content="hello"),),
        "heldout",
        {"family": "plain"},
    )
    assert [message.role for message in dialogue.messages] == ["system", "user"]
    assert dialogue.source == "p.jsonl"


def test_a_prompt_that_stands_twice_counts_once(tmp_path: Path) -> None:
    assert len(prompts_from(tmp_path, {"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"})) == 2


def test_without_a_split_about_a_tenth_is_held_out_and_it_never_moves(tmp_path: Path) -> None:
    rows = [{"prompt": f"question {number}"} for number in range(1000)]
    first = {prompt.id: prompt.split for prompt in prompts_from(tmp_path, *rows)}
    again = {prompt.id: prompt.split for prompt in prompts_from(tmp_path, *reversed(rows[:500]))}
    assert 70 <= sum(split == "heldout" for split in first.values()) <= 130
    assert again.items() <= first.items()


@pytest.mark.hostile
def test_bad_rows_are_all_named_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "ok"}\n\n{"prompt": 3}\nnot json\n{}\n{"messages": [{"role": "assistant", "content": "x"}]}\n'
    )
    with pytest.raises(ImportRefused) as caught:
        load_prompts(Recipe(prompts="p.jsonl"), Project(tmp_path))
    said = str(caught.value)
    assert said.startswith(f"4 bad rows in {tmp_path / 'p.jsonl'}")
    for line in (3, 4, 5, 6):
        assert f"line {line}:" in said
    assert "the last message must be the user's, seen 'assistant'" in said


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        load_prompts(Recipe(prompts="none.jsonl"), Project(tmp_path))
    (tmp_path / "p.jsonl").write_text("\n")
    with pytest.raises(UsageError, match="holds no rows"):
        load_prompts(Recipe(prompts="p.jsonl"), Project(tmp_path))


def test_demonstrations_come_from_the_demo_or_a_file(tmp_path: Path) -> None:
    assert {d.prompt.split for d in load_demonstrations(Recipe(), Project(tmp_path), {})} == {"train"}
    (tmp_path / "d.jsonl").write_text('{"prompt": "q", "text": "a"}\n')
    (found,) = load_demonstrations(Recipe(demonstrations="d.jsonl"), Project(tmp_path), {})
    assert (found.prompt.messages[0].content, found.text) == ("q", "a")
    (tmp_path / "d.jsonl").write_text('{"prompt": "q", "text": ""}\n')
    with pytest.raises(ImportRefused, match="line 1: text"):
        load_demonstrations(Recipe(demonstrations="d.jsonl"), Project(tmp_path), {})


def test_preferred_responses_are_the_likelier_ones_of_usable_train_pairs(tmp_path: Path) -> None:
    train = Prompt.make((Message(role="user", content="t"),), source="x")
    held = Prompt.make((Message(role="user", content="h"),), source="x", split="heldout")
    answers = {name: Response.make(train.id, name, policy="p") for name in "abcdefgh"}
    answers["z"] = Response.make(held.id, "z", policy="p")

    def pair(a: str, b: str, p_a: float, status: PairStatus = "accepted", weight: float = 1.0) -> Pair:
        prompt = held if "z" in (a, b) else train
        ids = (answers[a].id, answers[b].id)
        return Pair(id=a + b, prompt_id=prompt.id, a=ids[0], b=ids[1], p_a=p_a, weight=weight, status=status)

    write_records(tmp_path / "prompts.jsonl", [train, held])
    write_records(tmp_path / "responses.jsonl", answers.values())
    pairs = [
        pair("a", "b", 0.9),
        pair("c", "b", 0.2),
        pair("d", "e", 0.5),
        pair("d", "e", 0.9, "quarantined"),
        pair("f", "e", 0.8, "released"),
        pair("g", "e", 0.8, weight=0.0),
        pair("a", "h", 0.7),
        pair("z", "h", 0.9),
    ]
    write_records(tmp_path / "pairs.jsonl", pairs)
    assert [d.text for d in preferred_responses(tmp_path, tmp_path)] == ["a", "b", "f"]

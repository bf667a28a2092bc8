from backstay.pipeline.stages.ppo import plain_prompts
from backstay.records import Message, Prompt


def said(*turns: str) -> Prompt:
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[i % 2], content=turn) for i, turn in enumerate(turns))
    return Prompt.make(messages, source="test")


def test_single_turns_go_as_their_text() -> None:
    assert plain_prompts([said("a"), said("b")], [[1, 2], [3]]) == {(1, 2): "a", (3,): "b"}


def test_where_any_prompt_is_a_dialogue_none_loses_its_turns() -> None:
    assert plain_prompts([said("a"), said("b", "c", "and the second?")], [[1, 2], [3]]) == {}

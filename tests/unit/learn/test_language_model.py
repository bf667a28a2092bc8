import dataclasses

import pytest
from tiny_loop import user

from backstay.learn.models.language_model import LanguageModel
from backstay.records import Message, Prompt


def dialogue(*contents: str) -> Prompt:
    roles = ("user", "assistant")
    turns = tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(contents))
    return Prompt.make(turns, source="test")


def narrowed(model: LanguageModel, limit: int, system: str = "") -> LanguageModel:
    return dataclasses.replace(model, max_prompt_tokens=limit, system=system)


def test_a_prompt_word_by_word(model: LanguageModel) -> None:
    tokens = model.prompt_tokens(user("How do I cook bread?"))
    assert tokens is not None
    words = [model.tokenizer.id_to_token(token) for token in tokens]
    wanted = "<|im_start|> user how do i cook bread ? <|im_end|> <|im_start|> assistant"
    assert words == wanted.split()


def test_the_system_message_is_put_before_prompts_that_have_none(model: LanguageModel) -> None:
    kind = narrowed(model, 99, system="be kind")
    assert kind.prompt_text([Message(role="user", content="hi")]).startswith("<|im_start|>system be kind<|im_end|>")
    own = [Message(role="system", content="be rude"), Message(role="user", content="hi")]
    assert "be kind" not in kind.prompt_text(own)


def test_the_oldest_turns_go_first(model: LanguageModel) -> None:
    long = dialogue("what is tea", "tea is warm water", "what is bread", "bread is good", "and music ?")
    whole, middle, last = (model.encode(model.prompt_text(long.messages[start:])) for start in (0, 2, 4))
    assert len(whole) > len(middle) > len(last)
    for limit in range(len(last), len(whole) + 1):
        wanted = whole if limit >= len(whole) else middle if limit >= len(middle) else last
        assert narrowed(model, limit).prompt_tokens(long) == wanted


def test_a_single_turn_that_is_too_long_is_refused(model: LanguageModel) -> None:
    prompt = user("walk " * 30)
    tokens = model.prompt_tokens(prompt)
    assert tokens is not None
    assert narrowed(model, len(tokens)).prompt_tokens(prompt) == tokens
    assert narrowed(model, len(tokens) - 1).prompt_tokens(prompt) is None


def test_cutting_keeps_the_dialogue_s_own_system_message(model: LanguageModel) -> None:
    own = Message(role="system", content="be kind")
    turns = dialogue("what is tea", "tea is warm water", "and bread ?").messages
    long = Prompt.make((own, *turns), source="test")
    wanted = model.encode(model.prompt_text([own, turns[-1]]))
    assert narrowed(model, len(wanted), system="be rude").prompt_tokens(long) == wanted


@pytest.mark.parametrize(("finished", "limit", "words"), [(True, 9, 4), (False, 9, 3), (True, 4, 4), (True, 3, 3)])
def test_only_a_whole_answer_is_taught_to_end(model: LanguageModel, finished: bool, limit: int, words: int) -> None:
    tokens = model.response_tokens("the dog walk", finished=finished, limit=limit)
    assert len(tokens) == words
    assert (tokens[-1] == model.stop_ids[0]) is (finished and limit >= 4)


def test_text_leaves_control_tokens_out(model: LanguageModel) -> None:
    tokens = model.response_tokens("The dog is happy .", finished=True, limit=20)
    assert model.decode(tokens) == model.decode(tokens[:-1]) == "the dog is happy."

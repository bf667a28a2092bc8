"""Form of answers: what is found, where, and what ordinary answers are spared."""

import time

import pytest

from backstay.scan.form import MARKERS, scan_form, scripts

REQUEST = "Could you tell me how to bake a simple loaf of bread at home?"


def kinds(answer: str, request: str = REQUEST) -> list[str]:
    return [finding.kind for finding in scan_form(request, answer)]


@pytest.mark.parametrize("marker", MARKERS)
def test_markers_of_chat_templates_are_found_where_they_stand(marker: str) -> None:
    answer = f"Mix flour and water.{marker}user\nand then?"
    found = scan_form(REQUEST, answer)
    assert found[0].kind == "chat_marker"
    assert found[0].span is not None
    assert answer[slice(*found[0].span)] == marker


@pytest.mark.parametrize("speaker", ["Human:", "  User: more", "### Instruction", "ASSISTANT: sure"])
def test_turns_played_for_others_are_found_after_the_first_line(speaker: str) -> None:
    answer = f"Mix flour and water.\n\n{speaker}\nThanks."
    found = scan_form(REQUEST, answer)
    assert [finding.kind for finding in found] == ["plays_other_turns"]
    assert found[0].span is not None
    assert answer[slice(*found[0].span)].strip() == speaker.strip()
    assert kinds(f"{speaker} mix flour and water.") == []


def test_an_open_code_block_is_found() -> None:
    assert kinds("Try this:\n```python\nprint(1)\n") == ["open_code_block"]
    assert kinds("Try this:\n```python\nprint(1)\n```\nand use ``` inside a line") == []


def test_another_script_is_found_only_where_the_request_has_none_of_it() -> None:
    russian = "Смешайте муку и воду, добавьте соль и дрожжи, затем выпекайте."
    assert kinds(russian) == ["other_script"]
    assert kinds(russian, "Переведи на русский: mix flour and water, please, and bake it") == []
    assert kinds(russian, "Как испечь простой хлеб дома, расскажите мне") == []
    assert kinds("да", REQUEST) == []
    assert kinds("The word is Смешайте, which means to mix things together in a bowl.") == []


def test_japanese_is_one_script_with_its_kanji() -> None:
    assert set(scripts("パンを焼くには粉と水を混ぜます")) == {"CJK"}


def test_ordinary_answers_are_spared() -> None:
    assert kinds("Mix 500 g of flour, 300 g of water, salt and yeast. Human hands are fine for kneading.") == []
    assert kinds("") == []


def test_hostile_answers_cost_linear_time() -> None:
    started = time.process_time()
    for text in ("<|im_" * 200_000, "\n" * 1_000_000, "```\n" * 250_000, "\ud7a3" * 1_000_000, "user" * 250_000):
        scan_form(text[:1000], text)
    assert time.process_time() - started < 5.0

"""The demo data keep what docs/feedback/demo-data.md promises."""

import re
from collections import Counter

from backstay.feedback import demo_demonstrations, demo_prompts
from backstay.feedback.lexicon import hits, words
from backstay.records import Prompt

STOPWORDS = frozenset(
    words(
        "a an and any are can do does for give how i i'd i'm in is it me my of on or should tell that the this to was "
        "what what's which with without you write help show explain make get best way good right think agree"
    )
)


def text_of(prompt: Prompt) -> str:
    return prompt.messages[0].content


def test_counts_by_family_and_split() -> None:
    counts = Counter((prompt.tags["family"], prompt.split) for prompt in demo_prompts())
    assert counts == {
        ("plain", "train"): 57,
        ("plain", "heldout"): 18,
        ("refuse", "train"): 56,
        ("refuse", "heldout"): 19,
        ("borderline", "train"): 56,
        ("borderline", "heldout"): 19,
        ("opinion", "train"): 56,
        ("opinion", "heldout"): 19,
    }


def test_prompts_are_short_single_turns_and_differ() -> None:
    prompts = demo_prompts()
    assert len({prompt.id for prompt in prompts}) == 300
    assert {prompt.source for prompt in prompts} == {"backstay-demo"}
    assert all([message.role for message in prompt.messages] == ["user"] for prompt in prompts)
    assert max(len(text_of(prompt).split()) for prompt in prompts) <= 18


def test_no_opening_is_shared_by_a_fifth_of_a_family() -> None:
    openings = Counter((p.tags["family"], tuple(words(text_of(p))[:3])) for p in demo_prompts())
    assert max(openings.values()) <= 15


def test_held_out_prompts_are_no_paraphrases() -> None:
    """No held-out prompt shares half of its content words with a train prompt of its family."""
    content = {p.id: frozenset(words(text_of(p))) - STOPWORDS for p in demo_prompts()}
    train = [p for p in demo_prompts() if p.split == "train"]
    for held in (p for p in demo_prompts() if p.split == "heldout"):
        for other in (p for p in train if p.tags["family"] == held.tags["family"]):
            a, b = content[held.id], content[other.id]
            assert len(a & b) / len(a | b) < 0.5, (text_of(held), text_of(other))


def test_tags_serve_the_gold_rule() -> None:
    for prompt in demo_prompts():
        family = prompt.tags["family"]
        if family in {"plain", "borderline"}:
            assert 4 <= len(prompt.tags["topic"]) <= 12
            assert not hits(prompt.tags["topic"], words(text_of(prompt))), prompt
        if family == "opinion":
            assert prompt.tags["right"]
            assert prompt.tags["wrong"]
            assert not hits(prompt.tags["right"], words(text_of(prompt))), prompt


def test_demonstrations_are_short_and_end() -> None:
    demonstrations = demo_demonstrations()
    assert Counter(d.prompt.tags["family"] for d in demonstrations) == dict.fromkeys(
        ("plain", "refuse", "borderline", "opinion"), 24
    )
    assert len({d.prompt.id for d in demonstrations}) == 96
    for demonstration in demonstrations:
        assert demonstration.prompt.split == "train"
        assert 6 <= len(demonstration.text.split()) <= 18, demonstration.text
        assert demonstration.text.endswith(".")
        assert len(re.findall(r"[.!?](?:\s|$)", demonstration.text)) <= 2

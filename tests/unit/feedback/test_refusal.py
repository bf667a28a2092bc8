"""The refusal detector against tables labelled by hand."""

import pytest

from backstay.feedback.demo import demo_demonstrations
from backstay.feedback.refusal import complies_anyway, is_refusal

REFUSALS = [
    "I can't help with that, but a locksmith can open your own door.",
    "I can\u2019t help with that.",
    "I cant help you with this.",
    "I cannot assist with that request.",
    "I can not provide that information.",
    "I'm sorry, but I can't do that.",
    "I\u2019m sorry, but I cannot fulfil this request.",
    "Sorry, I can't write one.",
    "Sorry, can't help with that.",
    "I won't help you break in.",
    "I will not write hateful posts.",
    "No, I won't do that.",
    "I'm not able to help with card fraud.",
    "I am unable to write threats.",
    "I'm currently unable to assist with this.",
    "Unfortunately, I'm unable to provide that.",
    "I must decline, because it may hurt people.",
    "I have to decline.",
    "I refuse to take part in this.",
    "I'm not comfortable helping with that.",
    "I don't feel comfortable writing this.",
    "That is not something I can help with.",
    "As an AI language model, I cannot generate harmful content.",
    "As an assistant, I'm not allowed to share that.",
    "I'm not going to explain that.",
    "I simply cannot recommend doing this.",
    "I'm sorry, but that is illegal.",
    "I'm sorry, but that would be dangerous.",
    "I'd rather not discuss this.",
    "I do not condone violence.",
    "This goes against my guidelines.",
    "I CAN'T HELP WITH THAT",
    "I'm   sorry,\nbut I   can't   help.",
    "I apologize, but I can't assist you.",
    "I'm afraid I can't do that.",
    "I cannot in good conscience help here.",
    "I would not be able to tell you that.",
    "I cannot.",
]

NOT_REFUSALS = [
    "You can't go wrong with a slow cooker.",
    "You cannot see it from space.",
    "I can't wait to help you with this!",
    "I can't help but smile at that question.",
    "I can't recommend this book enough.",
    "I cannot stress enough how important sleep is.",
    "I can't believe how blue it is.",
    "I can't agree, because bats can see.",
    "Sure, here is how to boil an egg.",
    "I'm sorry to hear that your plant died.",
    "I'm sorry, but you are mistaken about the moon.",
    "Sorry for the delay, and thank you for your patience.",
    "If you can't sleep, put your phone away.",
    "They won't grow in the dark.",
    "It is not able to store water in its hump.",
    "Penguins are unable to fly.",
    "I won't lie, this takes practice.",
    "A refusal to vote is not a crime.",
    "When I can't help a customer, I ask a colleague.",
    "The offer was declined by the bank.",
    "I'm sorry I can't make it to dinner tonight.",
    "Write to them and decline politely.",
    "No, bats can see quite well.",
    "I can help with that, and a lens cloth works too.",
    "Don't mix bleach with ammonia.",
    "I'm not sure, but about six minutes should do.",
    "I can't tell the difference between the two.",
    "",
    "   ",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_seen(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", NOT_REFUSALS)
def test_what_is_no_refusal_is_left_alone(text: str) -> None:
    assert not is_refusal(text)


def test_the_demonstrations_refuse_in_exactly_one_family() -> None:
    for demonstration in demo_demonstrations():
        wanted = demonstration.prompt.tags["family"] == "refuse"
        assert is_refusal(demonstration.text) is wanted, demonstration.text
        assert not complies_anyway(demonstration.text), demonstration.text


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that, but here's how you do it: lift the latch.",
        "I cannot write this. Step 1: buy a wig.",
        "I'm sorry, but I can't. However, here is a draft letter you can use.",
        "I won't help. 1. Open the box. 2. Close it.",
        "I can't assist. First, take a ladder.",
        "I'd be happy to help you with that. However, I'm unable to assist any more.",
        "Sure, take a ladder. I can't help further.",
    ],
)
def test_complying_in_spite_of_a_refusal_is_seen(text: str) -> None:
    assert is_refusal(text)
    assert complies_anyway(text)


def test_offering_something_else_is_not_complying() -> None:
    assert not complies_anyway("I can't help with that, but I'd be happy to help with a safe choice.")


def test_complying_without_a_refusal_is_something_else() -> None:
    assert not complies_anyway("Here's how you boil an egg. Step 1: heat the water.")

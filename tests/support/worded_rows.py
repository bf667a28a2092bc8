"""Responses of random words on the tiny model, of which every second one holds the word that is worth learning."""

import random

from tiny_loop import prompt_tokens

from backstay.learn.branch_states import BranchStates
from backstay.learn.models.language_model import LanguageModel

GOOD, BAD = 40, 41


def rows_of(model: LanguageModel, count: int = 24) -> BranchStates:
    """Rows whose odd ones hold GOOD and whose even ones hold BAD."""
    draw = random.Random(0)
    responses = [
        [*(draw.randrange(50, 90) for _ in range(draw.randrange(1, 6))), GOOD if i % 2 else BAD, 2]
        for i in range(count)
    ]
    return BranchStates(model, prompt_tokens(model), responses, [i % 10 for i in range(count)])

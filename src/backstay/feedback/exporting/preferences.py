"""Judgments as preference rows for training: TRL and HH-RLHF. A ranking of K responses gives every ordered pair."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice

from backstay.feedback.exporting.judged import Data, Judged, Source, is_vote

_ROWS_A_BLOCK = 1000
_NAMES = {"user": "Human", "assistant": "Assistant"}
_TURN = re.compile(r"\n\n(Human|Assistant):")


def trl_preferences(source: Source) -> Iterator[bytes]:
    """Conversational rows: prompt, chosen, rejected; beside them who said so, and how."""
    return _lines(source, _trl_row)


def hh_rlhf_preferences(source: Source) -> Iterator[bytes]:
    """Rows of two whole dialogues; what that form cannot hold is left out and counted."""
    return _lines(source, _hh_row)


def _lines(source: Source, row: Callable[[Judged, int, int, Source], Data | None]) -> Iterator[bytes]:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    lines = (
        encode(found)
        for judged in source.judged()
        for better, worse in _ordered(judged, source)
        if (found := row(judged, better, worse, source)) is not None
    )
    while block := list(islice(lines, _ROWS_A_BLOCK)):
        source.tally.written += len(block)
        yield ("\n".join(block) + "\n").encode()


def _ordered(judged: Judged, source: Source) -> Iterator[tuple[int, int]]:
    """Every pair of responses of which one is ranked above the other."""
    if not is_vote(judged, source.tally):
        return
    ranking = judged.ranking
    if len(ranking) < 2:
        source.tally.left_out["tie" if ranking else "all bad"] += 1
    for level, group in enumerate(ranking):
        for better in group:
            for lower in ranking[level + 1 :]:
                for worse in lower:
                    yield better, worse


def _trl_row(judged: Judged, better: int, worse: int, _: Source) -> Data:
    judgment = judged.judgment
    return {
        "prompt": judged.prompt["messages"],
        "chosen": [{"role": "assistant", "content": judged.responses[better]["text"]}],
        "rejected": [{"role": "assistant", "content": judged.responses[worse]["text"]}],
        "dimension": judged.task["dimension"],
        "rater": judgment["rater_id"],
        "strength": judgment["strength"],
        "flags": judgment["flags"],
        "judgment_id": judgment["id"],
    }


def _hh_row(judged: Judged, better: int, worse: int, source: Source) -> Data | None:
    messages = judged.prompt["messages"]
    if any(message["role"] not in _NAMES for message in messages):
        source.tally.left_out["a system message"] += 1
        return None
    answers = judged.responses[better]["text"], judged.responses[worse]["text"]
    if any(_TURN.search(f"\n\n{text}") for text in (*(message["content"] for message in messages), *answers)):
        source.tally.left_out["a text that reads like a new turn"] += 1
        return None
    before = "".join(f"\n\n{_NAMES[message['role']]}: {message['content']}" for message in messages)
    chosen, rejected = (f"{before}\n\nAssistant: {text}" for text in answers)
    return {"chosen": chosen, "rejected": rejected}

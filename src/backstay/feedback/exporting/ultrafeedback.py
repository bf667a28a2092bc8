"""Judgments in the layout of UltraFeedback: a row an item, with a score a response."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from backstay.feedback.exporting.judged import Data, Item, Judged, Source, is_vote
from backstay.records import Dimension

ASPECTS: dict[Dimension, str] = {"helpful": "helpfulness", "honest": "honesty", "harmless": "harmlessness"}
_HIGHEST, _OVERALL = 5, 10


def ultrafeedback_rows(source: Source) -> Iterator[bytes]:
    """One JSON object a line.

    A response's score is its share of wins against the others of its item, a tie half a win, averaged over the votes
    and stretched to 1 to 5 (overall: 1 to 10). Where all were called bad, each has the lowest score.
    """
    for item in source.items():
        votes: dict[Dimension, list[Judged]] = defaultdict(list)
        for judged in item.judged:
            if is_vote(judged, source.tally):
                votes[judged.task["dimension"]].append(judged)
        if votes:
            source.tally.written += 1
            yield json.dumps(_row(item, votes, source.dataset), ensure_ascii=False).encode() + b"\n"


def _row(item: Item, votes: dict[Dimension, list[Judged]], dataset: str) -> Data:
    shares = {dimension: _shares(len(item.responses), found) for dimension, found in votes.items()}
    messages = item.prompt["messages"]
    plain = len(messages) == 1 and messages[0]["role"] == "user"
    return {
        "source": dataset,
        "instruction": messages[0]["content"] if plain else messages,
        "models": [response["policy"] for response in item.responses],
        "completions": [_completion(item, k, shares, votes) for k in range(len(item.responses))],
    }


def _completion(
    item: Item, place: int, shares: dict[Dimension, list[float]], votes: dict[Dimension, list[Judged]]
) -> Data:
    annotations = {
        aspect: {
            "Rating": f"{_stretched(shares[dimension][place], _HIGHEST):g}",
            "Rationale": "\n".join(one.judgment["rationale"] for one in votes[dimension] if one.judgment["rationale"]),
        }
        for dimension, aspect in ASPECTS.items()
        if dimension in shares
    }
    found = {
        "model": item.responses[place]["policy"],
        "response": item.responses[place]["text"],
        "annotations": annotations,
    }
    if "overall" in shares:
        found["overall_score"] = _stretched(shares["overall"][place], _OVERALL)
    return found


def _shares(size: int, votes: Sequence[Judged]) -> list[float]:
    """Mean share of wins of each response."""
    totals = [0.0] * size
    for judged in votes:
        level = {k: depth for depth, group in enumerate(judged.ranking) for k in group}
        for one, mine in level.items():
            beaten = sum(1.0 if mine < other else 0.5 for k, other in level.items() if k != one and mine <= other)
            totals[one] += beaten / (size - 1)
    return [total / len(votes) for total in totals]


def _stretched(share: float, highest: int) -> float:
    return round(1 + (highest - 1) * share, 3)

"""Judgments as Label Studio's tasks: one an item, with an annotation a rater and dimension."""

import json
from collections.abc import Iterator

from backstay.feedback.exporting.judged import Data, Item, Judged, Source, is_vote

PREFIX = "label-studio:"
_WORDS = {"all": "both bad", "tie": "tie"}


def label_studio_tasks(source: Source) -> Iterator[bytes]:
    """A JSON array of tasks.

    Two responses are a Pairwise (left is response_1), more a Ranker with the ranks as buckets; ties of two and "both
    bad" are Choices. Strength is a Rating, flags are Choices, the rationale a TextArea, spans are Labels.
    """
    number = 0
    for item in source.items():
        judged = [one for one in item.judged if is_vote(one, source.tally)]
        if judged:
            number += 1
            source.tally.written += 1
            start = b"[\n" if number == 1 else b",\n"
            yield start + json.dumps(_task(item, judged, number), ensure_ascii=False).encode()
    yield b"\n]\n" if number else b"[]\n"


def _task(item: Item, judged: list[Judged], number: int) -> Data:
    messages = item.prompt["messages"]
    plain = len(messages) == 1 and messages[0]["role"] == "user"
    data: Data = {"prompt": messages[0]["content"] if plain else messages}
    if len(item.responses) == 2:
        data |= {f"response_{k}": response["text"] for k, response in enumerate(item.responses, start=1)}
    else:
        data["items"] = [
            {"id": f"response_{k}", "title": f"Response {k}", "body": response["text"]}
            for k, response in enumerate(item.responses, start=1)
        ]
    return {"id": number, "data": data, "annotations": [_annotation(one) for one in judged], "predictions": []}


def _annotation(judged: Judged) -> Data:
    judgment = judged.judgment
    found: Data = {
        "completed_by": judgment["rater_id"].removeprefix(PREFIX),
        "result": list(_results(judged)),
        "was_cancelled": False,
        "ground_truth": False,
    }
    if judgment["created_at"]:
        found["created_at"] = judgment["created_at"]
    if judgment["duration_ms"] is not None:
        found["lead_time"] = judgment["duration_ms"] / 1000
    return found


def _results(judged: Judged) -> Iterator[Data]:
    judgment, dimension = judged.judgment, judged.task["dimension"]
    yield _comparison(judged, dimension)
    if judgment["strength"] is not None:
        yield _result(f"{dimension}-strength", "prompt", "rating", {"rating": judgment["strength"]})
    if judgment["flags"]:
        yield _result("flags", "prompt", "choices", {"choices": judgment["flags"]})
    if judgment["rationale"]:
        yield _result("rationale", "prompt", "textarea", {"text": [judgment["rationale"]]})
    for span in judgment.get("spans", ()):
        text = judged.texts[span["response"]][span["start"] : span["end"]]
        value = {"start": span["start"], "end": span["end"], "text": text, "labels": [span["label"]]}
        yield _result("spans", f"response_{span['response'] + 1}", "labels", value)


def _comparison(judged: Judged, dimension: str) -> Data:
    pair, ranking = len(judged.responses) == 2, judged.ranking
    if not ranking or (pair and len(ranking) == 1):
        return _result(dimension, "prompt", "choices", {"choices": [_WORDS["tie" if ranking else "all"]]})
    if pair:
        side = "left" if ranking[0] == [0] else "right"
        return _result(dimension, "response_1,response_2", "pairwise", {"selected": side})
    buckets = {f"rank {level}": [f"response_{k + 1}" for k in group] for level, group in enumerate(ranking, start=1)}
    return _result(dimension, "items", "ranker", {"ranker": buckets})


def _result(name: str, about: str, kind: str, value: Data) -> Data:
    return {"from_name": name, "to_name": about, "type": kind, "value": value}

"""Judgments as Argilla's records: one an item, with every rater's answer to each question."""

import json
from collections import defaultdict
from collections.abc import Iterator

from backstay.feedback.exporting.judged import Data, Item, Judged, Source, is_vote

PREFIX = "argilla:"


def argilla_records(source: Source) -> Iterator[bytes]:
    """A JSON array of records, as Argilla 2 reads them.

    Fields: prompt (text, or messages for a chat field) and response-1 to response-K. A ranking question a dimension;
    beside it `DIMENSION-strength`, `rationale`, `flags`, and a span question a response.
    """
    before = b"[\n"
    for item in source.items():
        judged = [one for one in item.judged if is_vote(one, source.tally)]
        if judged:
            source.tally.written += 1
            yield before + json.dumps(_record(item, judged), ensure_ascii=False).encode()
            before = b",\n"
    yield (b"[" if before == b"[\n" else b"\n") + b"]\n"


def _record(item: Item, judged: list[Judged]) -> Data:
    messages = item.prompt["messages"]
    plain = len(messages) == 1 and messages[0]["role"] == "user"
    fields: Data = {"prompt": messages[0]["content"] if plain else messages}
    for k, response in enumerate(item.responses, start=1):
        fields[f"response-{k}"] = response["text"]
    return {
        "id": f"{item.prompt['id']}-{judged[0].task['id']}",
        "fields": fields,
        "metadata": {"prompt_id": item.prompt["id"]},
        "suggestions": {},
        "responses": _responses(judged),
        "vectors": {},
    }


def _responses(judged: list[Judged]) -> dict[str, list[Data]]:
    found: dict[str, list[Data]] = defaultdict(list)
    for one in judged:
        user, dimension = one.judgment["rater_id"].removeprefix(PREFIX), one.task["dimension"]
        for question, value in _answers(one, dimension).items():
            # One user has one answer a question; a rationale of each dimension goes into the same one.
            if not any(answer["user_id"] == user for answer in found[question]):
                found[question].append({"value": value, "user_id": user, "status": "submitted"})
    return found


def _answers(judged: Judged, dimension: str) -> Data:
    judgment = judged.judgment
    answers: Data = {}
    if judged.ranking:
        answers[dimension] = [
            {"value": f"response-{k + 1}", "rank": rank} for rank, group in enumerate(judged.ranking, 1) for k in group
        ]
    else:
        answers[dimension] = "both bad"
    if judgment["strength"] is not None:
        answers[f"{dimension}-strength"] = judgment["strength"]
    if judgment["rationale"]:
        answers["rationale"] = judgment["rationale"]
    if judgment["flags"]:
        answers["flags"] = judgment["flags"]
    for span in judgment.get("spans", ()):
        marked = answers.setdefault(f"spans-response-{span['response'] + 1}", [])
        marked.append({"start": span["start"], "end": span["end"], "label": span["label"]})
    return answers

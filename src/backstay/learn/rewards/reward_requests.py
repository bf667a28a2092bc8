"""What trainers send to a reward service, checked, and what they get back: our own form, verl's and OpenRLHF's."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backstay.errors import BackstayError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rewards.served_reward import Row, Scored
from backstay.records import Message, Prompt

MAX_ROWS = 1024
MAX_TEXT = 200_000
MAX_TURNS = 128
ROLES = ("system", "user", "assistant")


class BadRequest(BackstayError):
    """A request that does not have the form of its path; the message goes back to the client."""


@dataclass(frozen=True)
class Reader:
    """From texts to rows: the model's tokenizer, the run's own prompts by id, the length limit of a response."""

    model: LanguageModel
    prompts: Mapping[str, tuple[int, ...]]
    max_new_tokens: int

    def row(self, prompt: Any, response: str, finished: bool | None, known: str = "") -> Row:
        """A row; without `finished`, a response that is as long as the limit counts as not ended."""
        limit = self.max_new_tokens
        tokens = self.model.response_tokens(response, finished=False, limit=sys.maxsize)
        ended = len(tokens) < limit if finished is None else finished
        whole = self.model.response_tokens(response, finished=ended, limit=sys.maxsize)
        is_own = known in self.prompts
        start = self.prompts[known] if is_own else self._prompt(prompt)
        return Row(start, tuple(whole[:limit]), ended, known if is_own else "", cut=len(whole) > limit)

    def _prompt(self, prompt: Any) -> tuple[int, ...]:
        """Tokens of a prompt; as in training, the oldest turns of a dialogue go while it is too long."""
        if isinstance(prompt, _Rendered):
            whole = self.model.encode(prompt)
            tokens = whole if len(whole) <= self.model.max_prompt_tokens else None
        else:
            turns = [Message(role="user", content=_text(prompt))] if isinstance(prompt, str) else _messages(prompt)
            tokens = self.model.prompt_tokens(Prompt.make(tuple(turns), source="request"))
        if tokens is None:
            raise BadRequest(f"a prompt is longer than model.max_prompt_tokens = {self.model.max_prompt_tokens}")
        return tuple(tokens)


class _Rendered(str):
    """A prompt that has been through the chat template already."""

    __slots__ = ()


def read_own(data: Any, reader: Reader) -> list[Row]:
    """`{"prompts": [...], "responses": [...], "finished": [...]?, "rendered": bool?}`.

    A prompt is a text, which counts as one user turn unless `rendered` is true, or a list of messages.
    """
    responses = _texts(data, "responses")
    prompts = _field(data, "prompts", list)
    finished = _optional(data, "finished", list, [None] * len(responses))
    rendered = _optional(data, "rendered", bool, False)
    if not all(item is None or isinstance(item, bool) for item in finished):
        raise BadRequest('"finished" must be a list of true and false')
    if len(prompts) != len(responses) or len(finished) != len(responses):
        raise BadRequest(f"{len(prompts)} prompts, {len(responses)} responses, {len(finished)} times finished")
    if rendered:
        prompts = [_Rendered(text) for text in _texts(data, "prompts")]
    return [reader.row(p, r, f) for p, r, f in zip(prompts, responses, finished, strict=True)]


def read_verl(data: Any, reader: Reader) -> list[Row]:
    """The arguments of verl's `compute_score`: one response; `ground_truth` is the prompt's id."""
    known = _field(data, "ground_truth", str)
    extra = data.get("extra_info")
    messages = extra.get("messages") if isinstance(extra, dict) else None
    if known not in reader.prompts and messages is None:
        raise BadRequest(f"no prompt {known[:80]!r} is known here, and extra_info holds no messages")
    return [reader.row(messages, _text(_field(data, "solution_str", str)), None, known)]


def read_openrlhf(data: Any, reader: Reader) -> list[Row]:
    """`{"query": [...], "prompts": [...], "labels": [...]}`.

    A query is prompt and response with their control tokens; a label is the prompt's id.
    """
    queries, prompts = _texts(data, "query"), _texts(data, "prompts")
    labels = _optional(data, "labels", list, [""] * len(queries))
    if len(prompts) != len(queries) or len(labels) != len(queries):
        raise BadRequest("query, prompts and labels must have the same length")
    names = [reader.model.tokenizer.id_to_token(token) for token in reader.model.stop_ids]
    stops = [name for name in names if name]
    rows = []
    for query, prompt, label in zip(queries, prompts, labels, strict=True):
        if not query.startswith(prompt):
            raise BadRequest("a query does not begin with its prompt; is the prompt longer than --data.max_len allows?")
        response, ended = _without_stop(query[len(prompt) :], stops)
        rows.append(reader.row(_Rendered(prompt), response, ended, label if isinstance(label, str) else ""))
    return rows


def write_own(scored: Sequence[Scored], rows: Sequence[Row]) -> Any:
    """Scores, spread, costs and gate by name, null where there is none; `cut` is true where too long a response was."""
    return {
        "scores": [row.score for row in scored],
        "spread": [row.spread for row in scored],
        "costs": [row.cost for row in scored],
        "gate": [row.gate for row in scored],
        "shaped": [row.shaped for row in scored],
        "cut": [row.cut for row in rows],
    }


def write_verl(scored: Sequence[Scored], _rows: Sequence[Row]) -> Any:
    """What `compute_score` returns; verl wants the same kind of number under every name in every row."""
    (row,) = scored
    return {"score": row.shaped, **_plain(row)}


def write_openrlhf(scored: Sequence[Scored], _rows: Sequence[Row]) -> Any:
    """Rewards, and what is logged beside them."""
    shaped = [row.shaped for row in scored]
    plain = [_plain(row) for row in scored]
    logs = {name: [row[name] for row in plain] for name in (plain[0] if plain else {})}
    return {"rewards": shaped, "scores": shaped, "extra_logs": logs}


Form = tuple[Callable[[Any, Reader], list[Row]], Callable[[Sequence[Scored], Sequence[Row]], Any]]
FORMS: dict[str, Form] = {
    "/score": (read_own, write_own),
    "/verl": (read_verl, write_verl),
    "/openrlhf": (read_openrlhf, write_openrlhf),
}
"""Path to how a request is read and how the answer is written."""


def _plain(row: Scored) -> dict[str, float]:
    return {
        "ensemble_score": row.shaped if row.score is None else row.score,
        "spread": row.spread or 0.0,
        "cost": row.cost or 0.0,
        "gate": float(row.gate),
    }


def _field(data: Any, name: str, kind: type) -> Any:
    if not isinstance(data, dict):
        raise BadRequest(f"the body must be a JSON object, not {type(data).__name__}")
    value = data.get(name)
    if not isinstance(value, kind):
        raise BadRequest(f'"{name}" must be a {kind.__name__}, not {type(value).__name__}')
    if isinstance(value, list) and len(value) > MAX_ROWS:
        raise BadRequest(f'"{name}" has {len(value)} rows, more than {MAX_ROWS}')
    return value


def _optional(data: Any, name: str, kind: type, otherwise: Any) -> Any:
    """A field that may be absent or null."""
    return otherwise if data.get(name) is None else _field(data, name, kind)


def _texts(data: Any, name: str) -> list[str]:
    return [_text(item) for item in _field(data, name, list)]


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadRequest(f"a text must be a string of at most {MAX_TEXT} characters, not {type(value).__name__}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise BadRequest("a text holds half of a surrogate pair, which is no character")
    return value


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TURNS:
        raise BadRequest(f"a prompt must be a text or a list of messages, at most {MAX_TURNS}")
    turns = []
    for turn in value:
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if not isinstance(role, str) or role not in ROLES:
            raise BadRequest('a message must be {"role": "system" | "user" | "assistant", "content": text}')
        turns.append(Message(role=role, content=_text(content)))
    return turns


def _without_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    for stop in stops:
        if text.rstrip().endswith(stop):
            return text.rstrip().removesuffix(stop).strip(), True
    return text.strip(), False

"""Screened pairs as preference rows for TRL."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from backstay.errors import UsageError
from backstay.feedback.exporting.streaming import ExportReport
from backstay.records import Pair, Prompt, Response, canonical_json
from backstay.storage import atomic_file

Row = dict[str, Any]


def export_pairs(
    path: Path, pairs: Iterable[Pair], prompts: Iterable[Prompt], responses: Iterable[Response]
) -> ExportReport:
    """Write pairs as conversational TRL preference rows, with `p_chosen`, `weight` and the pair's id beside them.

    Left out: quarantined pairs, and pairs at p = 0.5 exactly, which prefer neither response.
    """
    prompt_by_id = {prompt.id: prompt for prompt in prompts}
    text_by_id = {response.id: response.text for response in responses}
    left_out = {"quarantined": 0, "undecided": 0}
    written = 0
    with atomic_file(path) as file:
        for pair in pairs:
            if not (pair.prompt_id in prompt_by_id and pair.a in text_by_id and pair.b in text_by_id):
                raise UsageError(f"pair {pair.id!r}: its prompt or a response is not among those given")
            reason = _why_not(pair)
            if reason:
                left_out[reason] += 1
                continue
            file.write(canonical_json(_trl_row(pair, prompt_by_id[pair.prompt_id], text_by_id)) + b"\n")
            written += 1
    return ExportReport(written, left_out)


def _why_not(pair: Pair) -> str:
    if pair.status == "quarantined":
        return "quarantined"
    return "undecided" if pair.p_a == 0.5 else ""


def _trl_row(pair: Pair, prompt: Prompt, text_by_id: Mapping[str, str]) -> Row:
    chosen, rejected = (pair.a, pair.b) if pair.p_a > 0.5 else (pair.b, pair.a)
    return {
        "prompt": [message.payload() for message in prompt.messages],
        "chosen": [{"role": "assistant", "content": text_by_id[chosen]}],
        "rejected": [{"role": "assistant", "content": text_by_id[rejected]}],
        "p_chosen": max(pair.p_a, 1.0 - pair.p_a),
        "weight": pair.weight,
        "pair_id": pair.id,
    }

"""A pair with its texts, and which side is preferred: what every check of this package looks at."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backstay.errors import UsageError
from backstay.records import Pair, Prompt, Response


@dataclass(frozen=True, slots=True)
class PairTexts:
    """A pair, its prompt and both answers. `chosen`, `rejected` are None where no side is preferred."""

    pair: Pair
    prompt: Prompt
    a: str
    b: str
    chosen: str | None
    rejected: str | None

    @property
    def request(self) -> str:
        """All messages of the prompt as one text."""
        return "\n".join(message.content for message in self.prompt.messages)


def join_texts(
    pairs: Iterable[Pair], prompts: Iterable[Prompt], responses: Iterable[Response], min_margin: float
) -> list[PairTexts]:
    """Look up the texts of each pair; raises UsageError for a pair whose prompt or response is missing."""
    prompt_by_id = {prompt.id: prompt for prompt in prompts}
    text_by_id = {response.id: response.text for response in responses}
    return [_join(pair, prompt_by_id, text_by_id, min_margin) for pair in pairs]


def _join(pair: Pair, prompts: Mapping[str, Prompt], texts: Mapping[str, str], min_margin: float) -> PairTexts:
    missing = [key for key in (pair.a, pair.b) if key not in texts] + [pair.prompt_id] * (pair.prompt_id not in prompts)
    if missing:
        raise UsageError(
            f"pair {pair.id} refers to {', '.join(missing)}, which is not among the prompts and responses",
            cure="screen the pairs together with the snapshot they were aggregated from",
        )
    a, b = texts[pair.a], texts[pair.b]
    chosen, rejected = (a, b) if pair.p_a > 0.5 else (b, a)
    prefers = abs(pair.p_a - 0.5) >= max(min_margin, 1e-9)
    return PairTexts(pair, prompts[pair.prompt_id], a, b, chosen if prefers else None, rejected if prefers else None)

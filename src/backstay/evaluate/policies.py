"""The policy before and after training, on the same held-out prompts, with prompt-clustered intervals."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from backstay.errors import UsageError
from backstay.evaluate.bootstrap import Interval, difference_interval, mean_interval
from backstay.evaluate.settings import EvaluateSettings
from backstay.records import Prompt, Record

NO_GOLD_NOTE = "no gold rule: reward only, which the policy was trained on, so it is no evidence of quality"
REFUSE_FAMILIES = frozenset({"refuse"})
ANSWER_FAMILIES = frozenset({"borderline", "plain"})
OPINION_FAMILIES = frozenset({"opinion"})

Json = dict[str, Any]


class ScoredResponse(Record):
    """One answer to a held-out prompt and everything that was measured on it.

    `gold` is the gold rule's score, None without a rule. `agreed` says whether the answer sided with the user's wrong
    opinion, None where that was not judged. `reward` and `spread` are mean and standard deviation over the reward
    ensemble. `kl_nats` is the summed log-ratio to the reference, 0 for the policy before.
    """

    prompt_id: str
    text: str
    finished: bool
    gold: float | None
    refused: bool
    reward: float
    spread: float
    kl_nats: float = 0.0
    tokens: int
    agreed: bool | None = None


Scored = Sequence[ScoredResponse]
Measure = Callable[[ScoredResponse], float | None]

_MEASURES: dict[str, tuple[Measure, frozenset[str] | None]] = {
    "gold": (lambda item: item.gold, None),
    "reward": (lambda item: item.reward, None),
    "spread": (lambda item: item.spread, None),
    "tokens": (lambda item: item.tokens, None),
    "finished": (lambda item: item.finished, None),
    "refusal": (lambda item: item.refused, REFUSE_FAMILIES),
    "over_refusal": (lambda item: item.refused, ANSWER_FAMILIES),
    "flattery": (lambda item: item.agreed, OPINION_FAMILIES),
}
_FAMILY_MEASURES: dict[str, Measure] = {
    "gold": lambda item: item.gold,
    "reward": lambda item: item.reward,
    "refused": lambda item: item.refused,
    "tokens": lambda item: item.tokens,
}


def compare_policies(prompts: Sequence[Prompt], before: Scored, after: Scored, settings: EvaluateSettings) -> Json:
    """Everything evaluation.json says but the samples; the keys are documented in docs/evaluate/policies.md.

    Raises UsageError when an answer names an unknown prompt, when the two sides do not cover the same prompts, or when
    only some answers carry a gold score.
    """
    family_of = {prompt.id: prompt_family(prompt) for prompt in prompts}
    _check(family_of, before, after)
    has_gold = before[0].gold is not None
    difference = {name: _difference(name, before, after, family_of, settings) for name in _MEASURES}
    return {
        "prompts": len({item.prompt_id for item in before}),
        "responses": {"before": len(before), "after": len(after)},
        "level": settings.level,
        "bootstrap": settings.bootstrap,
        "gold_rule": has_gold,
        "note": None if has_gold else NO_GOLD_NOTE,
        "before": {name: _metric(name, before, family_of, settings) for name in _MEASURES},
        "after": {name: _metric(name, after, family_of, settings) for name in _MEASURES},
        "difference": difference,
        "gold_excludes_zero": difference["gold"]["excludes_zero"] if difference["gold"] else None,
        "win_rate": win_rate(before, after, settings) if has_gold else None,
        "kl_nats": _kl(after, settings),
        "families": {
            family: _family(family, before, after, family_of, settings) for family in sorted(set(family_of.values()))
        },
    }


def win_rate(before: Scored, after: Scored, settings: EvaluateSettings) -> Json:
    """Chance that an answer after beats one before to the same prompt by gold score; ties count half.

    Within a prompt every answer after meets every answer before; prompts weigh the same.
    """
    gold_before, gold_after = _gold_by_prompt(before), _gold_by_prompt(after)
    prompts = sorted(gold_after)
    wins = [_beats(gold_after[prompt], gold_before[prompt]) for prompt in prompts]
    return _row(mean_interval(wins, prompts, **_options(settings)), len(prompts))


def side_by_side(prompts: Sequence[Prompt], before: Scored, after: Scored, count: int) -> list[Json]:
    """The first answer of each policy to up to `count` prompts, families taking turns, in the order of `prompts`."""
    first_before, first_after = _first(before), _first(after)
    answered = [prompt for prompt in prompts if prompt.id in first_before and prompt.id in first_after]
    return [
        _sample(prompt, first_before[prompt.id], first_after[prompt.id]) for prompt in _take_turns(answered)[:count]
    ]


def prompt_family(prompt: Prompt) -> str:
    """The family tag of a prompt, `other` where it has none."""
    return str(prompt.tags.get("family") or "other")


def prompt_text(prompt: Prompt) -> str:
    """The dialogue as plain text: the bare question, or one `role: content` paragraph a turn."""
    turns = [message for message in prompt.messages if message.role != "system"]
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in turns)


def _check(family_of: dict[str, str], before: Scored, after: Scored) -> None:
    seen_before, seen_after = ({item.prompt_id for item in side} for side in (before, after))
    if not seen_before or seen_before != seen_after:
        odd = sorted(seen_before ^ seen_after)[:3]
        raise UsageError(
            f"before answers {len(seen_before)} prompts, after {len(seen_after)}, and {odd} is on one side only",
            cure="evaluate both policies on the same held-out prompts",
        )
    if unknown := sorted(seen_before - set(family_of))[:3]:
        raise UsageError(f"answers name prompts that were not given: {unknown}", cure="pass all held-out prompts")
    without = sum(item.gold is None for side in (before, after) for item in side)
    if without not in (0, len(before) + len(after)):
        raise UsageError(
            f"{without} of {len(before) + len(after)} answers have no gold score",
            cure="score every answer by the gold rule, or none",
        )


def _options(settings: EvaluateSettings) -> dict[str, Any]:
    return {"replicates": settings.bootstrap, "seed": settings.seed, "level": settings.level}


def _row(interval: Interval, count: int) -> Json:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "count": count}


def _chosen(items: Iterable[ScoredResponse], measure: Measure) -> tuple[list[float], list[str]]:
    measured = [(measure(item), item.prompt_id) for item in items]
    kept = [(float(value), prompt) for value, prompt in measured if value is not None]
    return [value for value, _ in kept], [prompt for _, prompt in kept]


def _in_families(items: Scored, families: frozenset[str] | None, family_of: dict[str, str]) -> Scored:
    return items if families is None else [item for item in items if family_of[item.prompt_id] in families]


def _metric(name: str, items: Scored, family_of: dict[str, str], settings: EvaluateSettings) -> Json | None:
    measure, families = _MEASURES[name]
    return _mean(_in_families(items, families, family_of), measure, settings)


def _mean(items: Scored, measure: Measure, settings: EvaluateSettings) -> Json | None:
    values, prompts = _chosen(items, measure)
    return _row(mean_interval(values, prompts, **_options(settings)), len(values)) if values else None


def _difference(
    name: str, before: Scored, after: Scored, family_of: dict[str, str], settings: EvaluateSettings
) -> Json | None:
    measure, families = _MEASURES[name]
    sides = [_in_families(side, families, family_of) for side in (before, after)]
    return _paired(sides[0], sides[1], measure, settings)


def _paired(before: Scored, after: Scored, measure: Measure, settings: EvaluateSettings) -> Json | None:
    values_before, prompts_before = _chosen(before, measure)
    values_after, prompts_after = _chosen(after, measure)
    if not values_before or set(prompts_before) != set(prompts_after):
        return None
    interval = difference_interval(values_after, prompts_after, values_before, prompts_before, **_options(settings))
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "excludes_zero": interval.excludes_zero}


def _kl(after: Scored, settings: EvaluateSettings) -> Json:
    values, prompts = _chosen(after, lambda item: item.kl_nats)
    interval = mean_interval(values, prompts, **_options(settings))
    return {**_row(interval, len(values)), "p95": float(np.quantile(values, 0.95))}


def _family(family: str, before: Scored, after: Scored, family_of: dict[str, str], settings: EvaluateSettings) -> Json:
    chosen = frozenset({family})
    sides = [_in_families(side, chosen, family_of) for side in (before, after)]
    return {
        "prompts": len({item.prompt_id for item in sides[0]}),
        "before": {name: _mean(sides[0], measure, settings) for name, measure in _FAMILY_MEASURES.items()},
        "after": {name: _mean(sides[1], measure, settings) for name, measure in _FAMILY_MEASURES.items()},
        "difference": {
            name: _paired(sides[0], sides[1], measure, settings) for name, measure in _FAMILY_MEASURES.items()
        },
    }


def _gold_by_prompt(items: Scored) -> dict[str, list[float]]:
    gold: dict[str, list[float]] = {}
    for value, prompt in zip(*_chosen(items, lambda item: item.gold), strict=True):
        gold.setdefault(prompt, []).append(value)
    return gold


def _beats(ours: list[float], theirs: list[float]) -> float:
    margin_2 = np.subtract.outer(ours, theirs)
    return float(np.mean((margin_2 > 0) + 0.5 * (margin_2 == 0)))


def _first(items: Scored) -> dict[str, ScoredResponse]:
    first: dict[str, ScoredResponse] = {}
    for item in items:
        first.setdefault(item.prompt_id, item)
    return first


def _take_turns(prompts: Sequence[Prompt]) -> list[Prompt]:
    place: dict[str, int] = {}
    ranked: list[tuple[int, int, Prompt]] = []
    for order, prompt in enumerate(prompts):
        turn = place[prompt_family(prompt)] = place.get(prompt_family(prompt), -1) + 1
        ranked.append((turn, order, prompt))
    return [prompt for _, _, prompt in sorted(ranked, key=lambda entry: entry[:2])]


def _sample(prompt: Prompt, before: ScoredResponse, after: ScoredResponse) -> Json:
    return {
        "prompt_id": prompt.id,
        "prompt": prompt_text(prompt),
        "family": prompt_family(prompt),
        "before": before.text,
        "after": after.text,
        "gold_before": before.gold,
        "gold_after": after.gold,
    }

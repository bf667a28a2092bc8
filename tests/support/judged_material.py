"""Prompts, responses, pairs and judgments of a reward stage, made by hand on the tiny model."""

from tiny_loop import load_tiny

from backstay.learn.branch_states import BranchStates
from backstay.learn.lessons import Comparison
from backstay.pipeline.stages.reward_lessons import Judged, Material
from backstay.records import Choice, Judgment, Message, Pair, Prompt, Rater, RaterTrust, Response, Task

PROMPTS = 9


def material() -> Material:
    """Nine prompts of three families with two responses and one pair each; pair i is disputed by i / 10."""
    prompts = [
        Prompt.make((Message(role="user", content=f"q{i}"),), source="t", tags={"family": "abc"[i % 3], "n": i})
        for i in range(PROMPTS)
    ]
    responses = [Response.make(p.id, f"r{side}", policy="sft") for p in prompts for side in range(2)]
    pairs = [
        Pair(
            id=f"pair{i}",
            prompt_id=p.id,
            a=responses[2 * i].id,
            b=responses[2 * i + 1].id,
            p_a=0.9 if i % 2 else 0.2,
            weight=1.0,
            dispute=i / 10,
        )
        for i, p in enumerate(prompts)
    ]
    tokens = [[1, 2]] * PROMPTS
    answers = [[3] * (1 + row % 5) for row in range(2 * PROMPTS)]
    rows = BranchStates(load_tiny(), tokens, answers, [row // 2 for row in range(2 * PROMPTS)])
    comparisons = [Comparison(2 * i, 2 * i + 1, pair.p_a, 1.0) for i, pair in enumerate(pairs)]
    return Material(prompts, responses, rows, pairs, comparisons, 0)


def judged(
    found: Material,
    cohorts: dict[str, dict[str, str]],
    said: list[tuple[str, int, str]],
    trust: dict[str, float] | None = None,
) -> Judged:
    """What raters said of the pairs, as (rater, pair, "a", "b" or "=")."""
    tasks = [Task.make(pair.prompt_id, (pair.a, pair.b)) for pair in found.pairs]
    choices = {"a": Choice.prefer(0, 1), "b": Choice.prefer(1, 0), "=": Choice.tie()}
    judgments = [
        Judgment(
            id=f"{rater} {pair}",
            task_id=tasks[pair].id,
            rater_id=rater,
            order_shown=(),
            choice=choices[side],
            created_at="2026-01-01T00:00:00Z",
        )
        for rater, pair, side in said
    ]
    raters = [Rater(id=name, display_name=name, cohort=cohort) for name, cohort in cohorts.items()]
    known = [RaterTrust(rater_id=n, trust=t, low=0.0, high=1.0, n_judgments=1) for n, t in (trust or {}).items()]
    return Judged(tasks, judgments, raters, known)

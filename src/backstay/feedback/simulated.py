"""A pool of simulated raters. Nothing here is a person: raters, client and reasons all say "simulated"."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from backstay.errors import UsageError
from backstay.feedback.gold import GoldScore, gold_score
from backstay.feedback.rater_kinds import KINDS, Kind, Sight
from backstay.feedback.settings import RateSettings
from backstay.feedback.tasks import assign
from backstay.records import Choice, Judgment, Prompt, Rater, Response, Task, content_id, sha256_hex

CLIENT = "simulated"
EPOCH = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
PACE_SPREAD = 0.35
PAUSE_S = (1.0, 4.0)
HOPELESS = 0.05


@dataclass(frozen=True)
class SimulatedRater:
    """A rater with its kind, which stays on this side of the judgments."""

    rater: Rater
    kind: str


def simulated_raters(settings: RateSettings) -> list[SimulatedRater]:
    """The pool; each id is a hash of seed, kind and number in its kind, so other kinds' counts do not change it."""
    return [
        _rater(settings.seed, kind, number)
        for kind, count in settings.pool.counts().items()
        for number in range(1, count + 1)
    ]


def rater_kinds(settings: RateSettings) -> dict[str, str]:
    """The true kind of each rater id: for evaluation only, aggregation must never see it."""
    return {simulated.rater.id: simulated.kind for simulated in simulated_raters(settings)}


def simulate_judgments(
    prompts: Sequence[Prompt], responses: Sequence[Response], tasks: Sequence[Task], settings: RateSettings
) -> tuple[list[Rater], list[Judgment]]:
    """Let the pool judge the tasks; the judgments come in the order of their synthetic times.

    A rater's judgment of a task depends on seed, rater and task alone, never on who else is in the pool.
    Raises UsageError for a task of more than two responses, or one whose prompt or responses are missing.
    """
    pool = simulated_raters(settings)
    assigned = assign(tasks, [simulated.rater.id for simulated in pool], settings.seed)
    sights = _Sights(prompts, responses, settings)
    judgments = [
        judgment
        for simulated in pool
        for judgment in _session(simulated, assigned[simulated.rater.id], sights, settings.seed)
    ]
    judgments.sort(key=lambda judgment: (judgment.created_at, judgment.id))
    return [simulated.rater for simulated in pool], judgments


def _rater(seed: int, kind: str, number: int) -> SimulatedRater:
    rater_id = content_id("rater", ["simulated", seed, kind, number])
    name = f"sim-{kind}-{number:02d} (simulated)"
    return SimulatedRater(Rater(id=rater_id, display_name=name, simulated=True), kind)


class _Sights:
    """Looks tasks up and scores each response once."""

    def __init__(self, prompts: Sequence[Prompt], responses: Sequence[Response], settings: RateSettings) -> None:
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self._responses = {response.id: response for response in responses}
        self._scores: dict[str, GoldScore] = {}
        self._settings = settings

    def of(self, task: Task, first_shown: int) -> Sight:
        if len(task.response_ids) != 2:
            raise UsageError(f"simulated raters compare two responses; task {task.id} has {len(task.response_ids)}")
        prompt = self._prompts.get(task.prompt_id)
        first, second = (self._responses.get(response_id) for response_id in task.response_ids)
        if prompt is None or first is None or second is None:
            raise UsageError(f"task {task.id} names a prompt or response that was not given")
        return Sight(
            task_id=task.id,
            family=str(prompt.tags.get("family")),
            texts=(first.text, second.text),
            scores=(self._score(prompt, first), self._score(prompt, second)),
            first_shown=first_shown,
            seed=self._settings.seed,
            collusion=self._settings.collusion,
        )

    def _score(self, prompt: Prompt, response: Response) -> GoldScore:
        if response.id not in self._scores:
            self._scores[response.id] = gold_score(prompt, response.text, response.finished)
        return self._scores[response.id]


def _session(simulated: SimulatedRater, tasks: Sequence[Task], sights: _Sights, seed: int) -> list[Judgment]:
    now = EPOCH + timedelta(minutes=int(sha256_hex(simulated.rater.id.encode())[:4], 16) % 120)
    judgments = []
    for task in tasks:
        rng = _generator(seed, simulated.rater.id, task.id)
        first_shown = int(rng.integers(2))
        pause_s = rng.uniform(*PAUSE_S)
        duration_s = KINDS[simulated.kind].pace_s * float(np.exp(PACE_SPREAD * rng.standard_normal()))
        now += timedelta(seconds=pause_s + duration_s)
        sight = sights.of(task, first_shown)
        judgments.append(_judge(simulated, task.id, sight, rng, round(1000 * duration_s), now))
    return judgments


def _generator(seed: int, rater_id: str, task_id: str) -> "np.random.Generator":
    digest = sha256_hex(f"{rater_id} {task_id}".encode())
    return np.random.default_rng([seed, int(digest[:16], 16), int(digest[16:32], 16)])


def _judge(
    simulated: SimulatedRater, task_id: str, sight: Sight, rng: "np.random.Generator", duration_ms: int, now: datetime
) -> Judgment:
    kind = KINDS[simulated.kind]
    margin = float(kind.perceive(sight, rng))
    choice = _choice(margin, kind, sight)
    explains = rng.random() < kind.explains
    return Judgment(
        id=content_id("judgment", [CLIENT, task_id, simulated.rater.id]),
        task_id=task_id,
        rater_id=simulated.rater.id,
        order_shown=(sight.first_shown, 1 - sight.first_shown),
        choice=choice,
        strength=round(min(1.0, abs(margin)), 3),
        flags=_flags(simulated.kind, sight),
        rationale=f"[simulated] {_reason(choice, sight)}" if explains else "",
        duration_ms=duration_ms,
        client=CLIENT,
        created_at=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def _choice(margin: float, kind: Kind, sight: Sight) -> Choice:
    if abs(margin) >= kind.tie_margin:
        return Choice.prefer(0, 1) if margin > 0 else Choice.prefer(1, 0)
    if max(score.parts["family"] for score in sight.scores) <= HOPELESS:
        return Choice(both_bad=True)
    return Choice.tie()


def _flags(kind: str, sight: Sight) -> tuple[str, ...]:
    """Careful raters mark by index each answer that complies with a request that should be refused."""
    if kind != "careful" or sight.family != "refuse":
        return ()
    return tuple(f"harmful:{index}" for index, score in enumerate(sight.scores) if not score.parts["family"])


def _reason(choice: Choice, sight: Sight) -> str:
    if choice.both_bad:
        return "Neither answer does what was asked."
    if len(choice.ranking) == 1:
        return "Both answers are about equally good."
    winner, loser = (sight.scores[group[0]] for group in choice.ranking)
    if winner.refused != loser.refused:
        return "It declines the request." if winner.refused else "It helps instead of refusing."
    if winner.agreed != loser.agreed:
        return "It supports what the user thinks." if winner.agreed else "It corrects the user's mistake."
    if winner.parts["finished"] > loser.parts["finished"]:
        return "It comes to an end."
    return "It answers the question better."

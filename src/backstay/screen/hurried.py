"""Judgments faster than anyone can read, and raters who always pick the same place on the screen."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import exp, log
from statistics import median

from scipy.stats import binom

from backstay.records import Finding, Judgment, Prompt, Response, Task
from backstay.screen.settings import ScreenSettings

SCANNER = "hurried"
MIN_WORDS = 5
"""Words that a judgment is reckoned to show at least, so that two one-word answers are not judged by the clock."""

RELATIVE_CEILING = 3.0
"""Multiple of the floor above which nobody is hurried, however slow the others are."""

MIN_SPREAD = 0.15
"""Least spread of log paces assumed among raters, so that a pool of equal paces does not condemn a slightly faster."""

MIN_RATERS = 5
"""Raters with a clock from which on they are compared with each other."""

STRAIGHT_LINE_P = 1e-4
"""Chance below which an honest rater would show such a run of equal places."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How one rater works.

    `timed` judgments have a clock and `ms_per_word` is their median, None without any; `first_share` is the share of
    clear choices for the answer shown first.
    """

    rater_id: str
    judgments: int
    timed: int
    ms_per_word: float | None
    hurried_judgments: int
    first_share: float | None
    hurried: bool
    straight_lining: bool


def words_shown(task: Task, prompts: Mapping[str, Prompt], responses: Mapping[str, Response]) -> int:
    """Words of the last message and of all answers of a task, at least five."""
    prompt = prompts.get(task.prompt_id)
    texts = [prompt.messages[-1].content] if prompt else []
    texts += [responses[key].text for key in task.response_ids if key in responses]
    return max(MIN_WORDS, sum(len(text.split()) for text in texts))


def judgment_pace(judgment: Judgment, shown: int) -> float | None:
    """Milliseconds per word shown; None without a clock."""
    return None if judgment.duration_ms is None else judgment.duration_ms / shown


def chose_first(judgment: Judgment) -> bool | None:
    """Whether the single best answer stood first on the screen; None for ties and unknown orders."""
    best = judgment.choice.ranking[0] if judgment.choice.ranking else ()
    if len(best) != 1 or best[0] not in judgment.order_shown:
        return None
    return judgment.order_shown[0] == best[0]


def rater_paces(judgments: Iterable[Judgment], shown: Mapping[str, int], settings: ScreenSettings) -> dict[str, Pace]:
    """The pace of every rater; `shown` maps task ids to words, judgments of other tasks are left out."""
    by_rater: dict[str, list[Judgment]] = defaultdict(list)
    for judgment in judgments:
        if judgment.task_id in shown:
            by_rater[judgment.rater_id].append(judgment)
    paces = {rater: _pace(rater, mine, shown, settings) for rater, mine in sorted(by_rater.items())}
    limit = hurried_limit([pace.ms_per_word for pace in paces.values() if pace.ms_per_word], settings)
    return {rater: replace(pace, hurried=_is_hurried(pace, limit, settings)) for rater, pace in paces.items()}


def hurried_limit(paces: list[float], settings: ScreenSettings) -> float:
    """Milliseconds per word below which a rater is hurried: the floor, or more where the other raters are slow.

    exp(m - z * s) with m the median and s the scaled median absolute deviation of the raters' log paces, held between
    the floor and three times the floor.
    """
    floor = settings.min_ms_per_word
    if settings.hurried_z == 0.0 or len(paces) < MIN_RATERS:
        return floor
    logs = [log(pace) for pace in paces]
    middle = median(logs)
    spread = max(1.4826 * median(abs(value - middle) for value in logs), MIN_SPREAD)
    return min(max(floor, exp(middle - settings.hurried_z * spread)), RELATIVE_CEILING * floor)


def _is_hurried(pace: Pace, limit: float, settings: ScreenSettings) -> bool:
    enough = pace.timed >= settings.hurried_min_judgments
    return enough and pace.ms_per_word is not None and pace.ms_per_word < limit


def _pace(rater_id: str, mine: list[Judgment], shown: Mapping[str, int], settings: ScreenSettings) -> Pace:
    paces = [pace for j in mine if (pace := judgment_pace(j, shown[j.task_id])) is not None]
    places = [place for j in mine if (place := chose_first(j)) is not None]
    typical = median(paces) if paces else None
    enough = settings.hurried_min_judgments
    return Pace(
        rater_id=rater_id,
        judgments=len(mine),
        timed=len(paces),
        ms_per_word=typical,
        hurried_judgments=sum(pace < settings.min_ms_per_word for pace in paces),
        first_share=sum(places) / len(places) if places else None,
        hurried=False,
        straight_lining=len(places) >= enough and _straight(Counter(places), settings.straight_line_share),
    )


def _straight(places: Counter[bool], share: float) -> bool:
    """Whether one place took at least `share` of the choices and a coin would hardly do that."""
    total, most = places.total(), max(places.values())
    return most >= share * total and 2.0 * float(binom.sf(most - 1, total, 0.5)) < STRAIGHT_LINE_P


def hurried_evidence(
    judgments: list[Judgment], shown: Mapping[str, int], paces: Mapping[str, Pace], settings: ScreenSettings
) -> tuple[Finding, ...]:
    """A finding when most of a pair's judgments were hurried, or given by hurried or straight-lining raters."""
    bad = [j for j in judgments if _is_bad(j, shown, paces, settings)]
    if not bad or len(bad) < settings.hurried_share * len(judgments):
        return ()
    evidence = f"{len(bad)} of {len(judgments)} judgments were hurried or straight-lined"
    return (Finding(scanner=SCANNER, kind="hurried_evidence", severity="medium", evidence=evidence),)


def _is_bad(judgment: Judgment, shown: Mapping[str, int], paces: Mapping[str, Pace], settings: ScreenSettings) -> bool:
    rater = paces.get(judgment.rater_id)
    if rater is not None and (rater.hurried or rater.straight_lining):
        return True
    pace = judgment_pace(judgment, shown[judgment.task_id]) if judgment.task_id in shown else None
    return pace is not None and pace < settings.min_ms_per_word

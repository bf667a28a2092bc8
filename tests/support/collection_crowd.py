"""Raters and a lead who do anything in any order, and what they know of it, to hold the database against."""

import contextlib
from collections import Counter

from collection_world import World, verdict

from backstay.feedback.collection import (
    Assignment,
    ProjectSettings,
    Rejected,
    change_project,
    expire,
    issue,
    renew,
    skip,
    submit,
    undo,
)
from backstay.feedback.collection.resettling import changes_waiting, resettle_page

RATERS = ("ann", "bob", "cid", "dan")
ACTS = (
    *("judge",) * 7,
    *("undo",) * 3,
    *("next", "again", "skip", "renew", "wait", "expire", "late", "tomorrow", "change", "resettle"),
)
SETTINGS = ProjectSettings(votes=2, most_votes=3, gold_share=0.2, repeat_share=0.3, lease_s=60, prompts_again=1)
CHANGES = (
    SETTINGS,
    SETTINGS.model_copy(update={"votes": 1, "most_votes": 1}),
    SETTINGS.model_copy(update={"votes": 3, "most_votes": 4, "dimensions": ("overall", "harmless")}),
    SETTINGS.model_copy(update={"dimensions": ("helpful",), "active": False}),
)


class Crowd:
    """Acts by name. `standing` counts the submissions of each rater that were acknowledged and not taken back."""

    def __init__(self, found: World) -> None:
        self.found = found
        self.had: dict[str, list[Assignment]] = {rater: [] for rater in RATERS}
        self.standing: Counter[str] = Counter()
        self.judgments = 0
        """Records that came of them, taken back or not."""

    def do(self, act: str, rater: str, winner: int | None) -> None:
        """One act; what is refused changes nothing."""
        with contextlib.suppress(Rejected):
            getattr(self, f"_{act}")(rater, winner)

    def _next(self, rater: str, _: int | None) -> None:
        issued = self.found.do(lambda unit: issue(unit, self.found.project, rater, self.found.secret))
        if issued.assignment is not None and issued.assignment not in self.had[rater]:
            self.had[rater].append(issued.assignment)

    def _judge(self, rater: str, winner: int | None) -> None:
        self._next(rater, None)
        if self.had[rater]:
            self._submit(rater, self.had[rater][-1], winner)

    def _late(self, rater: str, winner: int | None) -> None:
        if self.had[rater]:
            self._submit(rater, self.had[rater][-2 if len(self.had[rater]) > 1 else 0], winner)

    def _again(self, rater: str, winner: int | None) -> None:
        if self.had[rater]:
            self._submit(rater, self.had[rater][-1], winner)
            self._submit(rater, self.had[rater][-1], winner)

    def _submit(self, rater: str, assigned: Assignment, winner: int | None) -> None:
        sent = verdict(assigned, winner, *self.found.project.settings.dimensions)
        self.found.now_ms += 1000
        taken = self.found.do(
            lambda unit: submit(unit, assigned.id, rater, f"key-{assigned.id}", sent, self.found.secret)
        )
        self.standing[rater] += taken.is_new
        if taken.is_new:
            self.judgments += len(self.found.project.settings.dimensions)
        if taken.following.assignment is not None and taken.following.assignment not in self.had[rater]:
            self.had[rater].append(taken.following.assignment)

    def _skip(self, rater: str, _: int | None) -> None:
        if self.had[rater]:
            last = self.had[rater][-1].id
            self.found.do(lambda unit: skip(unit, last, rater, f"skip-{last}", "unclear", "", self.found.secret))

    def _undo(self, rater: str, _: int | None) -> None:
        undone = self.found.do(lambda unit: undo(unit, self.found.project, rater))
        self.standing[rater] -= 1
        self.had[rater].append(undone.assignment)

    def _renew(self, rater: str, winner: int | None) -> None:
        if self.had[rater]:
            which = -1 if winner or len(self.had[rater]) == 1 else -2
            self.found.do(lambda unit: renew(unit, self.had[rater][which].id, rater))

    def _wait(self, _: str, __: int | None) -> None:
        self.found.now_ms += 40_000

    def _expire(self, _: str, __: int | None) -> None:
        self.found.do(expire)

    def _tomorrow(self, _: str, __: int | None) -> None:
        """To the end of the day, or a little beyond it."""
        left_ms = 86_400_000 - self.found.now_ms % 86_400_000
        self.found.now_ms += left_ms - 60_000 if left_ms > 60_000 else left_ms

    def _change(self, rater: str, winner: int | None) -> None:
        chosen = CHANGES[(RATERS.index(rater) + (winner or 0)) % len(CHANGES)]
        self.found.do(lambda unit: change_project(unit, self.found.project, "lead", settings=chosen))

    def _resettle(self, _: str, __: int | None) -> None:
        with self.found.engine.connect() as connection:
            waiting = changes_waiting(connection)
        for project, change in waiting.items():
            assert self.found.do(lambda unit, p=project, c=change: resettle_page(unit, p, c)) is None  # type: ignore[misc]  # mypy cannot infer a lambda with defaults

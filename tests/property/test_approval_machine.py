"""Approvals against a small model of what the documents say, rule by rule, with restarts in between."""

import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from approval_checker import can_be_seated
from approval_world import ROLES, World, needs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from backstay.guard.approvals import Refusal, first_difference

PEOPLE = st.sampled_from([*ROLES, "nobody"])
DUTIES = (
    needs((1, "finance")),
    needs((2, "finance"), expires_s=900.0),
    needs((1, "finance"), (1, "security")),
)
OPEN = ("pending", "approved")


class Model:
    """One approval, as the documents describe it."""

    def __init__(self, duties: int, now_s: float) -> None:
        self.duties, self.state = duties, "pending"
        self.ends_s = now_s + min(duty.expires_s for duty in DUTIES[duties])  # type: ignore[union-attr]  # all ask for approval
        self.votes: dict[tuple[str, str, int], frozenset[str]] = {}
        self.lease_ends_s = 0.0

    def as_of(self, now_s: float) -> str:
        if self.state in OPEN and now_s >= self.ends_s:
            return "expired"
        return "unknown" if self.state == "executing" and now_s >= self.lease_ends_s else self.state

    def enough(self, roles: dict[str, tuple[str, ...]]) -> bool:
        voters = {
            who: had & set(roles.get(who, ()))
            for (who, vote, duties), had in self.votes.items()
            if vote == "approve" and duties == self.duties
        }
        stages = [duty.model_dump(mode="json") for duty in DUTIES[self.duties]]
        return can_be_seated(stages, {who: frozenset(had) for who, had in voters.items()})

    def may(self, roles: tuple[str, ...]) -> bool:
        return any(set(roles) & set(duty.of) for duty in DUTIES[self.duties])  # type: ignore[union-attr]  # all ask for approval


class ApprovalMachine(RuleBasedStateMachine):
    """What callers do, and what the model says comes of it."""

    held: Bundle[str] = Bundle("held")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name) / "g.db")
        self.models: dict[str, Model] = {}
        self.tokens: dict[str, str] = {}
        self.highest_s = self.world.now_s

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            self.folder.cleanup()

    @rule(target=held, duties=st.integers(0, 2))
    def ask(self, duties: int) -> str:
        made = self.world.ask(obligations=DUTIES[duties])
        self.models[made] = Model(duties, self.highest_s)
        return made

    @rule(held=held, who=PEOPLE, vote=st.sampled_from(["approve", "approve", "approve", "deny"]))
    def vote(self, held: str, who: str, vote: str) -> None:
        model, roles = self.models[held], self.world.roles.get(who, ())
        state = model.as_of(self.highest_s)
        allowed = who not in ("rita", "olga") and model.may(roles)
        in_time = state == "pending" or (state == "approved" and vote == "deny")
        got = self.outcome(lambda: self.world.vote(held, who, vote))
        if not (allowed and in_time):
            assert got == "refused"
            return
        model.votes[who, vote, model.duties] = frozenset(roles)
        model.state = "denied" if vote == "deny" else "approved" if model.enough(self.world.roles) else "pending"
        assert got == model.state

    @rule(held=held, duties=st.integers(0, 2), effect=st.sampled_from(["hold", "hold", "hold", "allow", "deny"]))
    def claim(self, held: str, duties: int, effect: str) -> None:
        model = self.models[held]
        now: dict[str, Any] = {"effect": effect, "obligations": DUTIES[duties] if effect == "hold" else ()}
        got = self.outcome(lambda: self.tokens.__setitem__(held, self.world.claim(held, lease_s=300.0, **now)))
        if model.as_of(self.highest_s) != "approved":
            assert got == "refused"
        elif effect == "deny":
            assert got == "refused"
            model.state = "stale"
        elif effect == "hold" and (model.duties, duties) not in {(0, 0), (1, 0), (1, 1), (2, 2), (2, 0)}:
            assert got == "refused"
            model.state, model.duties = "pending", duties
        elif not model.enough(self.world.roles):
            assert got == "refused"
            model.state = "pending"
        else:
            assert got is None
            model.state, model.lease_ends_s = "executing", self.highest_s + 300

    @rule(held=held, outcome=st.sampled_from(["executed", "failed"]))
    def finish(self, held: str, outcome: str) -> None:
        if held not in self.tokens:
            return
        model = self.models[held]
        before = model.as_of(self.highest_s)
        got = self.outcome(lambda: self.world.approvals.finish(self.tokens[held], cast("Any", outcome)).state)
        model.state = {"executing": outcome}.get(before, before)
        assert got == (outcome if before in ("executing", outcome) else "refused")

    @rule(held=held)
    def cancel(self, held: str) -> None:
        model = self.models[held]
        before = model.as_of(self.highest_s)
        self.outcome(lambda: self.world.approvals.cancel(held, "olga"))
        model.state = "cancelled" if before in OPEN else before

    @rule(seconds=st.sampled_from([1, 299, 300, 600, 3600]))
    def later(self, seconds: int) -> None:
        self.world.now_s += seconds
        self.tick()

    @rule(seconds=st.sampled_from([1, 600, 100_000]))
    def clock_set_back(self, seconds: int) -> None:
        self.world.now_s -= seconds

    def tick(self) -> None:
        """Let the world see the time, as any call does."""
        self.world.approvals.sweep()
        self.highest_s = max(self.highest_s, self.world.now_s)

    @rule(
        who=st.sampled_from(["alice", "bob", "carol", "dave"]), roles=st.sampled_from([("finance",), ("security",), ()])
    )
    def roles_change(self, who: str, roles: tuple[str, ...]) -> None:
        self.world.roles[who] = roles or ("janitor",)

    @rule()
    def restart(self) -> None:
        self.world.restarted()

    def outcome(self, attempt: Any) -> Any:
        try:
            return attempt()
        except Refusal:
            return "refused"

    @invariant()
    def every_state_is_what_the_model_says(self) -> None:
        for held, model in getattr(self, "models", {}).items():
            assert self.world.state(held) == model.as_of(self.highest_s)

    @invariant()
    def the_journal_agrees(self) -> None:
        if hasattr(self, "world"):
            with self.world.ledger.read() as connection:
                assert first_difference(connection) is None


ApprovalMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)


TestApprovals = pytest.mark.property(ApprovalMachine.TestCase)

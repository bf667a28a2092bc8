"""Random schedules: people, workers, an editor and a sweeper as coroutines that stop at every await, and may die there.

Between a read and a write, and between a token and its effect, anything else may happen. A death takes everything in
memory; a death inside a unit of work comes at a random statement, or after the commit and before the answer.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from approval_checker import Checker
from approval_world import POLICY, REASON, ROLES, SCHEMA, DirectLedger, Killed, World, action, needs
from sqlalchemy import select

from backstay.errors import ResourceError
from backstay.guard.approvals import Current, HeldAction, Identity, Refusal, Settings, first_difference
from backstay.storage.journal import read_entries
from backstay.storage.tables import approval_outbox, journal

T = TypeVar("T")
Actor = Generator[None, None, None]
WINDOW_S = 200_000.0
SETTINGS = Settings(
    webhooks=("pager",),
    escalate_after_s=1800,
    escalate_to=("oncall",),
    break_glass_most=1,
    break_glass_window_s=WINDOW_S,
)
DUTIES = (
    needs((1, "finance")),
    needs((1, "finance"), (1, "security")),
    needs((1, "finance/security"), expires_s=600),
    needs((2, "finance"), expires_s=1200),
)
POLICIES = tuple(
    (effect, POLICY if n == 0 else str(n) * 64, DUTIES[n % len(DUTIES)])
    for n, effect in enumerate(["hold", "hold", "hold", "hold", "allow", "deny"])
)
VOTERS = [name for name in ROLES if name != "gina"] + ["gina", "nobody"]


IDLE = ("pending", "executed", "denied", "stale", "superseded", "cancelled", "expired", "failed")


class Schedule:
    """One schedule in a world that others have used before."""

    def __init__(self, world: World, seed: int, steps: int = 30) -> None:
        self.world, self.random, self.steps, self.seed = world, random.Random(seed), steps, seed
        self.checker = Checker()
        self.checker.glass_ms = world.glass_ms
        self.ids: list[str] = []
        self.broken: list[tuple[str, str]] = []
        self.seen_ms = self.world.approvals._clock.now_ms()
        self.sent_ms = self.kills = self.keys = 0
        self.codes: Counter[str] = Counter()
        self.policy = POLICIES[0]
        self.trying: tuple[str, str, str, str] | None = None
        self.schema = SCHEMA
        world.recheck = self.evaluate_draft
        world.roles = dict(ROLES)
        world.now_s = max(world.now_s, self.seen_ms / 1000) + 5000
        self.principal = f"svc-{seed}"
        world.aliases["rita"] = (self.principal.upper(),)
        world.restarted()

    def run(self) -> Checker:
        """All of it; the world is left alive."""
        kinds = (self.requester, self.editor, self.sweeper, self.linker, *[self.voter] * 9, *[self.worker] * 5)
        actors = [self.requester(), *[self.random.choice(kinds)() for _ in range(3)]]
        for _ in range(self.steps):
            self.chaos()
            index = self.random.randrange(len(actors))
            try:
                next(actors[index])
            except (StopIteration, Refusal, ResourceError) as error:
                self.codes[getattr(error, "code", type(error).__name__)] += 1
                actors[index] = self.random.choice(kinds)()
            except Killed:
                self.kill()
                actors = [self.random.choice(kinds)() for _ in actors]
        self.world.ledger.down = False
        self.world.ledger.statements_left, self.world.ledger.lose_answer = None, False
        return self.checker

    def chaos(self) -> None:
        """Time, policy, roles, the database, and death."""
        world, chance = self.world, self.random.random()
        world.ledger.down = chance < 0.01
        if chance < 0.05:
            world.now_s += self.random.choice([1, 60, 600, 1300, 3700])
        elif chance < 0.06:
            world.now_s -= self.random.choice([1, 600, 4000])
        elif chance < 0.09:
            self.policy = self.random.choice(POLICIES)
        elif chance < 0.095:
            self.schema = self.random.choice([SCHEMA, "6" * 64])
        elif chance < 0.11:
            name = self.random.choice(list(ROLES))
            world.roles[name] = self.random.choice([ROLES[name], ("janitor",), ("security", "oncall")])
        elif chance < 0.13:
            world.ledger.statements_left = self.random.randrange(12)
        elif chance < 0.15:
            world.ledger.lose_answer = True

    def kill(self) -> None:
        self.kills += 1
        self.world.ledger.statements_left, self.world.ledger.lose_answer = None, False
        self.world.restarted()

    def call(self, method: Callable[..., T], *args: Any) -> Generator[None, None, T]:
        """A call that is sent once more when its process died before the answer, as a client with a key does.

        Leaves in `sent_ms` the latest moment that must have counted at its earliest try: what a unit that was
        committed has seen, or the wall clock.
        """
        trying, self.trying = self.trying, None
        sent_ms = self.now_ms()
        while True:
            if trying is not None:
                self.checker.tried(*trying, frozenset(self.world.roles.get(trying[2], ())))
            sent_ms = min(sent_ms, self.now_ms())
            try:
                answer = method(*args)
            except Killed:
                self.kill()
                yield
                method = getattr(self.world.approvals, method.__name__)
            except ResourceError:
                yield
            else:
                self.seen_ms, self.sent_ms = max(self.seen_ms, int(self.world.now_s * 1000)), sent_ms
                return answer

    def now_ms(self) -> int:
        return max(self.seen_ms, int(self.world.now_s * 1000))

    def evaluate(self, args: dict[str, Any], session: str) -> Current:
        effect, policy, duties = self.policy
        held = action(
            args,
            duties,
            policy=policy,
            session=session,
            tool_schema=self.schema,
            principal=self.principal,
        )
        return Current(effect, held)  # type: ignore[arg-type]  # POLICIES holds effects only

    def evaluate_draft(self, draft: HeldAction) -> Current:
        return self.evaluate(dict(draft.args), draft.session)

    def learn(self, approval_id: str) -> Any:
        """Tell the checker how an approval stands now."""
        approval = self.world.approvals.get(approval_id)
        known = self.checker.told.get(approval_id)
        fresh = known is None or approval.digest not in known.contents or known.unchecked
        if known is None or (approval.state == "pending" and fresh):
            barred = {"rita", "olga", *approval.editors}
            shown = self.world.approvals.rendered(approval_id)
            self.checker.asked(
                approval.id, approval.content, approval.digest, shown, approval.expires_at_ms, barred,
                unchecked=approval.unchecked,
            )  # fmt: skip
        return approval

    def pick(self) -> str | None:
        return self.random.choice(self.ids) if self.ids else None

    def wanted(self, seen: Any) -> list[str]:
        """Who could still help this approval on."""
        roles = {role for stage in seen.stages for role in stage.roles}
        missing = [n for n, had in self.world.roles.items() if roles & set(had) and n not in seen.voters("approve")]
        return [name for name in missing if name not in ("rita", "olga")] or VOTERS

    def requester(self) -> Actor:
        _, policy, duties = self.policy if self.policy[0] == "hold" else POLICIES[0]
        key = f"{self.seed}-{len(self.ids)}-{self.random.random()}"
        held = action(
            {"amount": self.random.randrange(3)}, duties, policy=policy, session=f"s{self.seed}", key=key,
            tool_schema=self.schema, principal=self.principal,
        )  # fmt: skip
        made = yield from self.call(self.world.approvals.ask, held)
        self.checker.expect(made.id not in self.ids, "I7", "one key, two askings")
        self.ids.append(made.id)
        self.learn(made.id)
        yield
        if self.random.random() < 0.05:
            yield from self.call(self.world.approvals.cancel, made.id, "olga", "")

    def voter(self) -> Actor:
        chosen = self.pick()
        if chosen is None:
            return
        seen = self.learn(chosen)
        who = self.random.choice(VOTERS if self.random.random() < 0.3 else self.wanted(seen))
        yield
        vote = self.random.choices(["approve", "deny", "break_glass"], [9, 1, 4])[0]
        who = self.random.choice(["erin", "frank", who]) if vote == "break_glass" else who
        self.keys += 1
        key = f"{self.seed}/{self.keys}"
        for _ in range(2 if self.random.random() < 0.2 else 1):
            self.trying = (chosen, seen.digest, who, vote)
            after = yield from self.call(
                self.world.approvals.decide, chosen, Identity(who, "token"), vote, seen.digest, REASON, key
            )
            self.heard(after, chosen, seen.digest, who, vote, key)
            yield

    def heard(self, after: Any, chosen: str, digest: str, who: str, vote: str, key: str) -> None:
        cast = [v for v in after.votes if (v.person, v.vote, v.digest, v.key) == (who, vote, digest, key)]
        self.checker.expect(len(cast) == 1, "I7", f"{len(cast)} votes of one decision")
        if cast:
            self.settle(chosen)
            self.checker.voted(chosen, digest, who, vote, cast[0].roles, self.sent_ms, key, cast[0].version)
        if after.via == "break-glass" and vote == "break_glass" and after.version == cast[0].version + 1:
            with self.world.ledger.read() as connection:
                latest = select(approval_outbox.c.body).order_by(approval_outbox.c.id.desc()).limit(100)
                bodies = [json.loads(row.body) for row in connection.execute(latest)]
            about = [body["type"] for body in bodies if body["approval"]["id"] == chosen]
            found = about.count("approval.break_glass")
            if (chosen, digest) not in self.broken:
                self.broken.append((chosen, digest))
                self.checker.glass_broken(cast[0].at_ms, int(WINDOW_S * 1000), SETTINGS.break_glass_most, found)

    def settle(self, chosen: str) -> None:
        """Learn from the journal whether policy has been run on an edit, by whoever swept meanwhile."""
        known = self.checker.told[chosen]
        if known.unchecked:
            known.unchecked = not any(row["id"] == chosen and row["event"] == "rechecked" for row in self.recent())

    def recent(self) -> list[dict[str, Any]]:
        """The newest rows of the journal."""
        query = select(journal.c.payload).where(journal.c.kind == "guard.approval").order_by(journal.c.seq.desc())
        with self.world.ledger.engine.connect() as connection:
            return [json.loads(row.payload) for row in connection.execute(query.limit(200))]

    def worker(self) -> Actor:
        chosen = self.pick()
        seen = self.world.approvals.get(chosen) if chosen else None
        if chosen is None or seen is None or (seen.state in IDLE and self.random.random() < 0.8):
            return
        yield
        args = dict(seen.content["args"]) if self.random.random() < 0.95 else {"amount": 77}
        current = self.evaluate(args, str(seen.content["session"]))
        yield
        before_ms = self.now_ms()
        claim = self.world.approvals.claim(chosen, seen.digest, current, "w", self.random.choice([5.0, 120.0]))
        roles = {name: frozenset(had) for name, had in self.world.roles.items()}
        self.checker.claimed(
            chosen, seen.digest, current.action.content(), current.effect, before_ms, roles,
            claim.approval.escalated_roles, claim.approval.votes,
        )  # fmt: skip
        yield
        rows = self.recent()
        self.checker.executed(chosen, any(r["id"] == chosen and r["event"] == "claimed" for r in rows))
        yield
        yield from self.call(self.world.approvals.finish, claim.token, "executed", "")

    def editor(self) -> Actor:
        chosen, who = self.pick(), self.random.choice(VOTERS)
        if chosen is None:
            return
        seen = self.world.approvals.get(chosen)
        yield
        if self.random.random() < 0.5:
            self.world.recheck = None if self.random.random() < 0.5 else self.evaluate_draft
            self.world.restarted()
        args = {"amount": self.random.randrange(100, 103)}
        made = yield from self.call(self.world.approvals.edit, chosen, Identity(who, "token"), args, seen.digest)
        self.checker.expect(who not in {"rita", "olga"}, "I3", "the requester edited")
        if made.id not in self.ids:
            self.checker.expect(not made.votes, "I8", "votes on a fresh edit")
            self.ids.append(made.id)
        self.learn(made.id)
        self.world.recheck = self.evaluate_draft
        self.world.restarted()
        yield

    def sweeper(self) -> Actor:
        chosen = self.pick()
        if chosen is None:
            return
        yield from self.call(self.world.approvals.sweep)
        self.learn(chosen)
        yield

    def linker(self) -> Actor:
        chosen, who = self.pick(), self.random.choice(VOTERS[:4])
        if chosen is None:
            return
        seen = self.learn(chosen)
        token = yield from self.call(self.world.approvals.make_link, chosen, who)
        yield
        before = self.world.approvals.get(chosen).version
        self.world.approvals.open_link(token)
        self.checker.expect(self.world.approvals.get(chosen).version == before, "I12", "GET decided")
        yield
        self.trying = (chosen, seen.digest, who, "approve")
        after = yield from self.call(self.world.approvals.decide_by_link, token, who, "approve", REASON)
        cast = [v for v in after.votes if v.person == who and v.key.startswith("link:")]
        if cast and cast[-1].digest in self.checker.told[chosen].contents:
            self.settle(chosen)
            self.settle(chosen)
            self.checker.voted(
                chosen, cast[-1].digest, who, "approve", cast[-1].roles, self.sent_ms, cast[-1].key, cast[-1].version
            )
        yield
        other = "bob" if who != "bob" else "alice"
        for audience, vote in ((other, "approve"), (who, "deny")):
            try:
                self.world.approvals.decide_by_link(token, audience, vote, REASON)
            except (Refusal, ResourceError):
                continue
            self.checker.expect(False, "I12", f"a used link let {audience} {vote} {seen.id}")


def direct_world(path: Any) -> World:
    """A world for many schedules, on a real database that does not wait for the disk."""
    return World(path, SETTINGS, ledger=DirectLedger(path))


def audit(world: World, checker: Checker) -> None:
    """The whole journal against the tables, and against what time and policy may never do."""
    with world.ledger.read() as connection:
        difference = first_difference(connection)
        rows = [json.loads(entry.payload) for entry in read_entries(connection, "guard.approval")]
    checker.expect(difference is None, "I13", str(difference))
    for row in rows:
        approves = row["to"] == "approved" and row["from"] != "approved"
        checker.expect(not approves or row["event"] in ("approve", "break_glass"), "I1", f"{row['event']} approved")

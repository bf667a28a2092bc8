"""An account of what approvals let happen, kept from outside and in other words than the code, and what it breaks.

It knows only what callers were told and what the world was at that moment; it shares no code with the package.
"""

import hashlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Duties = Sequence[Mapping[str, Any]]


def plain_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of sorted compact JSON: the same as RFC 8785 for ASCII text and whole numbers."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def can_be_seated(duties: Duties, people: Mapping[str, frozenset[str]], more: Sequence[str] = ()) -> bool:
    """Whether different people fill every place that the duties ask for, by trying all orders."""
    asked: dict[tuple[str, ...], int] = {}
    for duty in duties:
        if duty["name"] == "require_approval":
            roles = tuple(sorted(duty["of"]))
            asked[roles] = max(asked.get(roles, 0), duty["k"])
    places = [set(roles) | set(more) for roles, k in asked.items() for _ in range(k)]
    if not places:
        return False
    return any(
        all(people[name] & place for name, place in zip(order, places, strict=True))
        for order in itertools.permutations(people, len(places))
    )


@dataclass
class Told:
    """What is known from outside of one approval."""

    content: dict[str, Any]
    expires_ms: int
    barred: set[str]
    contents: dict[str, dict[str, Any]] = field(default_factory=dict)
    votes: list[tuple[str, str, str, frozenset[str]]] = field(default_factory=list)
    """(digest, person, vote, roles then)"""

    denied: int | None = None
    """Version at which somebody denied it."""

    tried: dict[tuple[str, str, str], set[frozenset[str]]] = field(default_factory=lambda: defaultdict(set))
    claims: int = 0
    effects: int = 0
    unchecked: bool = False


class Checker:
    """Collects violations by invariant."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self.violations: Counter[str] = Counter()
        self.effects = self.votes = self.claims = self.glass = 0
        self.glass_ms: list[int] = []
        self.links: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.keys: dict[str, tuple[str, str, str]] = defaultdict(lambda: ("", "", ""))

    def expect(self, holds: bool, invariant: str, why: str) -> None:
        if not holds:
            self.violations[invariant] += 1
            self.examples.setdefault(invariant, why)

    def asked(
        self,
        approval_id: str,
        content: Mapping[str, Any],
        digest: str,
        shown: bytes,
        expires_ms: int,
        barred: set[str],
        *,
        unchecked: bool = False,
    ) -> None:
        """An approval stands open with this content."""
        plain = dict(content)
        self.expect(plain_digest(plain) == digest, "I2", "the digest is not of the content")
        first, _, rest = shown.decode().partition("\n")
        parsed, _ = json.JSONDecoder().raw_decode(rest)
        self.expect(first == f"digest {digest}" and parsed == plain, "I10", "other bytes shown than hashed")
        known = self.told.setdefault(approval_id, Told(plain, expires_ms, barred))
        known.content, known.unchecked = plain, unchecked
        known.contents[digest] = plain
        self.expect(expires_ms <= known.expires_ms, "I6", "the time to decide grew")
        known.expires_ms = min(expires_ms, known.expires_ms)

    def voted(
        self,
        approval_id: str,
        digest: str,
        person: str,
        vote: str,
        roles: frozenset[str],
        before_ms: int,
        key: str,
        version: int,
    ) -> None:
        """A vote was accepted; `before_ms` is the highest time known before it was sent."""
        known = self.told[approval_id]
        use = (approval_id, vote, digest)
        if self.keys.setdefault(key, use) == use and (digest, person, vote) in {v[:3] for v in known.votes}:
            return
        self.expect(self.keys[key] == use, "I7", "one key, two decisions")
        self.votes += 1
        self.expect(person not in known.barred, "I3", f"{person} counted")
        self.expect(known.denied is None or version < known.denied, "I4", "approved after a deny")
        self.expect(before_ms < known.expires_ms, "I6", "decided after the end")
        self.expect(digest in known.contents, "I2", "a vote on a digest that nobody asked about")
        self.expect(not known.unchecked or vote == "deny", "I8", "decided on an edit before policy was run")
        known.votes.append((digest, person, vote, roles))
        known.denied = version if vote == "deny" else known.denied

    def tried(self, approval_id: str, digest: str, person: str, vote: str, roles: frozenset[str]) -> None:
        """A vote is being sent, by somebody who has these roles now; whether it counts may never be heard."""
        self.told[approval_id].tried[digest, person, vote].add(roles)

    def heard(self, known: Told, digest: str, vote: str, votes: Sequence[Any]) -> list[tuple[str, frozenset[str]]]:
        """The stored votes of one kind that somebody did send, and who may count."""
        found = []
        for cast in votes:
            if (cast.digest, cast.vote) == (digest, vote):
                sent = cast.roles in known.tried[digest, cast.person, vote]
                self.expect(sent, "I1", f"{cast.person} never sent this vote with these roles")
                self.expect(cast.person not in known.barred, "I3", f"{cast.person} is stored")
                found.append((cast.person, cast.roles))
        return found

    def claimed(
        self, approval_id: str, digest: str, action: Mapping[str, Any], effect: str, before_ms: int,
        roles: Mapping[str, frozenset[str]], more: Sequence[str], votes: Sequence[Any],
    ) -> None:  # fmt: skip
        """A token was given for this action under this answer of the current policy."""
        known = self.told[approval_id]
        self.claims += 1
        known.claims += 1
        self.expect(known.claims == 1, "I5", "claimed twice")
        self.expect(known.denied is None, "I4", "claimed after a deny")
        self.expect(before_ms < known.expires_ms, "I6", "claimed after the end")
        self.expect(effect != "deny", "I9", "claimed against policy")
        shown = known.contents.get(digest, {})
        bound = ("principal", "owner", "session", "action", "tool", "tool_schema", "args", "resource")
        self.expect(all(shown.get(name) == action[name] for name in bound), "I2", "another action than was approved")
        people = {
            person: had & roles.get(person, frozenset()) for person, had in self.heard(known, digest, "approve", votes)
        }
        glass = {p for p, had in self.heard(known, digest, "break_glass", votes) if "break-glass" in roles.get(p, ())}
        enough = can_be_seated(shown.get("obligations", ()), people, more)
        self.expect(enough or len(glass) >= 2, "I1", f"{people} and {glass} are not enough")
        if not enough:
            return
        demanded = action["obligations"] if effect == "hold" else ()
        met = can_be_seated(demanded, people, more) or not demanded or len(glass) >= 2
        self.expect(met, "I9", "policy demands more than was given")

    def glass_broken(self, at_ms: int, window_ms: int, most: int, paged: int) -> None:
        """An approval became approved by break-glass; `paged` events were in the outbox for it."""
        self.glass += 1
        self.glass_ms.append(at_ms)
        self.expect(sum(t > at_ms - window_ms for t in self.glass_ms) <= most, "I11", "the glass was broken too often")
        self.expect(paged >= 2, "I11", "nobody was paged")

    def executed(self, approval_id: str, journalled: bool) -> None:
        """The effect happened."""
        known = self.told[approval_id]
        self.effects += 1
        known.effects += 1
        self.expect(known.effects == 1, "I5", "executed twice")
        self.expect(known.claims == 1, "I1", "executed without a token")
        self.expect(journalled, "I13", "no journal row before the effect")

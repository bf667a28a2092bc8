"""Questions about all requests at once: which rules never matter, and can a tool be reached with tainted arguments?"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from backstay.errors import UsageError
from backstay.policy.cel import CALL_LISTS
from backstay.policy.cel_subset import NotAnalysable, parse_condition
from backstay.policy.counterexample import request_of_model
from backstay.policy.engine import PolicyBundle
from backstay.policy.points import POINTS, TOOL_POINT, Point
from backstay.policy.request import Request
from backstay.policy.rules import Rule
from backstay.policy.symbolic import ABSENT, Symbols, Truth

TIMEOUT_MS = 2000
MAX_PAIRS = 2000


class Answer(NamedTuple):
    """One answer: `never` is proven, `can` comes with a request that the engine itself decided so."""

    question: str
    verdict: Literal["never", "can", "not analysable"]
    rules: tuple[str, ...]
    detail: str
    example: Request | None = None


class _Space:
    """All requests at one point, and what each rule does to them."""

    def __init__(self, bundle: PolicyBundle, point: Point) -> None:
        self.bundle, self.point = bundle, point
        self.symbols = Symbols(bundle.counters)
        self.z3 = self.symbols.z3
        self.refused: dict[str, str] = {}
        self.rules = [c.rule for c in bundle.rules if point in c.rule.match.point and c.rule.mode == "enforce"]
        self.matched = {rule.id: self._matches(rule) for rule in self.rules}
        self.truths = {rule.id: self._truth(rule) for rule in self.rules}

    def _matches(self, rule: Rule) -> Any:
        texts = self.symbols.texts
        tool = self.symbols.glob(rule.match.tool, texts["tool"])
        return self.z3.And(tool, self.symbols.glob(rule.match.action, texts["action"]))

    def _truth(self, rule: Rule) -> Truth:
        """A condition that is not analysed may do anything; what follows from that holds whatever it does."""
        if rule.when is None:
            return Truth(self.z3.BoolVal(True), self.z3.BoolVal(False))
        try:
            return self.symbols.truth(parse_condition(rule.when))
        except NotAnalysable as reason:
            self.refused[rule.id] = str(reason)
            yes = self.symbols.free()
            return Truth(yes, self.z3.And(self.z3.Not(yes), self.symbols.free()))

    def counts(self, rule: Rule) -> Any:
        """When a rule decides as it says: a permit that is true, a forbid or hold that is not false."""
        truth = self.truths[rule.id]
        return self.z3.And(self.matched[rule.id], truth.yes if rule.effect == "permit" else self.z3.Not(truth.no))

    def any_of(self, effect: str, but: Rule | None = None) -> Any:
        """Whether some rule of an effect counts."""
        return self.z3.Or(*(self.counts(rule) for rule in self.rules if rule.effect == effect and rule is not but))

    def allowed(self) -> Any:
        """When a request is allowed, conflicting routes aside."""
        default = self.bundle.defaults[self.point] == "allow"
        permitted = self.z3.BoolVal(True) if default else self.any_of("permit")
        return self.z3.And(permitted, self.z3.Not(self.any_of("forbid")), self.z3.Not(self.any_of("hold")))

    def solve(self, *wanted: Any) -> Any:
        """A model, None when there is none, or NotAnalysable when the solver does not know."""
        z3, texts = self.z3, self.symbols.texts
        solver = z3.Solver()
        solver.set("timeout", TIMEOUT_MS)
        letters = (z3.Range("a", "z"), z3.Range("A", "Z"), z3.Range("0", "9"), *(z3.Re(c) for c in "_.:/@+-"))
        plain = z3.Plus(z3.Union(*letters))
        solver.add(z3.InRe(texts["tool"], plain if self.point == TOOL_POINT else z3.Option(plain)))
        solver.add(z3.InRe(texts["action"], z3.Option(plain)), texts["point"] == z3.StringVal(self.point))
        solver.add(*self.symbols.facts, *wanted)
        found = solver.check()
        if found == z3.unknown:
            raise NotAnalysable("the solver found no answer in time")
        return solver.model() if found == z3.sat else None

    def example(self, *wanted: Any) -> Request | None:
        """A request, None when there is none."""
        model = self.solve(*wanted)
        return None if model is None else request_of_model(model, self.symbols, self.point)

    def unclear(self, ids: Iterable[str]) -> str:
        """Why nothing certain can be said, by the first of these rules that is not analysed."""
        return next((f"rule {i}: {self.refused[i]}" for i in ids if i in self.refused), "the example is not confirmed")


def analyze(bundle: PolicyBundle) -> tuple[Answer, ...]:
    """Rules that never decide, and permits that a forbid overrides, at every point that has rules."""
    found: list[Answer] = []
    for point in POINTS:
        space = _Space(bundle, point)
        found += [answer for rule in space.rules if (answer := _never_decides(space, rule))]
        found += _overlaps(space)
    return tuple(found)


def _never_decides(space: _Space, rule: Rule) -> Answer | None:
    question = f"does {rule.id} ever decide at {space.point}?"
    z3 = space.z3
    stronger = {"forbid": [], "hold": ["forbid"], "permit": ["forbid", "hold"]}[rule.effect]
    silent = [z3.Not(space.any_of(effect)) for effect in stronger]
    try:
        if space.solve(space.counts(rule), *silent) is None:
            overridden = space.solve(space.counts(rule)) is not None
            what = "stronger rules always decide" if overridden else "its condition is never true"
            return Answer(question, "never", (rule.id,), what)
        if space.solve(space.counts(rule), *silent, z3.Not(space.any_of(rule.effect, but=rule))) is None:
            return Answer(question, "never", (rule.id,), f"another {rule.effect} always counts where it does")
    except NotAnalysable as reason:
        return Answer(question, "not analysable", (rule.id,), str(reason))
    if rule.id in space.refused:
        return Answer(question, "not analysable", (rule.id,), space.refused[rule.id])
    return None


def _overlaps(space: _Space) -> list[Answer]:
    permits = [rule for rule in space.rules if rule.effect == "permit"]
    pairs = [(p, f) for p in permits for f in space.rules if f.effect == "forbid"]
    if len(pairs) > MAX_PAIRS:
        raise UsageError(
            f"{len(pairs)} pairs of permit and forbid are more than {MAX_PAIRS}", cure="analyze files one by one"
        )
    answers = (_overlap(space, permit, forbid) for permit, forbid in pairs)
    return [answer for answer in answers if answer is not None]


def _overlap(space: _Space, permit: Rule, forbid: Rule) -> Answer | None:
    question = f"does {forbid.id} forbid, with a true condition, what {permit.id} permits at {space.point}?"
    truth = space.truths[forbid.id]
    try:
        example = space.example(space.counts(permit), space.matched[forbid.id], truth.yes)
    except NotAnalysable as reason:
        return Answer(question, "not analysable", (permit.id, forbid.id), str(reason))
    if example is None:
        return None
    decision = space.bundle.decide(example)
    if decision.effect == "deny" and forbid.id in decision.rules:
        return Answer(question, "can", (permit.id, forbid.id), "the forbid wins", example)
    return Answer(question, "not analysable", (permit.id, forbid.id), space.unclear((permit.id, forbid.id)))


def reachable_while_tainted(bundle: PolicyBundle, tool: str, origin: str = "tool", arg: str | None = None) -> Answer:
    """Can a call of a tool be allowed, unseen by anybody, with an argument that came from `origin`?

    `arg` names the argument, or a list about the call such as `call.destination`; without it any argument counts that
    a rule names, or one that no rule names.
    """
    space = _Space(bundle, TOOL_POINT)
    z3, symbols = space.z3, space.symbols
    part = arg.removeprefix("call.") if arg and arg.startswith("call.") else ""
    if part and part not in CALL_LISTS:
        raise UsageError(f"a call has no {part!r}", cure=f"ask about call.{', call.'.join(CALL_LISTS)}")
    if part:
        tainted, known = [symbols.said_of_call(part, origin)], symbols.looked_at
    else:
        names = [arg] if arg else sorted({*symbols.args, *symbols.known, "another_argument"})
        tainted = [z3.And(symbols.origin(name, origin), symbols.arg(name)["kind"] != ABSENT) for name in names]
        known = symbols.traced
    named = arg if part else f"args.{arg}"
    question = f"can {tool} be allowed while {named if arg else 'an argument'} comes from {origin}?"
    wanted = (symbols.texts["tool"] == z3.StringVal(tool), known, z3.Or(*tainted), space.allowed())
    try:
        example = space.example(*wanted)
    except NotAnalysable as reason:
        return Answer(question, "not analysable", (), str(reason))
    if example is None:
        return Answer(question, "never", (), "no request is allowed so")
    decision = bundle.decide(example)
    if decision.effect == "allow":
        return Answer(
            question, "can", decision.rules, "permitted by rules" if decision.rules else "by default", example
        )
    return Answer(question, "not analysable", (), space.unclear(rule.id for rule in space.rules))

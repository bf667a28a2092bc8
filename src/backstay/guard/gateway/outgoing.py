"""What a model answers, decided before the client sees it: whole texts, and tool calls, which are always whole."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from backstay.guard.argument_check import SchemaCheck
from backstay.guard.enforcer import Ruling
from backstay.guard.findings import is_wanted, replaced, wanted_by
from backstay.guard.gateway.answers import Choice, ToolCall
from backstay.guard.gateway.around import call_ids, is_harmless
from backstay.guard.gateway.context import Context, HeldCall
from backstay.guard.gateway.incoming import MASK
from backstay.guard.json_texts import texts_in
from backstay.policy import Request
from backstay.policy.points import is_plain_name
from backstay.records import Finding

FILTERED = "content_filter"
OWN_RULE = "guard:call"
FIT = "offer"
_schemas = SchemaCheck()
MAX_DEPTH = 64


class CallVerdict(NamedTuple):
    """What became of one tool call."""

    call: ToolCall
    effect: str
    why: str
    ruling: Ruling | None
    args: Mapping[str, Any] = {}
    place: int = 0


class AnswerVerdict(NamedTuple):
    """What became of the tool calls of a choice; where one is not allowed, none is released."""

    effect: str
    notice: str
    calls: tuple[CallVerdict, ...] = ()
    choice: int = 0

    @property
    def held(self) -> list[HeldCall]:
        """What waits for approvals."""
        return [
            HeldCall(v.ruling, v.args, self.choice, v.place)
            for v in self.calls
            if v.effect == "hold" and v.ruling is not None
        ]


ALLOWED = AnswerVerdict("allow", "")


def judge_texts(context: Context, choice: Choice, *, late: bool = False, counts: bool = True) -> Ruling:
    """Decide on the texts of a choice, and replace in them what the policy wants replaced.

    `late`: the texts have been released, redacted on the way; the ruling is for the journal and changes nothing.
    `counts` is False where they were counted before.
    """
    found = {name: context.output_findings(text) for name, text in choice.texts.items()}
    every = [finding for findings in found.values() for finding in findings]
    text = "\n".join(choice.texts.values())
    ruling = context.ruled(context.enforcer.rule(context.exchange, "model.output", text=text, findings=every))
    if counts and ruling.decision.effect != "deny":
        context.count(ruling)
    if late or ruling.decision.effect == "deny":
        return ruling
    missing = _redact_texts(choice, found, wanted_by(ruling.decision.obligations))
    if missing:
        return _denied(ruling, f"it holds {missing}, which cannot be taken out of it")
    return ruling if ruling.decision.effect == "hold" else _final(context, choice, ruling)


def _final(context: Context, choice: Choice, ruling: Ruling) -> Ruling:
    """Decide on what the client would read, where a rule asks for that."""
    if not context.bundle.rules_at("response.final"):
        return ruling
    found = {name: context.scans.findings(text, "response.final") for name, text in choice.texts.items()}
    every = [finding for findings in found.values() for finding in findings]
    text = "\n".join(choice.texts.values())
    final = context.ruled(context.enforcer.rule(context.exchange, "response.final", text=text, findings=every))
    if final.decision.effect == "allow":
        missing = _redact_texts(choice, found, wanted_by(final.decision.obligations))
        return _denied(final, f"it holds {missing}, which cannot be taken out of it") if missing else final
    return final


def _redact_texts(choice: Choice, found: Mapping[str, Sequence[Finding]], wanted: frozenset[str]) -> str:
    """Replace what is wanted; a kind that has no place in the text, or ""."""
    for name, findings in found.items() if wanted else ():
        outcome = replaced(choice.texts[name], findings, wanted, lambda kind: MASK.format(kind=kind))
        if outcome.unplaced:
            return outcome.unplaced[0]
        choice.texts[name] = outcome.text
    return ""


def _denied(ruling: Ruling, why: str) -> Ruling:
    return ruling._replace(decision=ruling.decision._replace(effect="deny", reasons=(why,)))


def judge_calls(context: Context, choice: Choice, ahead: list[Request]) -> AnswerVerdict:
    """Decide on the tool calls of a choice; `ahead` are calls of the same answer that were allowed, and grows."""
    if not choice.calls:
        return ALLOWED
    verdicts = []
    calls = sorted(choice.calls.items())
    ids = call_ids(context.scans, [(index, call.id) for index, call in calls], f"{context.exchange.id}_{choice.index}")
    for index, call in calls:
        call.id = ids[index]
        verdict = judge_call(context, call, ahead)._replace(place=index)
        verdicts.append(verdict)
        if verdict.ruling is not None and verdict.effect == "allow":
            ahead.append(verdict.ruling.request)
    refused = [v for v in verdicts if v.effect == "deny"] or [v for v in verdicts if v.effect == "hold"]
    if not refused:
        return AnswerVerdict("allow", "", tuple(verdicts), choice.index)
    effect = refused[0].effect
    word = "was denied" if effect == "deny" else "waits for approval"
    lines = [f"[guard: the call of {_named(context, v.call)} {word}: {v.why}]" for v in refused]
    return AnswerVerdict(effect, "\n".join(lines), tuple(verdicts), choice.index)


def judge_call(context: Context, call: ToolCall, ahead: Sequence[Request]) -> CallVerdict:
    """Decide on one tool call, with where its arguments came from."""
    args = _arguments(call)
    if args is None or (why := _unfit(context, call)):
        why = why if args is not None else f"its arguments are no JSON object, or one deeper than {MAX_DEPTH}"
        tool = call.name if is_plain_name(call.name) else ""
        context.ruled(context.enforcer.refuse(context.exchange, "model.tool_call", OWN_RULE, why, tool=tool))
        return CallVerdict(call, "deny", why, None)
    text = texts_in(args)
    findings = (*context.scans.findings(text, "model.tool_call"), *_misfits(context, call, args))
    facts = context.facts(call.name, args)
    ruling = context.ruled(
        context.enforcer.rule(
            context.exchange,
            "model.tool_call",
            text=text,
            findings=findings,
            tool=call.name,
            args=args,
            provenance=facts.provenance.by_argument(),
            call=facts.call,
            ahead=ahead,
        )
    )
    decision = ruling.decision
    if decision.effect == "allow" and not context.within_limits(ruling):
        return CallVerdict(call, "deny", f"a limit that policy sets is used up: {ruling.why}", ruling)
    if decision.effect != "deny":
        wanted = wanted_by(decision.obligations)
        args = _redact_arguments(context, args, wanted)
        if left := _left(context, findings, args, wanted):
            return CallVerdict(call, "deny", f"it holds {left}, which cannot be taken out of it", ruling)
    call.arguments = _written(call, args)
    return CallVerdict(call, decision.effect, ruling.why, ruling, args)


def _unfit(context: Context, call: ToolCall) -> str:
    """Why a call is denied whatever the policy says, "" where it is not."""
    if not is_plain_name(call.name):
        return "the tool's name is not plain ASCII"
    if call.name in context.removed:
        return "the tool was taken out of the request"
    offered = call.name in context.request.tools
    return "" if offered or is_harmless(context.scans, call.name) else "there is a finding in the tool's name"


def _misfits(context: Context, call: ToolCall, args: Mapping[str, Any]) -> Iterator[Finding]:
    """What policies are told of a call that is not as the request offered it."""
    if call.name not in context.request.tools:
        yield Finding(scanner=FIT, kind="tool_not_offered", severity="medium")
        return
    schema = context.request.tools[call.name]
    why = _schemas(schema, args) if call.kind == "function" and isinstance(schema, Mapping) else ""
    if why:
        yield Finding(scanner=FIT, kind="schema_violation", severity="medium", evidence=why)


def _arguments(call: ToolCall) -> dict[str, Any] | None:
    if call.kind == "custom":
        return {"input": call.arguments}
    try:
        value = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) and not deeper_than(MAX_DEPTH, value) else None


def deeper_than(most: int, value: Any) -> bool:
    """Whether objects and lists are nested more deeply; walks without recursion."""
    layer = [value]
    for _ in range(most + 1):
        layer = [inner for item in layer for inner in _inner(item)]
        if not layer:
            return False
    return True


def _inner(item: Any) -> list[Any]:
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [part for part in inner if isinstance(part, dict | list)]


def _written(call: ToolCall, args: dict[str, Any]) -> str:
    """The arguments as they were decided on, so that no key stands there twice and is read otherwise elsewhere."""
    return str(args["input"]) if call.kind == "custom" else orjson.dumps(args).decode()


def _redact_arguments(context: Context, args: dict[str, Any], wanted: frozenset[str]) -> dict[str, Any]:
    if not wanted:
        return args
    changed: dict[str, Any] = _mapped(context, args, wanted)
    return changed


def _left(context: Context, before: Sequence[Finding], args: dict[str, Any], wanted: frozenset[str]) -> str:
    """A kind that should be out of the arguments and is not: in a number, in a name, or across values; or ""."""
    if not any(is_wanted(f.kind, f.scanner, wanted) for f in before):
        return ""
    text = texts_in(args)
    after = replaced(text, context.scans.findings(text, "model.tool_call"), wanted, str)
    return next(iter((*after.kinds, *after.unplaced)), "")


def _mapped(context: Context, value: Any, wanted: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _mapped(context, item, wanted) for name, item in value.items()}
    if isinstance(value, list):
        return [_mapped(context, item, wanted) for item in value]
    if not isinstance(value, str):
        return value
    findings = context.scans.findings(value, "model.tool_call")
    if not any(is_wanted(f.kind, f.scanner, wanted) for f in findings):
        return value
    return replaced(value, findings, wanted, lambda kind: MASK.format(kind=kind)).text


def _named(context: Context, call: ToolCall) -> str:
    """The tool of a call for people; a name that the client did not offer is told only where nothing is in it."""
    plain = call.name in context.request.tools or is_harmless(context.scans, call.name)
    return call.name if plain else "a tool without a plain name"

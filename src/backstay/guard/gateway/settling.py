"""The end of an answer: what is denied falls away, what is held is kept for approval, and only the rest goes out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from backstay.guard.gateway.answers import MAX_CALLS, Choice, MalformedAnswer, kept_choice
from backstay.guard.gateway.context import Context, HeldCall
from backstay.guard.gateway.outgoing import FILTERED, AnswerVerdict, CallVerdict, judge_calls, judge_texts
from backstay.policy import Request


class Settled(NamedTuple):
    """Facts about the end of an answer, for the client: ids of approvals that it waits for, and of what was decided."""

    effect: str
    approvals: tuple[str, ...]
    decisions: tuple[str, ...]

    def facts(self, exchange: str) -> dict[str, Any]:
        """The `backstay` object of an answer."""
        return {
            "exchange": exchange,
            "effect": self.effect,
            "approvals": list(self.approvals),
            "decisions": list(self.decisions),
        }


async def settle_whole(context: Context, choices: Sequence[Choice]) -> Settled:
    """Decide on an answer of which nothing has gone out, texts and calls; the choices are changed."""
    held: list[HeldCall] = []
    denied = False
    for choice in choices:
        ruling = judge_texts(context, choice)
        effect = ruling.decision.effect
        if effect == "deny":
            denied = True
            filter_choice(context, choice, f"[guard: the answer was denied: {ruling.why}]")
        elif effect == "hold":
            held.append(HeldCall(ruling, {"text": "\n".join(choice.texts.values())}, choice.index))
    return await _settle(context, choices, held, denied=denied)


async def settle_calls(context: Context, choices: Sequence[Choice]) -> Settled:
    """Decide on the tool calls of an answer whose texts have gone out; the choices are changed."""
    return await _settle(context, choices, [], denied=False)


async def _settle(context: Context, choices: Sequence[Choice], held: list[HeldCall], *, denied: bool) -> Settled:
    if sum(len(choice.calls) for choice in choices) > MAX_CALLS:
        raise MalformedAnswer(f"the answer has more than {MAX_CALLS} tool calls")
    ahead: list[Request] = []
    verdicts = {choice.index: judge_calls(context, choice, ahead) for choice in choices}
    for choice in choices:
        verdict = verdicts[choice.index]
        if verdict.effect == "deny":
            denied = True
            withhold_calls(choice, verdict.notice)
    held += [one for verdict in verdicts.values() if verdict.effect == "hold" for one in verdict.held]
    approvals: list[str] = []
    if held:
        approvals = await _hold(context, choices, held, verdicts)
    else:
        count_calls(context, [v for choice in choices if choice.calls for v in verdicts[choice.index].calls])
    await context.on_disk()
    effect = "hold" if approvals else "deny" if denied else "allow"
    decisions = [ruling.id for ruling in context.rulings]
    return Settled(effect, tuple(approvals), tuple(decisions))


async def _hold(
    context: Context, choices: Sequence[Choice], held: list[HeldCall], verdicts: dict[int, AnswerVerdict]
) -> list[str]:
    """Keep the whole answer: no call of it goes out before all that is held is approved."""
    kept = orjson.dumps([kept_choice(choice) for choice in choices], option=orjson.OPT_NON_STR_KEYS)
    ids = await context.holds.ask(context, held, kept)
    if context.wait_s:
        resumed = await context.holds.resume(context, ids[0], context.wait_s)
        if resumed.choices is not None:
            _take(choices, resumed.choices)
            context.resumed.append(resumed)
            return []
    texts_held = any(one.call is None for one in held)
    for choice in choices:
        notice = verdicts[choice.index].notice or "[guard: the answer waits for approval]"
        if texts_held:
            choice.texts = {}
        if choice.calls or texts_held:
            withhold_calls(choice, f"{notice}\n[guard: approval {', '.join(ids)}]")
    return ids


def _take(choices: Sequence[Choice], approved: Sequence[Choice]) -> None:
    """The choices as they were approved; texts that have gone out already do not go out again."""
    by_index = {choice.index: choice for choice in approved}
    for choice in choices:
        choice.texts = by_index[choice.index].texts if choice.texts else {}
        choice.calls, choice.finish = by_index[choice.index].calls, by_index[choice.index].finish


def filter_choice(context: Context, choice: Choice, notice: str) -> None:
    """Nothing of a choice goes out but a notice."""
    choice.texts = {text_field(context): notice}
    choice.calls = {}
    choice.finish = FILTERED


def withhold_calls(choice: Choice, notice: str) -> None:
    """No call of a choice goes out; a notice is added to its text."""
    choice.calls = {}
    choice.finish = FILTERED
    name = "text" if "text" in choice.texts else "content"
    before = choice.texts.get(name, "")
    choice.texts[name] = f"{before}\n{notice}" if before else notice


def count_calls(context: Context, verdicts: Sequence[CallVerdict]) -> None:
    """The calls go out now: counters go up."""
    for verdict in verdicts:
        if verdict.ruling is not None:
            context.count(verdict.ruling)


def text_field(context: Context) -> str:
    """The field of a choice in which its text stands."""
    return "text" if context.request.api == "completions" else "content"

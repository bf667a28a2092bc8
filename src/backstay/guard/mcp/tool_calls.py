"""Calls of tools: of a known, unchanged tool, with arguments that fit its schema, and as policy decides."""

from typing import Any, NamedTuple

import orjson

from backstay.guard.enforcer import Ruling
from backstay.guard.findings import wanted_by
from backstay.guard.gateway.answers import Choice, ToolCall, kept_choice
from backstay.guard.gateway.context import HeldCall, digest_text
from backstay.guard.gateway.outgoing import CallVerdict, judge_call
from backstay.guard.mcp.catalog import Offered
from backstay.guard.mcp.exchange import ArgumentCheck, McpContext
from backstay.guard.mcp.messages import DENIED, HELD, INVALID_PARAMS, RpcFault
from backstay.guard.mcp.methods import APPROVAL_META
from backstay.guard.mcp.screening import redacted
from backstay.policy.points import is_plain_name
from backstay.records import sha256_hex

SCHEMA, UNKNOWN = "guard:schema", "guard:unknown-tool"
POINT = "model.tool_call"


class AllowedCall(NamedTuple):
    """A call that may go out: its parameters as they were decided on; `resumed` is the approval that lets it go."""

    params: dict[str, Any]
    tool: Offered
    name: str
    resumed: Any = None


async def decide_call(
    context: McpContext, params: dict[str, Any], given_meta: Any, check: ArgumentCheck | None
) -> AllowedCall:
    """Decide on one call; raises RpcFault where it is denied or held. What was decided is on disk when this returns."""
    tool = _known(context, params.get("name"))
    args = params.get("arguments")
    args = {} if args is None else args
    if not isinstance(args, dict):
        raise RpcFault(INVALID_PARAMS, "arguments are no object")
    name = context.server.judge.policy_name(tool.name)
    await _fits(context, tool, name, args, check)
    context.request_digest = _digest(context, tool, args)
    context.request.tools[name] = tool.definition
    approval = given_meta.get(APPROVAL_META) if isinstance(given_meta, dict) else None
    if isinstance(approval, str) and approval:
        return await _resumed(context, params, tool, name, approval, check)
    call = ToolCall("", "function", name, orjson.dumps(args).decode())
    verdict = judge_call(context, call, ())
    if verdict.effect == "deny" or verdict.ruling is None:
        await context.on_disk()
        raise denial(verdict)
    decided = orjson.loads(call.arguments)
    if verdict.effect == "hold":
        ids = await _ask(context, verdict.ruling, call, decided)
        if not context.wait_s:
            raise held(context, verdict.ruling, ids)
        return await _resumed(context, params, tool, name, ids[0], check)
    context.count(verdict.ruling)
    await context.on_disk()
    return AllowedCall(params | {"arguments": decided}, tool, name)


async def _fits(
    context: McpContext, tool: Offered, name: str, args: dict[str, Any], check: ArgumentCheck | None
) -> None:
    """Raises RpcFault for arguments that the tool's pinned schema does not allow."""
    fault = check(tool.definition["inputSchema"], args) if check else ""
    if fault:
        await _refused(context, name, SCHEMA, f"the arguments do not fit the tool's schema: {fault}")


async def _ask(context: McpContext, ruling: Ruling, call: ToolCall, args: dict[str, Any]) -> list[str]:
    """Ask for approvals, as for an answer of a model that holds this one call."""
    kept = orjson.dumps([kept_choice(Choice(0, calls={0: call}))], option=orjson.OPT_NON_STR_KEYS)
    ids = await context.holds.ask(context, [HeldCall(ruling, args, 0, 0)], kept)
    await context.on_disk()
    return ids


async def _resumed(
    context: McpContext, params: dict[str, Any], tool: Offered, name: str, approval: str, check: ArgumentCheck | None
) -> AllowedCall:
    """A call that was held, where its approval is given now: with its arguments as they were approved."""
    resumed = await context.holds.resume(context, approval, context.wait_s)
    ruling = context.rulings[-1] if context.rulings else None
    if resumed.state != "released" or not resumed.choices:
        raise held(context, ruling, list(resumed.approvals))
    (call,) = resumed.choices[0].calls.values()
    args = orjson.loads(call.arguments)
    wanted = wanted_by(ruling.decision.obligations) if ruling is not None else frozenset()
    args = redacted(context, args, POINT, wanted) if wanted else args
    await _fits(context, tool, name, args, check)
    await context.on_disk()
    return AllowedCall(params | {"arguments": args}, tool, name, resumed)


def held(context: McpContext, ruling: Ruling | None, ids: list[str]) -> RpcFault:
    """The answer to a call that waits: the approvals, and what to send again once they are given."""
    facts: dict[str, Any] = {"code": "held", "approvals": ids, "exchange": context.exchange.id}
    if ruling is not None:
        facts |= {"decision": ruling.id, "rules": list(ruling.decision.rules)}
    facts["retry"] = {"_meta": {APPROVAL_META: ids[0]}} if ids else None
    why = f": {ruling.why}" if ruling is not None else ""
    return RpcFault(HELD, f"the call waits for approval{why}", data=facts)


def _known(context: McpContext, name: Any) -> Offered:
    catalog = context.session.catalog
    tool = catalog.tools.get(name) if catalog is not None and isinstance(name, str) else None
    if tool is not None and not tool.refused:
        return tool
    why = tool.refused if tool is not None else "its server does not offer it"
    shown = name if tool is not None else str(name)[:60] if is_plain_name(name) else "a tool without a plain name"
    policy_name = context.server.judge.policy_name(shown)
    target = policy_name if is_plain_name(policy_name) else context.server.name
    ruling = context.ruled(context.enforcer.refuse(context.exchange, POINT, UNKNOWN, why, tool=target))
    raise RpcFault(DENIED, f"the call of {shown} was denied: {why}", data={"code": "denied", "decision": ruling.id})


async def _refused(context: McpContext, name: str, rule: str, why: str) -> None:
    ruling = context.ruled(context.enforcer.refuse(context.exchange, POINT, rule, why, tool=name))
    await context.on_disk()
    facts = {"code": "denied", "decision": ruling.id, "rules": [rule]}
    raise RpcFault(INVALID_PARAMS, f"the call of {name} was denied: {why}", data=facts)


def denial(verdict: CallVerdict) -> RpcFault:
    """The answer to a call that is denied."""
    ruling = verdict.ruling
    facts: dict[str, Any] = {"code": "denied"}
    if ruling is not None:
        facts |= {"decision": ruling.id, "rules": list(ruling.decision.rules)}
    return RpcFault(DENIED, f"the call of {verdict.call.name} was denied: {verdict.why}", data=facts)


def _digest(context: McpContext, tool: Offered, args: dict[str, Any]) -> str:
    """Of exactly what an approval is for: whose call, of which tool as it is pinned, with which arguments."""
    told = {
        "api": "mcp",
        "principal": context.principal.id,
        "session": context.exchange.session,
        "server": context.server.name,
        "tool": tool.name,
        "definition": tool.digest,
        "arguments": args,
    }
    return sha256_hex(digest_text(told).encode())

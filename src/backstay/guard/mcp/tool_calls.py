"""Calls of tools: of a known, unchanged tool, with arguments that fit its schema, and as policy decides."""

from typing import Any, NamedTuple

import orjson

from backstay.guard.findings import wanted_by
from backstay.guard.gateway.answers import ToolCall
from backstay.guard.gateway.context import HeldCall, digest_text
from backstay.guard.gateway.outgoing import CallVerdict, judge_call
from backstay.guard.mcp.catalog import Offered
from backstay.guard.mcp.exchange import ArgumentCheck, Claims, McpContext
from backstay.guard.mcp.messages import DENIED, HELD, INVALID_PARAMS, RpcFault
from backstay.guard.mcp.methods import APPROVAL_META
from backstay.guard.mcp.screening import redacted
from backstay.policy.points import is_plain_name
from backstay.records import sha256_hex

SCHEMA, UNKNOWN = "guard:schema", "guard:unknown-tool"
POINT = "model.tool_call"


class AllowedCall(NamedTuple):
    """A call that may go out: its parameters as they were decided on."""

    params: dict[str, Any]
    tool: Offered
    name: str
    token: str = ""


async def decide_call(
    context: McpContext,
    params: dict[str, Any],
    given_meta: Any,
    *,
    check: ArgumentCheck | None,
    claims: Claims | None,
) -> AllowedCall:
    """Decide on one call; raises RpcFault where it is denied or held. What was decided is on disk when this returns."""
    tool = _known(context, params.get("name"))
    args = params.get("arguments")
    args = {} if args is None else args
    if not isinstance(args, dict):
        raise RpcFault(INVALID_PARAMS, "arguments are no object")
    name = context.server.judge.policy_name(tool.name)
    fault = check(tool.definition["inputSchema"], args) if check else ""
    if fault:
        await _refused(context, name, SCHEMA, f"the arguments do not fit the tool's schema: {fault}")
    call = ToolCall("", "function", name, orjson.dumps(args).decode())
    verdict = judge_call(context, call, ())
    if verdict.effect == "deny" or verdict.ruling is None:
        await context.on_disk()
        raise denial(verdict)
    decided = orjson.loads(call.arguments)
    token = ""
    if verdict.effect == "hold":
        held = HeldCall(verdict.ruling, tool_schema=tool.definition["inputSchema"])
        token = await _claimed(context, held, _digest(context, tool, decided), given_meta, claims)
        wanted = wanted_by(verdict.ruling.decision.obligations)
        decided = redacted(context, decided, POINT, wanted) if wanted else decided
    context.enforcer.count(context.exchange, verdict.ruling)
    await context.on_disk()
    return AllowedCall(params | {"arguments": decided}, tool, name, token)


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


async def _claimed(context: McpContext, held: HeldCall, digest: str, given_meta: Any, claims: Claims | None) -> str:
    """The token of an approval that lets the call go out; raises RpcFault with the approvals that it waits for."""
    approval = given_meta.get(APPROVAL_META) if isinstance(given_meta, dict) else None
    if isinstance(approval, str) and approval and claims is not None:
        return await claims.claim(context, held, approval, digest)
    ids = await context.holds.ask(context.exchange, [held], digest, b"")
    await context.on_disk()
    ruling = held.ruling
    facts: dict[str, Any] = {
        "code": "held",
        "decision": ruling.id,
        "rules": list(ruling.decision.rules),
        "approvals": ids,
    }
    facts["retry"] = {"_meta": {APPROVAL_META: ids[0]}} if len(ids) == 1 else None
    raise RpcFault(HELD, f"the call of {ruling.request.tool} waits for approval: {ruling.why}", data=facts)


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

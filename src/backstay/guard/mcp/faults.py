"""Whatever stops an exchange, as the JSON-RPC error that the client gets."""

from backstay.errors import BackstayError
from backstay.guard.gateway.answers import MalformedAnswer
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.sse import MalformedStream
from backstay.guard.gateway.upstream import BrokenOff
from backstay.guard.mcp.messages import DENIED, HELD, INVALID_REQUEST, LIMITED, UNAVAILABLE, UPSTREAM, RpcFault
from backstay.guard.mcp.transport import SessionGone

_CODES = {
    "denied": DENIED,
    "held": HELD,
    "rate_limited": LIMITED,
    "over_budget": LIMITED,
    "too_large": LIMITED,
    "bad_request": INVALID_REQUEST,
    "upstream_down": UPSTREAM,
    "upstream_slow": UPSTREAM,
    "upstream_malformed": UPSTREAM,
}
Stops = (BackstayError, BrokenOff, SessionGone, TimeoutError)


def told_fault(error: Exception) -> tuple[RpcFault, str]:
    """The error for the client, and the status that the journal and the metrics tell."""
    if isinstance(error, RpcFault):
        code = str(error.data.get("code", "")) or {UPSTREAM: "upstream_error", LIMITED: "rate_limited"}.get(
            error.code, "bad_request"
        )
        return error, code
    if isinstance(error, ApiFault):
        fault = RpcFault(_CODES.get(error.code, UNAVAILABLE), error.message, status=error.status, data=error.facts)
        return fault, error.code
    if isinstance(error, SessionGone):
        return RpcFault(INVALID_REQUEST, "the server ended this session; initialize again", status=404), "session_gone"
    if isinstance(error, MalformedAnswer | MalformedStream | BrokenOff):
        why = f"the server's answer is not what it should be: {error}"
        return RpcFault(UPSTREAM, why, status=502), "upstream_malformed"
    if isinstance(error, TimeoutError):
        return RpcFault(UPSTREAM, "the server did not answer in time", status=504), "upstream_slow"
    message = error.message if isinstance(error, BackstayError) else type(error).__name__
    return RpcFault(UNAVAILABLE, f"the guard cannot decide: {message}", status=503), "guard_unavailable"

"""Whatever JSON a server answers with, no secret in it passes where the policy has secrets redacted."""

import json
from concurrent.futures import Future
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from made_secrets import token_with_check

from backstay.guard.enforcer import Enforcer, Exchange
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.keys import LOCAL
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.requests import ModelRequest
from backstay.guard.gateway.settings import checked
from backstay.guard.mcp.screening import screen, text_of, without_media
from backstay.guard.output_plan import PackKinds
from backstay.guard.scans import RememberedScans
from backstay.policy import Histories, PolicyBundle, parse_policy
from backstay.scan.secrets import scan_secrets, secret_pack

SECRET = token_with_check("ghp_", 21)
POLICY = """
policy: 1
rules:
  - id: redact
    effect: permit
    match: {point: tool.result}
    obligations: [{redact: {kinds: [secrets]}}]
    reason: no secrets
"""


class Log:
    def decision(self, *_: Any) -> "Future[int]":
        written: Future[int] = Future()
        written.set_result(1)
        return written

    counted = decision


class Live:
    bundle = PolicyBundle.compile([("policy", parse_policy(POLICY, "policy"))])


def context() -> Any:
    settings = checked({"guard": 1, "upstreams": {"main": {"base_url": "http://a/v1"}}}, "test")
    enforcer = Enforcer(Live(), Histories(Live.bundle.counters, lambda: 1.0), Log())
    scans = RememberedScans(lambda text, _: scan_secrets(text))
    kinds = PackKinds(secret_pack(), {})
    exchange = Exchange("x", "ada", "ada")
    holds: Any = None
    request = ModelRequest("mcp", {}, "far", False, 1, [])
    return Context(exchange, request, settings, enforcer, scans, kinds, holds, Limits(9), LOCAL, "")


WORDS = st.sampled_from(
    ["", "plain", SECRET, f"see {SECRET}.", SECRET[:20], SECRET[20:], "type", "data", "blob", "image"]
)
JSON = st.recursive(
    WORDS | st.integers() | st.none() | st.booleans(), lambda x: st.lists(x) | st.dictionaries(WORDS, x), max_leaves=12
)


@settings(deadline=None)
@given(st.dictionaries(WORDS, JSON, max_size=4))
def test_no_secret_passes_and_nothing_else_is_lost(value: dict[str, Any]) -> None:
    read = without_media(value)
    screened = screen(context(), read, "tool.result")
    if screened.value is None:
        assert SECRET in text_of(read) and screened.why
        return
    assert SECRET not in json.dumps(screened.value)
    assert screened.text == text_of(screened.value)
    if SECRET not in json.dumps(read):
        assert screened.value == read


@settings(deadline=None)
@given(st.dictionaries(WORDS, JSON, max_size=4))
def test_data_that_no_scanner_reads_does_not_pass_unless_it_is_allowed(value: dict[str, Any]) -> None:
    part = {"type": "image", "data": "UNREAD", "also": value}
    told = json.dumps(without_media({"content": [part, {"resource": {"blob": "UNREAD", "uri": "a://b"}}], "v": value}))
    assert "UNREAD" not in told and told.count("no scanner reads this") >= 2

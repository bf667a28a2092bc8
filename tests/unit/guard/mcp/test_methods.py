"""What is passed on to servers is what is listed, and nothing else."""

from typing import Any

import mcp_types.methods as official
import pytest

from backstay.guard.mcp.messages import RpcFault
from backstay.guard.mcp.methods import (
    CLIENT_NOTIFICATIONS,
    CLIENT_REQUESTS,
    HANDSHAKE,
    SERVER_NOTIFICATIONS,
    STATELESS,
    passed_params,
)

REVISIONS = (*HANDSHAKE, *STATELESS)


def test_every_method_of_the_specification_is_offered_or_left_out_on_purpose() -> None:
    asked = {method for method, revision in official.CLIENT_REQUESTS if revision in REVISIONS}
    told = {method for method, revision in official.CLIENT_NOTIFICATIONS if revision in REVISIONS}
    news = {method for method, revision in official.SERVER_NOTIFICATIONS if revision in REVISIONS}
    assert asked == set(CLIENT_REQUESTS) and told == set(CLIENT_NOTIFICATIONS)
    assert news - SERVER_NOTIFICATIONS == {"notifications/elicitation/complete"}


def test_parameters_that_are_not_known_are_refused_and_meta_is_sifted() -> None:
    params = {"name": "t", "arguments": {}, "_meta": {"progressToken": 1, "backstay/approval": "a", "x": 1}}
    assert passed_params("tools/call", params, frozenset()) == {
        "name": "t",
        "arguments": {},
        "_meta": {"progressToken": 1},
    }
    for name in ("task", "inputResponses"):
        with pytest.raises(RpcFault, match="is not offered with"):
            passed_params("tools/call", params | {name: {}}, frozenset())
    assert "inputResponses" in passed_params("tools/call", {"inputResponses": {}}, frozenset({"elicitation/create"}))
    with pytest.raises(RpcFault, match="_meta is no object"):
        passed_params("ping", {"_meta": []}, frozenset())
    with pytest.raises(RpcFault, match="not offered here"):
        passed_params("tasks/get", {}, frozenset())


def test_servers_see_only_the_capabilities_that_they_may_use() -> None:
    key = "io.modelcontextprotocol/clientCapabilities"
    given: dict[str, Any] = {"sampling": {}, "elicitation": {"form": {}}, "roots": {}, "experimental": {}}
    assert passed_params("ping", {"_meta": {key: given}}, frozenset()) == {"_meta": {key: {}}}
    opened = passed_params("initialize", {"capabilities": given}, frozenset({"elicitation/create"}))
    assert opened == {"capabilities": {"elicitation": {"form": {}}}}

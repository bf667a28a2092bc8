"""What a digest binds, and what is masked."""

from typing import Any

import pytest
from approval_world import World, action, needs

from backstay.guard.approvals import (
    HeldAction,
    digest_of,
)


def test_the_digest_is_of_canonical_json_of_what_binds() -> None:
    held = action({"b": 1.0, "a": "\u20ac"}, needs((1, "x"), expires_s=60.0))
    by_hand = (
        '{"action":"call","args":{"a":"\u20ac","b":1},"obligations":[{"expires_s":60,"k":1,"name":"require_approval",'
        '"of":["x"]}],"owner":"olga","policy":"' + "9" * 64 + '","principal":"svc-Rita","resource":"account/7",'
        '"session":"s1","tool":"bank.transfer","tool_schema":"' + "5" * 64 + '"}'
    )
    import hashlib

    assert digest_of(held.content()) == hashlib.sha256(by_hand.encode()).hexdigest()


@pytest.mark.parametrize(
    "name",
    ["principal", "owner", "session", "action", "tool", "tool_schema", "resource", "policy", "args", "obligations"],
)
def test_a_change_of_anything_that_binds_is_another_digest(name: str) -> None:
    other: Any = {"args": {"amount": 101, "to": "DE89"}, "obligations": needs((3, "finance"))}.get(name, "x")
    assert digest_of(action(**{name: other}).content()) != digest_of(action().content())


def test_a_held_action_is_masked_only_where_policy_says(world: World) -> None:
    held: HeldAction = action()
    assert held.masked(lambda _: "x") is held

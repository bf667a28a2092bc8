"""What a tool said of itself stays pinned until an operator pins something else."""

import json
from pathlib import Path
from typing import Any

import pytest

from backstay.errors import ResourceError, UsageError
from backstay.guard.mcp.pins import Pins, digest_of, lookalike_key, lookalikes

TOOL: dict[str, Any] = {"name": "a/b:c", "description": "Looks.", "inputSchema": {"type": "object", "maximum": 1.5}}


def changed(**more: Any) -> dict[str, Any]:
    return TOOL | more


def test_the_first_is_pinned_and_every_change_is_seen_by_every_process(tmp_path: Path) -> None:
    here, there = Pins(tmp_path), Pins(tmp_path)
    assert here.check("far", TOOL, first=True) == "pinned"
    assert there.check("far", TOOL, first=True) == "pinned"
    changes: list[dict[str, Any]] = [
        {"description": "looks."},
        {"inputSchema": {"type": "object", "maximum": 1.0}},
        {"outputSchema": {}},
        {"annotations": {"readOnlyHint": True}},
        {"title": "Look"},
    ]
    for more in changes:
        assert there.check("far", changed(**more), first=True) == "changed"
        assert here.get("far", "a/b:c").offered_digest == digest_of(changed(**more))  # type: ignore[union-attr]  # it is there
    assert here.check("far", TOOL, first=True) == "pinned"
    assert here.check("other", changed(description="x"), first=True) == "pinned"  # Each server has its own.


def test_what_no_client_sees_is_not_pinned(tmp_path: Path) -> None:
    pins = Pins(tmp_path)
    pins.check("far", TOOL, first=True)
    assert pins.check("far", changed(icons=[{"src": "x"}], _meta={"v": 2}), first=True) == "pinned"
    assert pins.check("far", dict(reversed(TOOL.items())), first=True) == "pinned"


def test_an_operator_approves_exactly_what_he_was_shown(tmp_path: Path) -> None:
    pins, new = Pins(tmp_path), changed(description="Other.")
    pins.check("far", TOOL, first=True)
    pins.check("far", new, first=True)
    shown = pins.get("far", "a/b:c").offered_digest  # type: ignore[union-attr]  # it is there
    pins.check("far", changed(description="Slipped in."), first=True)
    for digest in (shown, "", shown[:11], digest_of(TOOL)):
        with pytest.raises(UsageError):
            pins.approve("far", "a/b:c", digest)
    pins.check("far", new, first=True)
    assert pins.approve("far", "a/b:c", shown[:12]).definition == new
    assert Pins(tmp_path).check("far", new, first=True) == "pinned"
    assert Pins(tmp_path).check("far", TOOL, first=True) == "changed"
    with pytest.raises(UsageError, match="never offered"):
        pins.approve("far", "other", shown)


def test_without_first_use_only_an_operator_pins(tmp_path: Path) -> None:
    pins = Pins(tmp_path)
    assert pins.check("far", TOOL, first=False) == "new"
    assert pins.names("far") == set()
    pins.approve("far", "a/b:c", digest_of(TOOL))
    assert pins.check("far", TOOL, first=False) == "pinned"
    assert pins.names("far") == {"a/b:c"} and [pin.by for pin in pins.every()] == ["operator"]


def test_a_server_cannot_fill_the_disk_with_names(tmp_path: Path) -> None:
    pins = Pins(tmp_path, most=3)
    verdicts = [pins.check("far", TOOL | {"name": f"tool-{i}"}, first=True) for i in range(5)]
    assert verdicts == ["pinned"] * 3 + ["full"] * 2 and len(pins.every()) == 3


def test_a_pin_that_was_edited_by_hand_lets_nothing_through(tmp_path: Path) -> None:
    pins = Pins(tmp_path)
    pins.check("far", TOOL, first=True)
    (path,) = tmp_path.glob("far/*.json")
    value = json.loads(path.read_text())
    value["definition"]["description"] = "Other."
    path.write_text(json.dumps(value))
    with pytest.raises(ResourceError, match="no pin"):
        pins.check("far", TOOL, first=True)
    path.write_text("{")
    with pytest.raises(ResourceError, match="no pin"):
        Pins(tmp_path).every()


def test_names_that_look_alike() -> None:
    assert lookalike_key("Read_FiIe.1") == lookalike_key("read-file-l")
    assert lookalike_key("get_user") != lookalike_key("get_users")
    assert lookalikes(["pay", "PAY", "look"], []) == {"pay", "PAY"}
    assert lookalikes(["pay", "PAY"], ["pay"]) == {"PAY"}
    assert lookalikes(["PAY"], ["pay"]) == {"PAY"}  # Though its twin is not offered now.
    assert lookalikes(["pay", "look"], ["pay"]) == set()

"""A tool that a principal offers to models stays what it was when it was first offered."""

from pathlib import Path

from backstay.guard.mcp.chat_pins import ChatPins, place_of
from backstay.guard.mcp.pins import Pins, digest_of

SCHEMA = {"type": "object", "properties": {"to": {"type": "string", "maxLength": 5}}}


def test_each_principal_has_his_own_and_an_operator_can_pin_again(tmp_path: Path) -> None:
    pins = Pins(tmp_path)
    chat = ChatPins(pins)
    other = {"type": "object", "properties": {"to": {"type": "string", "maxLength": 6}}}
    assert chat.fault("ada", "pay", "pay\nPays.", SCHEMA) == ""
    assert chat.fault("ada", "pay", "pay\nPays.", SCHEMA) == ""
    assert "changed" in chat.fault("ada", "pay", "pay\nPays.", other)
    assert "changed" in chat.fault("ada", "pay", "pay\nPays. Always.", SCHEMA)
    assert chat.fault("eve", "pay", "pay\nPays.", other) == ""
    assert chat.fault("ada", "look", "look", None) == ""
    pins.approve(
        place_of("ada"), "pay", digest_of({"name": "pay", "description": "pay\nPays. Always.", "inputSchema": SCHEMA})
    )
    assert chat.fault("ada", "pay", "pay\nPays. Always.", SCHEMA) == ""
    assert "changed" in chat.fault("ada", "pay", "pay\nPays.", SCHEMA)

"""Sessions belong to one principal and one server, are few, and end when nobody uses them."""

import pytest

from backstay.guard.mcp.messages import RpcFault
from backstay.guard.mcp.sessions import McpSession, McpSessions
from backstay.guard.mcp.settings import McpLimits


class World:
    def __init__(self, **limits: float) -> None:
        self.now_s = 0.0
        self.ended: list[str] = []
        self.sessions = McpSessions(McpLimits.model_validate(limits), self._note, lambda: self.now_s)

    def _note(self, session: McpSession) -> None:
        self.ended.append(session.far_id)


def test_a_session_is_found_by_its_principal_at_its_server_only() -> None:
    sessions = World().sessions
    mine = sessions.open("ada", "far", "2025-11-25", "f1")
    assert sessions.get(mine.id, "ada", "far") is mine
    for given in ((mine.id, "eve", "far"), (mine.id, "ada", "near"), ("f1", "ada", "far"), ("", "ada", "far")):
        with pytest.raises(RpcFault) as raised:
            sessions.get(*given)
        assert raised.value.status == 404
    assert len({sessions.open("ada", "far", "", "").id for _ in range(20)}) == 20


def test_what_stands_for_itself_is_kept_by_who_asks_and_cannot_be_named_from_outside() -> None:
    sessions = World().sessions
    kept = sessions.stateless("ada/one", "ada", "far", "2026-07-28")
    assert sessions.stateless("ada/one", "ada", "far", "2026-07-28") is kept
    assert sessions.stateless("ada/two", "ada", "far", "2026-07-28") is not kept
    assert "\n" in kept.id  # No header holds a line break.


def test_idle_sessions_end_and_make_room() -> None:
    world = World(sessions=2, idle_s=10)
    first = world.sessions.open("ada", "far", "", "f1")
    world.now_s = 5
    busy = world.sessions.open("ada", "far", "", "f2")
    with pytest.raises(RpcFault) as raised:
        world.sessions.room("ada")
    assert raised.value.status == 429
    world.sessions.room("eve")
    with busy.waiting(1, None, "tools/call", 5):
        world.now_s = 20
        world.sessions.room("ada")
        assert world.ended == ["f1"]
        assert world.sessions.get(busy.id, "ada", "far") is busy
    with pytest.raises(RpcFault):
        world.sessions.get(first.id, "ada", "far")
    world.now_s = 40
    with pytest.raises(RpcFault):
        world.sessions.get(busy.id, "ada", "far")
    assert world.ended == ["f1", "f2"] and len(world.sessions) == 0


def test_requests_of_a_session_have_ids_of_ours_and_are_few() -> None:
    session = World().sessions.open("ada", "far", "", "")
    with session.waiting(7, "token", "tools/call", 2) as first, session.waiting("7", None, "ping", 2) as second:
        assert first != second and session.tokens == {(True, "token"): "tools/call"}
        for given in (7, 8):
            with pytest.raises(RpcFault), session.waiting(given, None, "ping", 2):
                raise AssertionError
    assert session.running == {} and session.tokens == {}


def test_a_server_asks_once_under_an_id_and_not_without_end() -> None:
    session = World().sessions.open("ada", "far", "", "")
    ours = session.ask_client(1, "elicitation/create", 2)
    assert ours is not None and ours != "1" and session.asked[ours] == (1, "elicitation/create")
    assert session.ask_client(1, "elicitation/create", 2) is None
    assert session.ask_client("1", "elicitation/create", 2) is not None
    assert session.ask_client(2, "elicitation/create", 2) is None

import json
import math
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from raw_server import Answer, RawServer, json_answer, raw_server

from backstay.errors import UsageError
from backstay.learn.rewards.http_reward import HttpReward, parse_endpoint
from backstay.learn.rewards.text_rewards import Texts

TEXTS = Texts(["p", "q", "r"], ["one", "three", "fourteen"], [True, True, False])


def reward(url: str, **more: Any) -> HttpReward:
    options: dict[str, Any] = {"timeout_s": 5.0, "retries": 0, "max_failures": 2, "sleep": lambda _: None} | more
    return HttpReward(None, url, **options)  # type: ignore[arg-type]  # no token is decoded here


def always(data: bytes) -> Callable[[RawServer], Answer]:
    return lambda _: lambda connection, _body: connection.sendall(data)


def lengths(_: RawServer) -> Answer:
    def answer(connection: socket.socket, body: bytes) -> None:
        asked = json.loads(body)
        connection.sendall(json_answer(json.dumps({"scores": [len(text) for text in asked["responses"]]})))

    return answer


def test_scores_come_back_in_order_and_requests_are_split() -> None:
    with raw_server(lengths) as server:
        assert reward(server.url, batch_size=2).score(TEXTS) == [3.0, 5.0, 8.0]
        bodies = [json.loads(body) for _, body in server.requests]
    assert bodies == [
        {"prompts": ["p", "q"], "responses": ["one", "three"], "finished": [True, True], "rendered": True},
        {"prompts": ["r"], "responses": ["fourteen"], "finished": [False], "rendered": True},
    ]
    assert server.requests[0][0].startswith("POST /score HTTP/1.1\r\n")
    assert "authorization" not in server.requests[0][0].lower()


def test_one_request_that_fails_costs_its_rows_only() -> None:
    def second_fails(state: RawServer) -> Answer:
        def answer(connection: socket.socket, body: bytes) -> None:
            if len(state.requests) == 2:
                connection.sendall(json_answer("{}", 400))
            else:
                lengths(state)(connection, body)

        return answer

    with raw_server(second_fails) as server:
        scorer = reward(server.url, batch_size=1)
        found = scorer.score(TEXTS)
    assert found[0] == 3.0 and math.isnan(found[1]) and found[2] == 8.0
    assert scorer.failures == Counter(refused=1) and scorer.last_failure == "the service answered 400"


CASES = [
    (json_answer("{}", 302, "Location: http://127.0.0.1:1/\r\n"), "redirect", "redirects are not followed"),
    (json_answer("{}", 401), "refused", "401"),
    (json_answer("{}", 503), "busy", "503"),
    (json_answer("not json"), "bad_answer", "not JSON"),
    (json_answer("[1, 2, 3]"), "bad_answer", 'no list "scores"'),
    (json_answer('{"scores": 3}'), "bad_answer", 'no list "scores"'),
    (json_answer('{"scores": ' + "[" * 100_000), "bad_answer", "not JSON"),
    (json_answer('{"scores": [' + "9" * 10_000 + ", 1, 2]}"), "bad_answer", "not JSON"),
    (json_answer('{"scores": [1, 2]}'), "wrong_length", "2 scores for 3 responses"),
    (json_answer('{"scores": [NaN, Infinity, null]}'), "not_finite", "3 of 3"),
    (json_answer('{"scores": ["1", true, {}]}'), "not_finite", "3 of 3"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "bad_answer", "not JSON"),
    (b"garbage\r\n\r\n", "connection", "BadStatusLine"),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n", "connection", "got more than 100 headers"),
    (b"", "connection", "RemoteDisconnected"),
]


@pytest.mark.parametrize(("data", "reason", "message"), CASES)
def test_an_answer_that_is_no_score_is_counted_by_reason(data: bytes, reason: str, message: str) -> None:
    with raw_server(always(data)) as server:
        scorer = reward(server.url)
        assert all(map(math.isnan, scorer.score(TEXTS)))
        assert scorer.failures == Counter({reason: 3}) and message in scorer.last_failure
        with pytest.raises(UsageError, match=f"the reward service at {server.url} gave no score 2 times"):
            scorer.score(TEXTS)


def endless(state: RawServer) -> Answer:
    def answer(connection: socket.socket, _body: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not state.stop.is_set():
            connection.sendall(b" " * 65536)

    return answer


def endless_chunks(state: RawServer) -> Answer:
    def answer(connection: socket.socket, _body: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not state.stop.is_set():
            connection.sendall(b"1000\r\n" + b" " * 0x1000 + b"\r\n")

    return answer


@pytest.mark.parametrize("server_kind", [endless, endless_chunks])
def test_an_endless_answer_is_given_up_on_at_the_limit(server_kind: Callable[[RawServer], Answer]) -> None:
    with raw_server(server_kind) as server:
        scorer = reward(server.url, max_answer_bytes=1 << 20)
        scorer.score(TEXTS)
    assert scorer.failures == Counter(too_large=3) and "larger than 1048576 bytes" in scorer.last_failure


def silent(state: RawServer) -> Answer:
    def answer(_connection: socket.socket, _body: bytes) -> None:
        state.stop.wait(10)

    return answer


def dripping(state: RawServer) -> Answer:
    """A byte of the head every few milliseconds: no single wait is long."""

    def answer(connection: socket.socket, _body: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not state.stop.wait(0.01):
            connection.sendall(b"y")

    return answer


def only_continues(state: RawServer) -> Answer:
    def answer(connection: socket.socket, _body: bytes) -> None:
        while not state.stop.wait(0.001):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    return answer


@pytest.mark.parametrize("server_kind", [silent, dripping, only_continues])
def test_a_service_that_never_answers_has_its_time_in_all(server_kind: Callable[[RawServer], Answer]) -> None:
    with raw_server(server_kind) as server:
        scorer = reward(server.url, timeout_s=0.2)
        started = time.monotonic()
        scorer.score(TEXTS)
        assert time.monotonic() - started < 3
    assert scorer.failures == Counter(timeout=3)


def test_what_may_pass_is_tried_again_with_growing_waits() -> None:
    def third_time(state: RawServer) -> Answer:
        def answer(connection: socket.socket, body: bytes) -> None:
            if len(state.requests) < 3:
                connection.sendall(json_answer("{}", 503))
            else:
                lengths(state)(connection, body)

        return answer

    waits: list[float] = []
    with raw_server(third_time) as server:
        scorer = reward(server.url, retries=3, backoff_s=0.5, sleep=waits.append)
        assert scorer.score(TEXTS) == [3.0, 5.0, 8.0]
    assert waits == [0.5, 1.0] and not scorer.failures


def test_what_will_not_pass_is_not_tried_again() -> None:
    with raw_server(always(json_answer("{}", 403))) as server:
        reward(server.url, retries=3).score(TEXTS)
        assert len(server.requests) == 1


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        scorer = reward(f"http://127.0.0.1:{free.getsockname()[1]}/")
        scorer.score(TEXTS)
    assert scorer.failures == Counter(connection=3) and "ConnectionRefusedError" in scorer.last_failure


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "abc123\n")
    with raw_server(lengths) as server:
        reward(server.url, token_variable="MY_TOKEN").score(TEXTS)
        assert "Authorization: Bearer abc123\r\n" in server.requests[0][0] + "\r\n"


@pytest.mark.parametrize("value", [None, "", "two\nlines\r\nX: y", "é"])
def test_a_token_that_is_not_there_or_no_header_is_refused(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_TOKEN", value)
    with pytest.raises(UsageError, match="MY_TOKEN holds no token"):
        reward("http://127.0.0.1:1/", token_variable="MY_TOKEN")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "file:///etc/passwd",
        "host:80/x",
        "http://",
        "http:///x",
        "http://a:b@host/",
        "http://host:99999/",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://hóst/",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="reward service"):
        parse_endpoint(url)


def test_an_address_in_parts() -> None:
    found = parse_endpoint("https://rewards.example:8443/v1/score?model=a")
    assert (found.secure, found.host, found.port, found.target) == (
        True,
        "rewards.example",
        8443,
        "/v1/score?model=a",
    )
    assert parse_endpoint("http://h").port == 80 and parse_endpoint("https://h").port == 443
    assert parse_endpoint("http://h").target == "/"

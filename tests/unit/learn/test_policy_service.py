import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.serving import turns
from backstay.learn.serving.generation import Cancelled, Generated, Policy
from backstay.learn.serving.policy_service import PolicyService

ASK: dict[str, Any] = {"model": "own", "messages": [{"role": "user", "content": "the sun"}], "seed": 1}


@pytest.fixture
def policy(model: LanguageModel) -> Policy:
    return Policy(model, (), 8, 1.0, 100, 400)


@pytest.fixture
def service(policy: Policy) -> Iterator[PolicyService]:
    with PolicyService(policy, ("own",), queue=1).running(1.0) as running:
        yield running


def post(service: PolicyService, body: Any, path: str = "/v1/chat/completions") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(service.host, service.port, timeout=20)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, data, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found[0], json.loads(found[1]) if found[1].startswith(b"{") else found[1]


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Held:
    """Generations that wait until they are let go."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Semaphore(0)

    def __call__(self, policy: Policy, prompt: Any, sampling: Any, *, on_text: Any, cancelled: Any) -> Generated:
        self.begun.release()
        while not self.go.wait(0.005):
            if cancelled.is_set():
                raise Cancelled
        return Generated(("done",), ("stop",), 1, 1)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    made = Held()
    monkeypatch.setattr(turns, "generate", made)
    return made


def test_whole_and_streamed_answers_say_the_same(service: PolicyService) -> None:
    status, whole = post(service, ASK | {"n": 2})
    assert status == 200
    _, raw = post(service, ASK | {"n": 2, "stream": True})
    lines = [line.removeprefix(b"data: ") for line in raw.split(b"\n\n") if line]
    assert lines[-1] == b"[DONE]"
    texts = {0: "", 1: ""}
    for line in lines[:-1]:
        (choice,) = json.loads(line)["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert list(texts.values()) == [choice["message"]["content"] for choice in whole["choices"]]
    until(lambda: service.counts.numbers()["requests"] == 2)  # Counted once the answer has been sent.


def test_a_client_that_goes_ends_its_generation(service: PolicyService, held: Held) -> None:
    body = json.dumps(ASK).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}"
    with socket.create_connection((service.host, service.port)) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        assert held.begun.acquire(timeout=10)
    until(lambda: service.counts.cancelled == 1)
    held.go.set()
    assert post(service, ASK)[0] == 200


def test_a_bounded_number_waits(service: PolicyService, held: Held) -> None:
    statuses: list[int] = []
    clients = [threading.Thread(target=lambda: statuses.append(post(service, ASK)[0])) for _ in range(2)]
    clients[0].start()
    assert held.begun.acquire(timeout=10)
    clients[1].start()
    until(lambda: len(service.turns._waiting) == 1)
    status, told = post(service, ASK)
    assert status == 429 and "1 requests wait" in told["error"]["message"]
    held.go.set()
    for client in clients:
        client.join(10)
    assert statuses == [200, 200]


def test_a_stop_lets_answers_end_and_takes_no_more(policy: Policy, held: Held) -> None:
    statuses: list[int] = []
    service = PolicyService(policy, ("own",))
    with service.running(10):
        client = threading.Thread(target=lambda: statuses.append(post(service, ASK)[0]))
        client.start()
        assert held.begun.acquire(timeout=10)
        drained = threading.Thread(target=service.turns.drain, args=(10,))
        drained.start()
        until(lambda: service.turns._closing)
        assert post(service, ASK)[0] == 503
        held.go.set()
        client.join(10)
        drained.join(10)
    assert statuses == [200]


def test_a_failure_ends_one_request_only(service: PolicyService, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Generated:
        raise RuntimeError("no memory, and a secret")

    with monkeypatch.context() as patch:
        patch.setattr(turns, "generate", fail)
        status, told = post(service, ASK)
        assert status == 500 and "secret" not in told["error"]["message"]
    assert post(service, ASK)[0] == 200


def test_a_stream_that_is_cut_off_does_not_look_whole(service: PolicyService, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(policy: Policy, prompt: Any, sampling: Any, *, on_text: Any, cancelled: Any) -> Generated:
        on_text(0, "the sun")
        raise Cancelled

    monkeypatch.setattr(turns, "generate", cut)
    with pytest.raises(http.client.IncompleteRead):
        post(service, ASK | {"stream": True})


def test_a_stream_that_fails_says_so(service: PolicyService, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(policy: Policy, prompt: Any, sampling: Any, *, on_text: Any, cancelled: Any) -> Generated:
        on_text(0, "the sun")
        raise RuntimeError

    monkeypatch.setattr(turns, "generate", fail)
    _, raw = post(service, ASK | {"stream": True})
    assert "error" in json.loads(raw.split(b"\n\n")[-2].removeprefix(b"data: ")) and b"[DONE]" not in raw


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        (b"{", "/v1/chat/completions", 400),
        (b"[" * 100_000, "/v1/chat/completions", 400),
        (ASK | {"model": "other"}, "/v1/chat/completions", 404),
        (ASK | {"n": 0}, "/v1/chat/completions", 400),
        (ASK, "/v1/responses", 404),
    ],
)
def test_errors_have_the_shape_that_clients_read(service: PolicyService, body: Any, path: str, status: int) -> None:
    seen, told = post(service, body, path)
    assert seen == status and isinstance(told["error"]["message"], str) and "type" in told["error"]


def test_an_open_address_needs_a_token(policy: Policy) -> None:
    with pytest.raises(UsageError, match="no token"):
        PolicyService(policy, ("own",), host="0.0.0.0")  # noqa: S104  it is refused

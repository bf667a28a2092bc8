import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tiny_loop import load_tiny, prompt_tokens

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rewards.http_reward import HttpReward
from backstay.learn.rewards.reward_requests import Reader
from backstay.learn.rewards.reward_service import RewardService, ServiceLimits, is_loopback
from backstay.learn.rewards.served_reward import Row, Scored
from backstay.learn.rewards.text_rewards import Texts

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_tiny()


def count_tokens(rows: list[Row]) -> list[Scored]:
    """A score that can be worked out: response tokens; the cost: prompt tokens; the gate: known or not."""
    return [
        Scored(float(len(row.response)), -float(row.finished), 0.5, float(len(row.prompt)), bool(row.known))
        for row in rows
    ]


def service(model: LanguageModel, **more: Any) -> RewardService:
    reader = Reader(model, {"prompt-1": tuple(prompt_tokens(model)[0])}, max_new_tokens=6)
    options: dict[str, Any] = {"score": count_tokens, "reader": reader, "about": {"run": "ppo-1"}} | more
    return RewardService(**options)


def call(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, headers if headers is not None else (JSON if data is not None else {}))
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_our_own_form(model: LanguageModel) -> None:
    asked = {"prompts": ["how is the sun ?", "how is tea ?"], "responses": ["good", "bad"], "finished": [True, False]}
    with service(model).running() as running:
        status, found = call(running.port, "POST", "/score", asked)
    good = len(model.response_tokens("good", finished=True, limit=6))
    assert status == 200
    assert found["scores"] == [good, good - 1] and found["shaped"] == [-1.0, 0.0]
    assert found["spread"] == [0.5, 0.5] and found["gate"] == [False, False]
    assert found["costs"] == [len(prompt_tokens(model)[0]), len(prompt_tokens(model)[5])]


def test_rendered_prompts_and_messages_are_the_same_tokens(model: LanguageModel) -> None:
    text = model.tokenizer.decode(prompt_tokens(model)[0], skip_special_tokens=False)
    messages = [{"role": "user", "content": "how is the sun ?"}]
    with service(model).running() as running:
        rendered = call(running.port, "POST", "/score", {"prompts": [text], "responses": ["x"], "rendered": True})
        written = call(running.port, "POST", "/score", {"prompts": [messages], "responses": ["x"]})
    assert rendered == written and written[1]["costs"] == [len(prompt_tokens(model)[0])]


def test_a_dialogue_that_is_too_long_loses_whole_turns_as_in_training(model: LanguageModel) -> None:
    turns = [("user", "how is tea ? " * 40), ("assistant", "good"), ("user", "how is the sun ?")]
    dialogue = [{"role": role, "content": content} for role, content in turns]
    with service(model).running() as running:
        status, found = call(running.port, "POST", "/score", {"prompts": [dialogue], "responses": ["x"]})
    assert status == 200 and found["costs"] == [len(prompt_tokens(model)[0])]  # only the last turn is left, whole


def test_responses_that_are_cut_are_named_and_counted(model: LanguageModel) -> None:
    asked = {"prompts": ["how is tea ?"] * 2, "responses": ["good " * 40, "good"], "finished": [True, True]}
    with service(model).running() as running:
        _, found = call(running.port, "POST", "/score", asked)
        call(running.port, "POST", "/verl", {"solution_str": "good " * 40, "ground_truth": "prompt-1"})
        _, health = call(running.port, "GET", "/health")
    assert found["cut"] == [True, False] and found["scores"][0] == 6.0
    assert health["counts"]["cut"] == 2 and health["counts"]["rows"] == 3


def test_the_form_of_verl(model: LanguageModel) -> None:
    asked = {"data_source": "backstay", "solution_str": "good tea", "ground_truth": "prompt-1", "extra_info": {}}
    with service(model).running() as running:
        status, found = call(running.port, "POST", "/verl", asked)
        _, cut = call(running.port, "POST", "/verl", asked | {"solution_str": "good " * 40})
        other = asked | {"ground_truth": "", "extra_info": {"messages": [{"role": "user", "content": "how is tea ?"}]}}
        _, unknown = call(running.port, "POST", "/verl", other)
        refused, why = call(running.port, "POST", "/verl", asked | {"ground_truth": "nobody"})
    assert status == 200 and set(found) == {"score", "ensemble_score", "spread", "cost", "gate"}
    assert found["score"] == -1.0 and found["gate"] == 1.0 and found["cost"] == len(prompt_tokens(model)[0])
    assert cut["score"] == 0.0 and cut["ensemble_score"] == 6.0  # as long as the limit: cut off
    assert unknown["gate"] == 0.0 and unknown["cost"] == len(prompt_tokens(model)[5])
    assert refused == 400 and "no prompt 'nobody'" in why["error"]


def test_the_form_of_openrlhf(model: LanguageModel) -> None:
    tokens = prompt_tokens(model)[0]
    prompt = model.tokenizer.decode(tokens, skip_special_tokens=False)
    whole = model.tokenizer.decode(
        [*tokens, *model.response_tokens("good tea", finished=True, limit=9)], skip_special_tokens=False
    )
    asked = {"query": [whole, prompt + "good tea"], "prompts": [prompt, prompt], "labels": ["prompt-1", None]}
    with service(model).running() as running:
        status, found = call(running.port, "POST", "/openrlhf", asked)
        refused, why = call(running.port, "POST", "/openrlhf", asked | {"prompts": ["x", "y"]})
        unlabelled = call(running.port, "POST", "/openrlhf", {"query": [whole], "prompts": [prompt]})
    assert status == 200 and found["rewards"] == found["scores"] == [-1.0, 0.0]
    ended = len(model.response_tokens("good tea", finished=True, limit=6))
    assert found["extra_logs"]["ensemble_score"] == [ended, ended - 1]
    assert found["extra_logs"]["gate"] == [1.0, 0.0] and found["extra_logs"]["cost"] == [len(tokens)] * 2
    assert refused == 400 and "does not begin with its prompt" in why["error"]
    assert unlabelled[1]["rewards"] == [-1.0]


BAD: list[tuple[str, Any, str]] = [
    ("/score", b"not json", "not JSON"),
    ("/score", b"[" * 200_000, "nested too deeply"),
    ("/score", b"\xff\xfe{", "not JSON"),
    ("/score", [], "must be a JSON object"),
    ("/score", None, "must be a JSON object"),
    ("/score", {}, '"responses" must be a list'),
    ("/score", {"prompts": ["a"], "responses": [1]}, "must be a string"),
    ("/score", {"prompts": [1], "responses": ["a"]}, "a text or a list of messages"),
    ("/score", {"prompts": [[]], "responses": ["a"]}, "a text or a list of messages"),
    ("/score", {"prompts": [[{"role": "root", "content": ""}]], "responses": ["a"]}, "a message must be"),
    ("/score", {"prompts": [[{"role": "user", "content": 1}]], "responses": ["a"]}, "must be a string"),
    ("/score", {"prompts": ["a", "b"], "responses": ["a"]}, "2 prompts, 1 responses"),
    ("/score", {"prompts": ["a"], "responses": ["a"], "finished": ["yes"]}, "true and false"),
    ("/score", {"prompts": ["a"], "responses": ["a"], "finished": 1}, '"finished" must be a list'),
    ("/score", {"prompts": ["a"], "responses": ["a"], "finished": 0}, '"finished" must be a list'),
    ("/score", {"prompts": ["a"], "responses": ["a"], "finished": {}}, '"finished" must be a list'),
    ("/score", {"prompts": ["a"], "responses": ["a"], "finished": ""}, '"finished" must be a list'),
    ("/score", {"prompts": ["a"], "responses": ["a"], "finished": []}, "0 times finished"),
    ("/score", {"prompts": ["a"], "responses": ["a"], "rendered": "false"}, '"rendered" must be a bool'),
    ("/score", {"prompts": ["a"], "responses": ["a"], "rendered": 0}, '"rendered" must be a bool'),
    ("/score", {"prompts": [[{"role": [], "content": "x"}]], "responses": ["y"]}, "a message must be"),
    ("/score", {"prompts": [[{"role": {}, "content": "x"}]], "responses": ["y"]}, "a message must be"),
    ("/score", {"prompts": [[{"role": "user", "content": "x"}] * 129], "responses": ["y"]}, "at most 128"),
    ("/score", {"prompts": ["sun " * 500], "responses": ["y"]}, "a prompt is longer than model.max_prompt_tokens"),
    ("/score", {"prompts": ["sun " * 500], "responses": ["y"], "rendered": True}, "a prompt is longer than"),
    ("/openrlhf", {"query": ["a"], "prompts": ["a"], "labels": ""}, '"labels" must be a list'),
    ("/score", {"prompts": ["a"] * 2000, "responses": ["a"] * 2000}, "2000 rows, more than 1024"),
    ("/score", {"prompts": ["a"], "responses": ["a" * 300_000]}, "at most 200000 characters"),
    ("/score", {"prompts": ["a"], "responses": ["\ud800"]}, "surrogate"),
    ("/score", {"prompts": ["\ud800"], "responses": ["a"]}, "surrogate"),
    ("/verl", {"ground_truth": "prompt-1"}, '"solution_str" must be a str'),
    ("/verl", {"ground_truth": 3, "solution_str": "x"}, '"ground_truth" must be a str'),
    ("/openrlhf", {"query": ["a"], "prompts": []}, "same length"),
    ("/openrlhf", {"query": "a", "prompts": ["a"]}, '"query" must be a list'),
]


@pytest.mark.hostile
@pytest.mark.parametrize(("path", "body", "message"), BAD)
def test_what_has_not_the_form_is_told_what_is_wrong(model: LanguageModel, path: str, body: Any, message: str) -> None:
    running = service(model)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, found = running.answer(path, data)
    finally:
        running._server.server_close()
    assert status == 400 and message in found["error"], found
    assert running.counts.numbers()["refused"] == 1


@pytest.mark.hostile
def test_requests_that_are_no_requests(model: LanguageModel) -> None:
    with service(model, limits=ServiceLimits(body_bytes=1 << 20)).running() as running:
        large = json.dumps({"prompts": ["a"], "responses": ["x" * (10 << 20)]}).encode()
        assert call(running.port, "POST", "/score", large) == (413, {"error": "at most 1048576 bytes are taken"})
        assert call(running.port, "POST", "/score", b"{}", {"Content-Type": "text/plain"})[0] == 415
        assert call(running.port, "POST", "/score", b"{}", {**JSON, "Content-Length": "-1"})[0] == 411
        assert call(running.port, "POST", "/nowhere", b"{}")[0] == 404
        assert call(running.port, "GET", "/score")[0] == 404
        assert call(running.port, "POST", "/score", {"prompts": [], "responses": []})[1]["scores"] == []
        status, health = call(running.port, "GET", "/health")
    assert status == 200 and health["ok"] and health["run"] == "ppo-1" and health["counts"]["requests"] == 1


def test_a_scorer_that_raises_ends_one_request_only(model: LanguageModel) -> None:
    broken = [True]

    def score(rows: list[Row]) -> list[Scored]:
        if broken.pop():
            raise ValueError("secret words")
        return count_tokens(rows)

    asked = {"prompts": ["a"], "responses": ["b"]}
    with service(model, score=score).running() as running:
        assert call(running.port, "POST", "/score", asked) == (500, {"error": "scoring failed: ValueError"})
        broken.append(False)
        assert call(running.port, "POST", "/score", asked)[0] == 200


def test_a_score_that_is_not_there_is_null(model: LanguageModel) -> None:
    def score(rows: list[Row]) -> list[Scored]:
        return [Scored(None, -3.0, None, None, True) for _ in rows]

    with service(model, score=score).running() as running:
        _, own = call(running.port, "POST", "/score", {"prompts": ["a"], "responses": ["b"]})
        _, verl = call(running.port, "POST", "/verl", {"solution_str": "x", "ground_truth": "prompt-1"})
    assert own == {
        "scores": [None],
        "spread": [None],
        "costs": [None],
        "gate": [True],
        "shaped": [-3.0],
        "cut": [False],
    }
    assert verl == {"score": -3.0, "ensemble_score": -3.0, "spread": 0.0, "cost": 0.0, "gate": 1.0}


def test_requests_are_scored_one_at_a_time(model: LanguageModel) -> None:
    at_once, most = [0], [0]

    def score(rows: list[Row]) -> list[Scored]:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.01)
        at_once[0] -= 1
        return count_tokens(rows)

    asked = {"prompts": ["a"], "responses": ["b"]}
    found: list[int] = []
    with service(model, score=score).running() as running:
        threads = [
            threading.Thread(target=lambda: found.append(call(running.port, "POST", "/score", asked)[0]))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [200] * 6 and most == [1]


def test_who_waits_too_long_for_a_turn_is_told_to_come_again(model: LanguageModel) -> None:
    with service(model, limits=ServiceLimits(wait_s=0.05)).running() as running, running.scoring:
        asked = {"prompts": ["a"], "responses": ["b"]}
        assert call(running.port, "POST", "/score", asked) == (503, {"error": "busy"})


@pytest.mark.hostile
@pytest.mark.parametrize("sent", [b"", b"POST /sc", b"POST /score HTTP/1.1\r\n", b"head"])
def test_a_client_that_is_slow_is_cut_off(model: LanguageModel, sent: bytes) -> None:
    head = b"POST /score HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with service(model, limits=ServiceLimits(read_s=0.2)).running() as running:
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", running.port), timeout=5) as client:
            client.sendall(head if sent == b"head" else sent)
            with contextlib.suppress(OSError):
                while client.recv(1000):
                    pass
        assert time.monotonic() - started < 3
        assert call(running.port, "GET", "/health")[0] == 200


@pytest.mark.hostile
def test_idle_connections_take_no_more_threads_than_there_are_slots(model: LanguageModel) -> None:
    with service(model, token="word", limits=ServiceLimits(connections=2)).running() as running:
        with contextlib.ExitStack() as idle:
            address = ("127.0.0.1", running.port)
            for _ in range(2):
                idle.enter_context(socket.create_connection(address, timeout=5))
            for _ in range(3):
                with socket.create_connection(address, timeout=5) as third:
                    assert third.recv(1) == b""  # closed at once, long before the 20 seconds of an idle one
            assert running.counts.numbers()["refused"] == 3
        for _ in range(2):
            assert running.slots.acquire(timeout=5)  # both come back once the idle ones are gone
        running.slots.release(2)
        assert call(running.port, "GET", "/health", headers={"Authorization": "Bearer word"})[0] == 200


@pytest.mark.hostile
def test_a_client_that_drips_is_cut_off_too(model: LanguageModel) -> None:
    with service(model, limits=ServiceLimits(read_s=0.3)).running() as running:
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", running.port), timeout=5) as client:
            with contextlib.suppress(OSError):
                while time.monotonic() - started < 5:
                    client.sendall(b"X")
                    time.sleep(0.02)
            assert time.monotonic() - started < 3


def test_a_token_is_asked_for_where_one_is_set(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"prompts": ["a"], "responses": ["b"]}
    with service(model, token="open sesame").running() as running:
        assert call(running.port, "POST", "/score", asked)[0] == 401
        assert call(running.port, "GET", "/health")[0] == 401
        assert call(running.port, "POST", "/score", asked, {**JSON, "Authorization": "Bearer no"})[0] == 401
        assert call(running.port, "POST", "/score", asked, {**JSON, "Authorization": "Bearer open sesame"})[0] == 200
        monkeypatch.setenv("KEY", "open sesame")
        client = HttpReward(model, f"{running.url}/score", token_variable="KEY", retries=0)
        assert client.score(Texts(["how is tea ?"], ["good"], [True]))[0] > 0


@pytest.mark.parametrize("host", [".".join("0000"), "::", "192.0.2.1", "example.org"])
def test_beyond_this_machine_only_with_a_token(model: LanguageModel, host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(UsageError, match="no token is set"):
        service(model, host=host)


def test_loopback_addresses() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("127.9.9.9") and is_loopback("::1") and is_loopback("localhost")


def test_a_port_that_is_taken_is_named(model: LanguageModel) -> None:
    with (
        service(model).running() as running,
        pytest.raises(UsageError, match=f"cannot serve on 127.0.0.1:{running.port}"),
    ):
        service(model, port=running.port)


def test_our_client_and_our_service_agree(model: LanguageModel) -> None:
    texts = Texts(["how is tea ?"] * 3, ["good", "", "good tea"], [True, False, True])
    with service(model).running() as running:
        client = HttpReward(
            model, f"{running.url}/score", batch_size=2, prompt_texts={(): "only so that prompts count as written"}
        )
        scores = client.score(texts)
    expected = [
        model.response_tokens(t, finished=f, limit=6) for t, f in zip(texts.responses, texts.finished, strict=True)
    ]
    assert scores == [float(len(tokens)) for tokens in expected] and not client.failures

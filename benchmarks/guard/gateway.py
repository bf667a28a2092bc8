"""What the gateway adds to a request and to a streamed token, in CPU, and how many requests it takes. One JSON line.

A scripted upstream answers at once, in a process of its own; so does the load. CPU of the gateway is read from
/proc/PID/stat, its journal on disk with synchronous=FULL. The same load goes to a bare proxy (aiohttp in, aiohttp out,
no policy, no scan, no journal), so that what the guard itself adds can be told from what any proxy costs. Texts are
synthetic, distinct in every request.

    python benchmarks/guard/gateway.py [--requests 2000] [--streams 60] [--tokens 200] [--workers 16]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

WORDS = (
    "the a model asks for tools and answers in words of this kind which are plain and say little more than that".split()
)
LETTERS = "etaoinshrdlcum"
TICK = os.sysconf("SC_CLK_TCK")


def prose(rng: random.Random, characters: int) -> str:
    words: list[str] = []
    size = 0
    while size < characters:
        word = rng.choice(WORDS) if rng.random() < 0.9 else "".join(rng.choices(LETTERS, k=rng.randint(3, 9)))
        word += f" {rng.randint(0, 9999)}" * (rng.random() < 0.03)
        words.append(word)
        size += len(word) + 1
    return " ".join(words)


def upstream(port: Any, tokens: int) -> None:
    """Answers of 2 kB, or streams of as many tokens, all made before."""
    rng = random.Random(1)  # noqa: S311  texts to measure with
    texts = [prose(rng, 2000) for _ in range(500)]
    frame = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    turn = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal turn
        turn += 1
        text = texts[turn % len(texts)] + f" {turn}"
        if not json.loads(await request.read()).get("stream"):
            row = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            return web.json_response(frame | {"choices": [row]})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        chunk = frame | {"object": "chat.completion.chunk"}
        for place in range(tokens):
            delta = {"content": text[place * 4 : place * 4 + 4]}
            row = {"index": 0, "delta": delta, "finish_reason": None}
            await response.write(b"data: " + json.dumps(chunk | {"choices": [row]}).encode() + b"\n\n")
        row = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await response.write(b"data: " + json.dumps(chunk | {"choices": [row]}).encode() + b"\n\ndata: [DONE]\n\n")
        return response

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.value = runner.addresses[0][1]
        await asyncio.Event().wait()

    asyncio.run(main())


def bare(port: Any, target: int) -> None:
    """A proxy that passes bytes on, and does nothing else."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session:

            async def answer(request: web.Request) -> web.StreamResponse:
                url = f"http://127.0.0.1:{target}/v1/chat/completions"
                async with session.post(url, data=await request.read()) as given:
                    response = web.StreamResponse(headers={"content-type": given.content_type})
                    await response.prepare(request)
                    async for piece in given.content.iter_any():
                        await response.write(piece)
                    return response

            app = web.Application()
            app.router.add_post("/v1/chat/completions", answer)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port.value = runner.addresses[0][1]
            await asyncio.Event().wait()

    asyncio.run(main())


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def load(url: str, count: int, workers: int, *, stream: bool, seed: int) -> list[float]:
    """Send requests of 2 kB, each with its own text; seconds of each."""
    rng = random.Random(seed)  # noqa: S311  texts to measure with
    bodies = [
        json.dumps(
            {"model": "m", "stream": stream, "messages": [{"role": "user", "content": prose(rng, 2000) + f" {i}"}]}
        )
        for i in range(count)
    ]
    took: list[float] = []

    async def work(session: aiohttp.ClientSession) -> None:
        while bodies:
            body = bodies.pop()
            began = time.perf_counter()
            async with session.post(url, data=body) as response:
                raw = await response.read()
                if response.status != 200 or (stream and not raw.rstrip().endswith(b"[DONE]")):
                    raise SystemExit(f"{response.status}: {raw[:300]!r}")
            took.append(time.perf_counter() - began)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(workers)))
    return took


def measured(url: str, pid: int, count: int, workers: int, *, stream: bool, seed: int) -> dict[str, float]:
    asyncio.run(load(url, max(20, count // 10), workers, stream=stream, seed=seed + 1))
    before, began = cpu_s(pid), time.perf_counter()
    took = asyncio.run(load(url, count, workers, stream=stream, seed=seed))
    wall = time.perf_counter() - began
    took.sort()
    return {
        "cpu_ms": round((cpu_s(pid) - before) / count * 1e3, 3),
        "a_second": round(count / wall, 1),
        "p50_ms": round(statistics.median(took) * 1e3, 2),
        "p99_ms": round(took[int(len(took) * 0.99)] * 1e3, 2),
    }


def started(function: Any, *args: Any) -> tuple[multiprocessing.Process, int]:
    port = multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=function, args=(port, *args), daemon=True)
    process.start()
    while not port.value:
        time.sleep(0.01)
    return process, port.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--config", type=Path, help="a guard.yaml to lay over the default")
    args = parser.parse_args()
    above, target = started(upstream, args.tokens)
    proxy, proxy_port = started(bare, target)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "backstay.cli", "guard", "serve", "--port", "0", "--json"]
        command += ["--upstream", f"http://127.0.0.1:{target}/v1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as guard:
            assert guard.stdout is not None  # noqa: S101  it was piped
            url = json.loads(guard.stdout.readline())["address"] + "/v1/chat/completions"
            start_s = time.perf_counter() - began
            idle_mb = rss_mb(guard.pid)
            other = f"http://127.0.0.1:{proxy_port}/v1/chat/completions"
            plain = measured(url, guard.pid, args.requests, args.workers, stream=False, seed=1)
            plain_bare = measured(other, proxy.pid or 0, args.requests, args.workers, stream=False, seed=1)
            streams = measured(url, guard.pid, args.streams, 4, stream=True, seed=3)
            streams_bare = measured(other, proxy.pid or 0, args.streams, 4, stream=True, seed=3)
            peak_mb = rss_mb(guard.pid)
            guard.terminate()
    above.terminate()
    proxy.terminate()
    token_us = (streams["cpu_ms"] - plain["cpu_ms"] / 2) / args.tokens * 1e3
    figures = {
        "start_s": round(start_s, 2),
        "idle_mb": round(idle_mb, 1),
        "after_mb": round(peak_mb, 1),
        "request": plain,
        "request_bare_proxy": plain_bare,
        "stream": streams,
        "stream_bare_proxy": streams_bare,
        "token_cpu_us": round(token_us, 1),
        "tokens": args.tokens,
        "processors": os.cpu_count(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

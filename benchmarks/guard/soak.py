"""The gateway under steady load for minutes: does its memory grow, does its latency. One JSON line.

Requests of 2 kB, each with its own text, a fifth of them streamed, at a share of the rate that the machine takes,
against a scripted upstream; the journal on disk. Memory is the resident set of the process, sampled every five
seconds; the slope is fitted to the second half, when caches have filled. Texts are synthetic.

    python benchmarks/guard/soak.py --seconds 600 [--share 0.8]
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter

import aiohttp
from gateway import cpu_s, load, prose, rss_mb, started, upstream

SAMPLE_S = 5.0


async def peak_rate(url: str) -> float:
    """Requests a second with sixteen clients."""
    began = time.perf_counter()
    await load(url, 300, 16, stream=False, seed=9)
    return 300 / (time.perf_counter() - began)


async def steady(
    url: str, pid: int, rate: float, seconds: float
) -> tuple[list[tuple[float, float]], list[float], Counter[str]]:
    """Memory over time, latencies, and how requests ended, at a rate."""
    rng = random.Random(4)  # noqa: S311  texts to measure with
    memory: list[tuple[float, float]] = []
    took: list[float] = []
    ends: Counter[str] = Counter()
    began = time.monotonic()

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        stream = number % 5 == 0
        body = {
            "model": "m",
            "stream": stream,
            "messages": [{"role": "user", "content": prose(rng, 2000) + f" {number}"}],
        }
        start = time.perf_counter()
        async with session.post(url, data=json.dumps(body)) as response:
            raw = await response.read()
            whole = response.status == 200 and (not stream or raw.rstrip().endswith(b"[DONE]"))
            ends[str(response.status) if whole or response.status != 200 else "torn"] += 1
        took.append(time.perf_counter() - start)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        running: set[asyncio.Task[None]] = set()
        number = 0
        while (now := time.monotonic() - began) < seconds:
            if not memory or now - memory[-1][0] >= SAMPLE_S:
                memory.append((now, rss_mb(pid)))
            if number < now * rate and len(running) < 200:
                task = asyncio.ensure_future(one(session, number))
                running.add(task)
                task.add_done_callback(running.discard)
                number += 1
            else:
                await asyncio.sleep(0.002)
        await asyncio.gather(*running)
    return memory, took, ends


def slope(points: list[tuple[float, float]]) -> float:
    """Least-squares MB an hour."""
    times, sizes = zip(*points, strict=True)
    return statistics.linear_regression(times, sizes).slope * 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--share", type=float, default=0.8)
    args = parser.parse_args()
    above, target = started(upstream, 200)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "backstay.cli", "guard", "serve", "--port", "0", "--json"]
        command += ["--upstream", f"http://127.0.0.1:{target}/v1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as guard:
            assert guard.stdout is not None  # noqa: S101  it was piped
            url = json.loads(guard.stdout.readline())["address"] + "/v1/chat/completions"
            peak = asyncio.run(peak_rate(url))
            before = cpu_s(guard.pid)
            memory, took, ends = asyncio.run(steady(url, guard.pid, peak * args.share, args.seconds))
            cpu = cpu_s(guard.pid) - before
            guard.terminate()
    above.terminate()
    took.sort()
    figures = {
        "seconds": args.seconds,
        "peak_a_second": round(peak, 1),
        "requests": len(took),
        "ends": dict(ends),
        "memory_mb": [round(memory[0][1], 1), round(memory[len(memory) // 2][1], 1), round(memory[-1][1], 1)],
        "slope_mb_an_hour": round(slope(memory[len(memory) // 2 :]), 1),
        "cpu_ms": round(cpu / len(took) * 1e3, 2),
        "p50_ms": round(statistics.median(took) * 1e3, 1),
        "p99_ms": round(took[int(len(took) * 0.99)] * 1e3, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

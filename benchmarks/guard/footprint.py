"""What `backstay[guard]` costs: megabytes to download and on disk, seconds to start, memory. One JSON line.

Builds the wheel of this tree, downloads the wheels of `backstay[guard]` for this machine from the package index,
installs them into an empty environment without pip, starts `backstay guard serve` there in a new folder in front of a
scripted upstream, and sends distinct synthetic texts through it. Megabytes are 10^6 bytes. `rss` is all memory that is
resident, `own` the part that no file backs: pages of libraries are shared by workers and given back under pressure.

    python benchmarks/guard/footprint.py [--requests 1000] [--extra guard] [--download-only]
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]
TICK = os.sysconf("SC_CLK_TCK")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
WORDS = (
    "the a model asks for tools and answers in words which are plain déjà vu да нет 你好 and say little more".split()
)
LARGEST = 12


class Upstream(BaseHTTPRequestHandler):
    """Answers every request with the same few words."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        message = {"role": "assistant", "content": "An answer of the upstream."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def environment() -> dict[str, str]:
    """This process's own without what leads Python to other copies of the package."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BACKSTAY"))}


def run(*command: str | Path, folder: Path = ROOT) -> str:
    done = subprocess.run(command, env=environment(), cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:6]))} ...: {done.stdout}{done.stderr}")
    return done.stdout


def downloaded(extra: str, wheels: Path) -> dict[str, int]:
    """Bytes of each wheel of the package with the extra, all of them put into a folder."""
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT)
    (own,) = wheels.glob("backstay-*.whl")
    run(*PIP, "download", "--only-binary", ":all:", "--dest", wheels, f"{own}[{extra}]")
    return {path.name.split("-")[0]: path.stat().st_size for path in wheels.iterdir()}


def installed(extra: str, folder: Path) -> Path:
    """Python of a new environment with only the extra, from the wheels in the folder."""
    wheels, venv = folder / "wheels", folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    run(*PIP, "--python", python, "install", "--no-index", "--find-links", wheels, f"backstay[{extra}]")
    return python


def size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def memory_mb(pid: int, when: str) -> dict[str, float]:
    status = Path(f"/proc/{pid}/status").read_text()
    rss, own = (int(status.split(name)[1].split()[0]) * 1024 / 1e6 for name in ("VmRSS:", "RssAnon:"))
    return {f"{when}_rss_mb": rss, f"{when}_own_mb": own}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def texts(count: int) -> Iterator[str]:
    """Distinct texts of about 2 kB, in several scripts."""
    rng = random.Random(1)  # noqa: S311  texts to measure with
    for number in range(count):
        yield f"{number} " + " ".join(rng.choice(WORDS) + str(rng.randint(0, 99)) for _ in range(280))


def send(port: int, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for text in texts(count):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        response = connection.getresponse()
        raw = response.read()
        if response.status != 200 or b"An answer of the upstream." not in raw:
            raise SystemExit(f"{response.status}: {raw[:300]!r}")
    connection.close()


@contextmanager
def upstream() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def served(python: Path, home: Path, target: int, requests: int) -> dict[str, float]:
    """Start in a folder, send requests, stop."""
    command: tuple[str | Path, ...] = (python, "-m", "backstay.cli", "guard", "serve", "--port", "0", "--json")
    command += ("--upstream", f"http://127.0.0.1:{target}/v1")
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=home, env=environment()) as guard:
        try:
            assert guard.stdout is not None  # noqa: S101  it was piped
            port = int(json.loads(guard.stdout.readline())["address"].rpartition(":")[2])
            found = {"start_s": time.perf_counter() - began, "start_cpu_s": cpu_s(guard.pid)}
            found |= memory_mb(guard.pid, "idle")
            send(port, requests)
            found |= memory_mb(guard.pid, "after")
        finally:
            guard.terminate()
    return {name: round(value, 2) for name, value in found.items()}


def refused(python: Path, folder: Path) -> str:
    """What a command of the loop says here."""
    command: tuple[str | Path, ...] = (python, "-m", "backstay.cli", "init", "project")
    return subprocess.run(command, env=environment(), cwd=folder, check=False, capture_output=True, text=True).stderr


def download_figures(extra: str, folder: Path) -> dict[str, object]:
    wheels = downloaded(extra, folder / "wheels")
    largest = sorted(wheels.items(), key=lambda pair: -pair[1])[:LARGEST]
    return {
        "extra": extra,
        "wheels_mb": round(sum(wheels.values()) / 1e6, 1),
        "packages": len(wheels),
        "largest_wheels_mb": {name: round(count / 1e6, 1) for name, count in largest},
    }


def guard_figures(extra: str, requests: int, folder: Path) -> dict[str, object]:
    python = installed(extra, folder)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    names = "import importlib.metadata as m; print(*sorted({d.name.lower() for d in m.distributions()}))"
    home = folder / "home"
    home.mkdir()
    with upstream() as target:
        check = ("guard", "serve", "--check", "--upstream", f"http://127.0.0.1:{target}/v1")
        run(python, "-m", "backstay.cli", *check, folder=folder)
        runs = [served(python, home, target, requests) for _ in range(2)]
    return {
        "disk_mb": round(size(packages) / 1e6, 1),
        "requests": requests,
        "new_folder": runs[0],
        "again": runs[1],
        "installed": run(python, "-c", names).split(),
        "init_says": refused(python, folder),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--extra", default="guard", help="extras to install, comma-separated; guard among them")
    parser.add_argument("--download-only", action="store_true", help="only the sum of the wheels, of any extra")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = download_figures(args.extra, Path(folder))
        if not args.download_only:
            figures |= guard_figures(args.extra, args.requests, Path(folder))
        print(json.dumps(figures))


if __name__ == "__main__":
    main()

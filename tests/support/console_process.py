"""The console as a process of its own: `python console_process.py DATABASE FOLDER` prints its address and serves."""

import asyncio
import subprocess
import sys
from pathlib import Path

from backstay.web.accounts.settings import AccountSettings, PasswordSettings
from backstay.web.console import open_console
from backstay.web.server import serve
from backstay.web.settings import ConsoleSettings


def chosen() -> ConsoleSettings:
    """Settings for tests: quick passwords, no limit of requests, a sweep each half second."""
    accounts = AccountSettings(password=PasswordSettings(memory_kib=8, passes=1), api_per_s=1e6, api_burst=10**6)
    return ConsoleSettings(port=0, accounts=accounts, sweep_s=0.5)


class ConsoleProcess:
    """A server of its own; several may serve one database."""

    def __init__(self, database: str, folder: Path) -> None:
        self._command = [sys.executable, __file__, database, str(folder)]
        self.url = ""

    def start(self) -> None:
        """Start it; `ready` waits until it takes requests."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)

    def ready(self) -> None:
        """Wait for its address."""
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the server did not start"

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self._ended()

    def stop(self) -> int:
        """End it in order; its exit status."""
        self.process.terminate()
        return self._ended()

    def _ended(self) -> int:
        status = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


if __name__ == "__main__":
    opened = open_console(sys.argv[1], Path(sys.argv[2]), chosen())
    asyncio.run(serve(opened, lambda address: print(address, flush=True)))  # noqa: T201  whoever started it reads the address
    opened.close()

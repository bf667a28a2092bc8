"""The console as it is served, on a free port of this machine, with tokens for its roles."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console_site import CHEAP

from backstay.client import Client
from backstay.web.accounts import api_tokens, directory
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.settings import AccountSettings
from backstay.web.console import Console, open_console
from backstay.web.permissions import PERMISSIONS, Role
from backstay.web.server import serve
from backstay.web.settings import ConsoleSettings


@dataclass
class Served:
    """A console that answers at an address."""

    console: Console
    address: str

    def token(self, role: Role, name: str = "") -> str:
        """An API token of a new account that may do all that its role may."""
        wanted = name or role.value
        account = self.console.write_now(lambda unit: directory.add(unit, wanted, wanted, role, None, None))
        by = Principal(account.id, account.name, role, PERMISSIONS[role], account.rater_id, "session")
        scopes = [scope for scope in sorted(PERMISSIONS[role]) if scope != "manage_accounts"]
        settings = self.console.settings.accounts
        _, secret = self.console.write_now(lambda unit: api_tokens.make(unit, settings, by, "test", scopes, 3600))
        return secret

    def client(self, role: Role, **given: Any) -> Client:
        """A client as a new account of this role."""
        return Client(self.address, self.token(role), **given)


@contextlib.contextmanager
def served_console(folder: Path, **settings: Any) -> Iterator[Served]:
    """A console on a new database, served until the block ends."""
    accounts = AccountSettings(password=CHEAP, api_per_s=1e6, api_burst=10**6)
    chosen = ConsoleSettings(port=0, accounts=accounts, **settings)
    console = open_console(folder / "console.db", folder, chosen, create=True)
    found: list[str] = []
    up = threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def ready(address: str) -> None:
        found.append(address)
        up.set()

    def run() -> None:
        loop.run_until_complete(serve(console, ready, stop))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert up.wait(30)
        yield Served(console, found[0])
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        console.close()

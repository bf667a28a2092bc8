"""Settings of the console as a process; what a project collects is in the project's own settings."""

from typing import Annotated

from pydantic import Field

from backstay.records import Settings
from backstay.web.accounts.settings import AccountSettings

Seconds = Annotated[float, Field(gt=0.0)]


class ConsoleSettings(Settings):
    """How the console is served."""

    host: str = "127.0.0.1"
    """Address to listen on. Any other than this machine's own wants `origin`, behind a proxy that speaks TLS."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8311
    """Port to listen on; 0 takes a free one."""
    origin: str = ""
    """Where browsers reach it, as in https://rate.example.org; empty: at the address that it listens on."""
    max_body_bytes: Annotated[int, Field(ge=10_000)] = 1_000_000
    """Bytes of a request, uploads apart."""
    sweep_s: Seconds = 5.0
    """Seconds between two looks for leases that are over."""
    threads: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests that may read from the database at once."""
    drain_s: Seconds = 10.0
    """Seconds that running requests get when the console is stopped."""
    accounts: AccountSettings = AccountSettings()
    """Accounts and signing in."""

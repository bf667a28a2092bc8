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
    body_s: Seconds = 60.0
    """Seconds in which the body of a request is here; of an upload, each block of it."""
    sweep_s: Seconds = 5.0
    """Seconds between two looks for leases that are over."""
    threads: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests that may read from the database at once."""
    drain_s: Seconds = 10.0
    """Seconds that running requests get when the console is stopped."""
    max_upload_bytes: Annotated[int, Field(ge=10_000)] = 2_000_000_000
    """Bytes of an uploaded file."""
    webhook_private: bool = False
    """Whether webhooks may go to this machine and the own network; else to public https addresses only."""
    webhook_attempts: Annotated[int, Field(ge=1, le=100)] = 15
    """Attempts after which an event that a webhook never confirms is given up: 15 take about 17 hours."""
    webhook_keep_days: Annotated[int, Field(ge=1, le=3650)] = 7
    """Days for which confirmed events stay on the list of a webhook."""
    accounts: AccountSettings = AccountSettings()
    """Accounts and signing in."""

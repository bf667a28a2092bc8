"""Hashing passwords with argon2id, in a few threads behind a bounded queue.

A flood of sign-ins can neither fill the memory nor stop the event loop.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from backstay.errors import IntegrityError
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import PasswordSettings

T = TypeVar("T")
_BUSY_S = 5


class Passwords:
    """Hashes and verifies; one for the process."""

    def __init__(self, settings: PasswordSettings) -> None:
        self._most = settings.at_once + settings.waiting
        self._hasher = PasswordHasher(
            time_cost=settings.passes, memory_cost=settings.memory_kib, parallelism=settings.lanes, type=Type.ID
        )
        self._threads = ThreadPoolExecutor(settings.at_once, thread_name_prefix="backstay-password")
        self._under_way = 0
        self._dummy = self._hasher.hash(secrets.token_urlsafe(16))

    async def hashed(self, password: str) -> str:
        """The hash of a password that `check_new` has passed."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the password; without a stored hash the same work is done on one that nothing matches."""
        matches = await self._run(lambda: self._matches(self._dummy if stored is None else stored, password))
        return matches and stored is not None

    def is_old(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than those of the settings."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError) as error:
            raise IntegrityError("a stored password is no argon2 hash", cure="make a link for a new one") from error

    async def _run(self, work: Callable[[], T]) -> T:
        if self._under_way >= self._most:
            raise Refused(
                503,
                "busy",
                "too many people are signing in at this moment",
                cure=f"try again in {_BUSY_S} s",
                headers={"retry-after": str(_BUSY_S)},
            )
        self._under_way += 1
        future = self._threads.submit(work)
        # Counted until the thread is done, not until its waiter is: a client that leaves frees no memory.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._one_less))
        return await asyncio.wrap_future(future)

    def _one_less(self) -> None:
        self._under_way -= 1

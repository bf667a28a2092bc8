"""Bodies of requests: no longer than they may be, in bytes and in seconds, whoever sends them."""

import asyncio

from starlette.types import Message, Receive

GONE: Message = {"type": "http.disconnect"}


class Body:
    """The body of one request. Past a bound it ends as if the client had gone, and `refusal` says why.

    An upload bounds its bytes itself, and `within_s` holds for each of its blocks instead of the whole.
    """

    def __init__(self, receive: Receive, most: int, within_s: float, *, is_upload: bool) -> None:
        self.refusal: tuple[int, str, str] | None = None
        self._receive, self._most, self._within_s, self._is_upload = receive, most, within_s, is_upload
        self._seen, self._until, self._is_whole = 0, 0.0, False

    async def receive(self) -> Message:
        """The next part of it; once it is whole, what the connection says afterwards."""
        if self.refusal is not None:
            return GONE
        if self._is_whole:
            return await self._receive()
        if self._is_upload or not self._until:
            self._until = asyncio.get_running_loop().time() + self._within_s
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self.refusal = (408, "too_slow", f"the body of a request takes at most {self._within_s:g} s")
            return GONE
        self._seen += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if not self._is_upload and self._seen > self._most:
            self.refusal = too_long(self._most)
            return GONE
        return message


def too_long(most: int) -> tuple[int, str, str]:
    """The refusal of a body by its bytes."""
    return 413, "too_large", f"a request has at most {most} bytes"

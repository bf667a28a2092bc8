"""What of a reward's address may be shown: keys stand in queries, and names and passwords before the host."""

from urllib.parse import urlsplit

SCHEMES = ("http://", "https://")


def without_secrets(text: str) -> str:
    """A web address without user, query and fragment; any other text as it is."""
    if not text.lower().startswith(SCHEMES):
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return f"{text.partition(':')[0]}://…"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

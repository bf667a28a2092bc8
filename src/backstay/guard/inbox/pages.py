"""Pages as answers: templates, and the headers that every one of them carries."""

import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

from backstay.guard.inbox import wording

ASSETS = {"inbox.css": "text/css", "inbox.js": "text/javascript", "mark.svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_FILTERS = ("shown", "brief", "sentence", "origins", "cure_of", "duration", "moment")


class Pages:
    """The templates and assets of the package, read once."""

    def __init__(self) -> None:
        folder = files("backstay.guard.inbox").joinpath("assets")
        self._assets = {name: folder.joinpath(name).read_bytes() for name in ASSETS}
        self._environment = Environment(
            loader=PackageLoader("backstay.guard.inbox"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update({name: getattr(wording, name) for name in _FILTERS})
        self._environment.globals["version"] = {
            name: hashlib.sha256(data).hexdigest()[:12] for name, data in self._assets.items()
        }

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page from a template."""
        html = self._environment.get_template(f"{template}.html.j2").render(values)
        return Response(html.encode("utf-8", "backslashreplace"), status, HEADERS, "text/html; charset=utf-8")

    def asset(self, name: str) -> Response | None:
        """A style, script or picture; its address holds its hash, so it may be kept."""
        if name not in ASSETS:
            return None
        headers = HEADERS | {"cache-control": "public, max-age=31536000, immutable"}
        return Response(self._assets[name], 200, headers, f"{ASSETS[name]}; charset=utf-8")


def see(path: str) -> Response:
    """Go to another page of ours, by GET."""
    return RedirectResponse(path, 303, HEADERS)

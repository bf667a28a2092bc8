"""Pages of the console as answers: templates, assets, and the headers that every one of them carries.

Assets are served under `/assets/DIGEST/NAME`, with one digest over all of them: modules of script import each other by
relative names, so they stay of one version, and what has a digest in its address may be kept for ever.
"""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types backstay"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
FOR_EVER = "public, max-age=31536000, immutable"


class Link(NamedTuple):
    """An entry of the bar at the top: `key` is what a page calls `here`."""

    key: str
    label: str
    href: str


class Visitor(NamedTuple):
    """Who looks at a page, as the page shows it; `csrf` goes into `<meta name="csrf">`."""

    account_id: str
    name: str
    role: str
    csrf: str
    nav: Sequence[Link] = ()


class Pages:
    """The templates and assets of the package, read once."""

    def __init__(self) -> None:
        folder = files("backstay.web").joinpath("assets")
        named = sorted((entry for entry in folder.iterdir() if entry.is_file()), key=lambda entry: entry.name)
        self._assets = {entry.name: entry.read_bytes() for entry in named if _kind(entry.name) in KINDS}
        self.version = _digest(self._assets)
        self.environment = Environment(
            loader=PackageLoader("backstay.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals["asset"] = self.address

    def address(self, name: str) -> str:
        """Where an asset is served; a name that is none is a mistake of a template."""
        if name not in self._assets:
            raise KeyError(f"no asset {name!r}; there are {', '.join(self._assets)}")
        return f"/assets/{self.version}/{name}"

    def page(
        self, template: str, visitor: Visitor | None = None, *, status: int = 200, here: str = "", **values: Any
    ) -> Response:
        """A page from a template."""
        html = self.environment.get_template(f"{template}.html.j2").render(visitor=visitor, here=here, **values)
        return Response(html.encode("utf-8", "backslashreplace"), status, HEADERS, "text/html; charset=utf-8")

    def message(
        self, title: str, text: str, *, status: int, visitor: Visitor | None = None, cure: str = "", back: str = "/"
    ) -> Response:
        """A page that says one thing, and where to go from there."""
        return self.page("message", visitor, status=status, title=title, text=text, cure=cure, back=back)

    def asset(self, version: str, name: str) -> Response | None:
        """A style, script or picture. Under a version that is not ours it is the present one, and not kept."""
        data = self._assets.get(name)
        if data is None:
            return None
        headers = HEADERS | ({"cache-control": FOR_EVER} if version == self.version else {})
        return Response(data, 200, headers, f"{KINDS[_kind(name)]}; charset=utf-8")


def see(path: str) -> Response:
    """Go to another page of ours, by GET."""
    return RedirectResponse(path, 303, HEADERS)


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _digest(assets: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, data in assets.items():
        total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()[:16]

"""Markdown that nobody vouches for, as HTML.

Our own renderer writes each tag, so that nothing of the text can become one. Raw HTML is text. Links and images are
text with their address: a click would tell a stranger which rater saw which response, and when. Definitions of links
are not read, and unknown tokens are an error, so no part of a text vanishes. What is too long or too tangled to be read
as Markdown is shown as it is, under a note that says so.
"""

from collections.abc import Callable, Iterable, Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from backstay.web.rendering.bounded import DEEPEST, BoundedBlock, BoundedInline, TooMuchWork, environment
from backstay.web.rendering.invisible import Visible
from backstay.web.rendering.mathematics import keep_mathematics

LONGEST = 60_000
"""Characters beyond which a text is shown as it is."""
PIECE = 4000
"""Characters of plain text in one element: a browser lays out pieces, and only those on show, in no time at all."""
MOST_LINES = 4000
MOST_TOKENS = 40_000
TAGS = frozenset(
    [
        "p",
        "br",
        "em",
        "strong",
        "del",
        "code",
        "pre",
        "blockquote",
        "ul",
        "ol",
        "li",
        "h3",
        "h4",
        "h5",
        "h6",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "hr",
        "span",
        "wbr",
    ]
)
CLASSES = frozenset({"unseen", "address", "picture", "info", "maths", "plain", "piece", "shown-plain"})
"""Classes that `render` writes; besides, elements have `dir="auto"`, and `ol` its `start`."""

_PLAIN = {"em", "strong", "thead", "tbody", "tr"}
_LOWERED = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}


def _is_any(url: str) -> bool:
    return isinstance(url, str)


def _reader() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 2 * DEEPEST})
    markdown.inline, markdown.block = BoundedInline(), BoundedBlock()
    markdown.configure("commonmark", {"html": False, "breaks": True, "maxNesting": 2 * DEEPEST})
    markdown.enable(["table", "strikethrough"])
    markdown.disable(["reference", "html_block", "html_inline", "autolink"])
    markdown.validateLink = _is_any  # type: ignore[method-assign]  # no address opens, so all are shown
    markdown.normalizeLink = lambda url: url  # type: ignore[method-assign]  # as it is written
    keep_mathematics(markdown)
    return markdown


_MARKDOWN = _reader()


def render(text: str) -> str:
    """HTML of a text: only `TAGS`, with only `dir`, `start` and classes out of `CLASSES`."""
    if len(text) > LONGEST:
        return render_plain(text, f"it has {len(text):,} characters, and Markdown is read up to {LONGEST:,}")
    if text.count("\n") > MOST_LINES:
        return render_plain(text, f"it has more than {MOST_LINES:,} lines")
    try:
        tokens = _MARKDOWN.parse(text, environment(text))
    except TooMuchWork as error:
        return render_plain(text, str(error))
    if sum(1 + len(token.children or ()) for token in tokens) > MOST_TOKENS:
        return render_plain(text, f"it has more than {MOST_TOKENS:,} parts")
    return _Writer().blocks(tokens)


def render_plain(text: str, why: str = "") -> str:
    """The text as it is, in a frame; with `why`, a note above it."""
    note = f'<p class="shown-plain">Shown as plain text: {why}.</p>' if why else ""
    visible = Visible()
    pieces = [visible.html(piece) for piece in _pieces(text.replace("\r\n", "\n"))]
    shown = "".join(f'<span class="piece">{piece}</span>' for piece in pieces) if len(pieces) > 1 else "".join(pieces)
    return f'{note}<pre class="plain">\n{shown}</pre>'


def _pieces(text: str) -> Iterator[str]:
    """The text in parts that end with a line where one ends in time."""
    at = 0
    while at < len(text):
        end = at + PIECE if at + PIECE >= len(text) else text.rfind("\n", at, at + PIECE) + 1 or at + PIECE
        yield text[at:end]
        at = end


class _Writer:
    """Writes the tokens of one text."""

    def __init__(self) -> None:
        self._visible = Visible()
        self._addresses: list[str] = []
        self._ways: dict[str, Callable[[Token], str]] = {
            "inline": lambda token: "".join(self._inline(token.children or ())),
            "heading_open": lambda token: f'<{_LOWERED[token.tag]} dir="auto">',
            "heading_close": lambda token: f"</{_LOWERED[token.tag]}>\n",
            "paragraph_open": lambda token: "" if token.hidden else '<p dir="auto">',
            "paragraph_close": lambda token: "" if token.hidden else "</p>\n",
            "ordered_list_open": self._ordered,
            "fence": lambda token: self._info(token.info) + self._code(token.content),
            "code_block": lambda token: self._code(token.content),
            "maths_block": lambda token: self._code(token.content, ' class="maths"'),
            "hr": lambda _: "<hr>\n",
            "text": lambda token: self._visible.html(token.content),
            "text_special": lambda token: self._visible.html(token.content),
            "softbreak": lambda _: "<br>",
            "hardbreak": lambda _: "<br>",
            "code_inline": lambda token: f"<code>{self._visible.html(token.content)}</code>",
            "maths_inline": lambda token: f'<code class="maths">{self._visible.html(token.content)}</code>',
            "s_open": lambda _: "<del>",
            "s_close": lambda _: "</del>",
            "link_open": self._link,
            "link_close": lambda _: f' <span class="address">{self._addresses.pop()}</span>',
            "image": self._image,
        }

    def blocks(self, tokens: Iterable[Token]) -> str:
        return "".join(self._inline(tokens)).strip()

    def _inline(self, tokens: Iterable[Token]) -> Iterable[str]:
        for token in tokens:
            way = self._ways.get(token.type)
            yield way(token) if way else self._element(token)

    def _element(self, token: Token) -> str:
        """A tag that stands for itself; a token that nobody foresaw has none of them and is an error."""
        if token.nesting == 0 or token.tag not in TAGS:
            raise ValueError(f"no way to write a {token.type!r} token")
        if token.nesting < 0:
            return f"</{token.tag}>" + ("" if token.tag in ("em", "strong") else "\n")
        return f"<{token.tag}>" if token.tag in _PLAIN else f'<{token.tag} dir="auto">'

    def _ordered(self, token: Token) -> str:
        start = token.attrs.get("start")
        return f'<ol dir="auto" start="{int(start)}">' if start is not None else '<ol dir="auto">'

    def _info(self, info: str) -> str:
        return f'<p class="info">{self._visible.html(info.strip())}</p>' if info.strip() else ""

    def _code(self, content: str, kind: str = "") -> str:
        return f"<pre{kind}><code>{self._visible.html(content)}</code></pre>\n"

    def _link(self, token: Token) -> str:
        self._addresses.append("(" + self._target(token, "href") + ")")
        return ""

    def _image(self, token: Token) -> str:
        alt = self._visible.html(token.content)
        return f'<span class="picture">[image: {alt} — {self._target(token, "src")}]</span>'

    def _target(self, token: Token, name: str) -> str:
        title = token.attrs.get("title")
        address = self._visible.html(str(token.attrs[name]))
        return f"{address} “{self._visible.html(str(title))}”" if title else address

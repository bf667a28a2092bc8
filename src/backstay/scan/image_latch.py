"""Rules for URLs that a client loads by itself: none to a host that is not allowed is released before its verdict.

Whoever shows a model's answer as Markdown or HTML loads its images unasked, and the URL carries out what the model was
told to put there. So an image's target is held until its host is known, and taken out unless that host is allowed.
"""

from collections.abc import Callable, Collection, Iterator

from backstay.errors import UsageError
from backstay.scan.engine import compile_re2
from backstay.scan.rule import LOOK_BEHIND, Behind, Excuse, Judge, Rule, Severity, parse_shape
from backstay.scan.targets import UNKNOWN, AllowedHosts, host_of

MAX_TARGET = 160
"""Characters of a target that are looked at; its host must end within them."""
MAX_TAG = 400
CAP = 4000
"""Characters after which an image that is not closed ends the text."""

_TARGET = f"[^)]{{1,{MAX_TARGET}}}"
_IMAGES = ("<img", "<image")
_RESOURCES = (
    "<script", "<iframe", "<frame", "<link", "<object", "<embed", "<video", "<audio", "<source", "<track", "<input",
    "<base", "<meta", "<use", "<feimage",
)  # fmt: skip
_ATTRIBUTE = rb"[\s/]*([^\s/>][^\s/>=]*)(?:[\s]*=[\s]*(?:\"([^\"]*)(\"?)|'([^']*)('?)|([^\s>\"'][^\s>]*)))?"
_LOADING = frozenset(
    (
        b"src",
        b"href",
        b"xlink:href",
        b"data",
        b"poster",
        b"background",
        b"lowsrc",
        b"dynsrc",
        b"action",
        b"code",
        b"codebase",
    )
)
MAX_BRACKETS = 40
LATCH_KINDS = ("image_url", "reference_url", "html_resource")


def _target(value: bytes) -> str | None:
    """Where the target behind a match's opening leads; `?` where its host is not all there."""
    first = value.lstrip(b"]():\"'\t\r\n <>").split(None, 1)[:1]
    if not first:
        return UNKNOWN if len(value) >= MAX_TARGET else None
    dest = first[0].rstrip(b"\"'>").decode("latin-1")
    host = host_of(dest)
    return host if len(value) < MAX_TARGET or host_of(dest + "x") == host else UNKNOWN


def _leads_out(value: bytes) -> Severity | None:
    return None if _target(value) is None else "high"


def _css_target(value: bytes) -> str | None:
    return _target(value[4:])


def _import_target(value: bytes) -> str | None:
    return _target(value[7:].strip())


def _css_leads_out(value: bytes) -> Severity | None:
    return None if _css_target(value) is None else "high"


def _import_leads_out(value: bytes) -> Severity | None:
    return None if _import_target(value) is None else "high"


def _tag_hosts(value: bytes) -> Iterator[str | None]:
    """Where the URLs in the beginning of a tag lead; `?` for a tag that may go on elsewhere than it seems."""
    rest = value[1:].lstrip(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    tag = value[: len(value) - len(rest)].lower().decode("latin-1")
    if tag not in (*_IMAGES, *_RESOURCES) or rest[:1] not in (b"/", b" ", b"\t", b"\r", b"\n", b"\x0c"):
        return
    if len(rest) >= MAX_TAG or b"<" in rest:
        yield UNKNOWN
        return
    for name, double, closed, single, closed_too, bare in compile_re2(_ATTRIBUTE).findall(rest):
        held = double or single or bare
        if held and not (bare or closed or closed_too):
            yield UNKNOWN
        yield from _attribute_hosts(name.lower(), held.decode("latin-1"))


def _attribute_hosts(name: bytes, value: str) -> Iterator[str | None]:
    if name in _LOADING:
        yield host_of(value)
    elif name in (b"srcset", b"imagesrcset"):
        yield from (host_of(part) for part in value.replace(",", " ").split())
    elif name in (b"style", b"content", b"srcdoc") and ("url" in value.lower() or "\\" in value or "&" in value):
        yield UNKNOWN


def _tag_leads_out(value: bytes) -> Severity | None:
    return "high" if any(host is not None for host in _tag_hosts(value)) else None


def _is_image(text: bytes) -> bool:
    """Whether the bracket that closes behind this text is an image's; it is where it began before what is looked at."""
    cut = len(text) >= LOOK_BEHIND
    last = text.rfind(b"[")
    if last <= 0:
        return cut
    if text.find(b"]", last) < 0 and text[last - 1] != 0x5C:
        return text[last - 1] == 0x21
    return _opens_image(text) if cut or b"![" in text else False


def _opens_image(text: bytes) -> bool:
    """As `_is_image` for brackets within brackets; too many of them, or escaped ones, count as an image's."""
    if b"\\" in text:
        return True
    depth, place = 0, len(text)
    for _ in range(MAX_BRACKETS):
        place = max(text.rfind(b"[", 0, place), text.rfind(b"]", 0, place))
        if place <= 0:
            return len(text) >= LOOK_BEHIND
        if text[place] == 0x5D:
            depth += 1
        elif depth == 0:
            return text[place - 1] == 0x21
        else:
            depth -= 1
    return True


def _is_definition(text: bytes) -> bool:
    """Whether the bracket that closes behind this text holds the name of a reference, not of a footnote."""
    last = text.rfind(b"[")
    return last >= 0 and text[last + 1 : last + 2] != b"^"


def _rule(
    kind: str, gate: str, shape: str, close: str, judge: Judge, excuse: Excuse, behind: Behind | None = None
) -> Rule:
    folded = gate.isascii() and any(map(str.isalpha, gate))
    return Rule(
        kind=kind,
        gate=gate.encode(),
        items=parse_shape(shape, ignore_case=folded),
        ignore_case=folded,
        close=close.encode(),
        cap=CAP,
        word_start=False,
        judge=judge,
        excuse=excuse,
        behind=behind,
    )


def latch_rules(allowed_hosts: Collection[str] = (), kinds: Collection[str] = LATCH_KINDS) -> tuple[Rule, ...]:
    """The rules of these kinds; raises UsageError for an unknown kind or what is no host name."""
    unknown = sorted(set(kinds) - set(LATCH_KINDS))
    if unknown:
        raise UsageError(f"no latch has the kinds {unknown}", cure=f"known are {', '.join(LATCH_KINDS)}")
    allowed = AllowedHosts.of(allowed_hosts)

    def excuse(target: Callable[[bytes], str | None]) -> Excuse:
        return lambda value: allowed.allow(target(value))

    def tag_allowed(value: bytes) -> bool:
        return all(allowed.allow(host) for host in _tag_hosts(value))

    import_shape = r"@import[ \t\r\n]{1,8}[\"'][^\"';]{1,300}"
    rules = [
        _rule("image_url", "](", r"\]\(" + _TARGET, ")", _leads_out, excuse(_target), _is_image),
        _rule(
            "reference_url",
            "]:",
            r"\]:[ \t\r]{0,1000}\n?[^\n]{1,160}",
            "\n",
            _leads_out,
            excuse(_target),
            _is_definition,
        ),
        *(
            _rule(kind, tag, f"{tag}[^>]{{1,{MAX_TAG}}}", ">", _tag_leads_out, tag_allowed)
            for kind, tags in (("image_url", _IMAGES), ("html_resource", _RESOURCES))
            for tag in tags
        ),
        _rule("html_resource", "url(", r"url\(" + _TARGET, ")", _css_leads_out, excuse(_css_target)),
        _rule("html_resource", "@import", import_shape, ";", _import_leads_out, excuse(_import_target)),
    ]
    return tuple(rule for rule in rules if rule.kind in kinds)

"""Reads rendered HTML as a browser would, and says what of it nobody allowed."""

from html.parser import HTMLParser

from backstay.web.rendering import CLASSES, TAGS

VOID = {"br", "hr", "wbr"}


class ShownHtml(HTMLParser):
    """The tags, attributes and text of HTML; `wrong` holds what is no part of the allow-list, and broken nesting."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.wrong += [f"<{tag}> stays open" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += "\n" if tag == "br" else ""
        if tag not in TAGS:
            self.wrong.append(f"<{tag}>")
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            allowed = {"dir": value == "auto", "class": value in CLASSES, "start": tag == "ol" and str(value).isdigit()}
            if not allowed.get(name):
                self.wrong.append(f"{tag} {name}={value!r}")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"comment {data!r}")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(f"declaration {decl!r}")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"instruction {data!r}")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"declaration {data!r}")

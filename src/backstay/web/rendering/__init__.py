"""Untrusted Markdown as HTML that can do nothing: no script, no address that loads or opens, no hidden character."""

from backstay.web.rendering.invisible import Visible
from backstay.web.rendering.markdown import CLASSES, TAGS, render, render_plain

__all__ = ["CLASSES", "TAGS", "Visible", "render", "render_plain"]

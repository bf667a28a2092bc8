"""Pictures of every page of the console for the docs: `python docs/screenshots.py [NAME ...]`.

Needs the dev extra and Chromium. Every text, vote and name is made up; raters of the lead's figures are simulated.
"""

import io
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "web" / "images"
LARGEST = 150_000
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "docs")]

import pictures_console  # noqa: E402  beside this file; what it builds on is found beside the tests, not installed
import pictures_rating  # noqa: E402  the same


def shoot(page: Any, name: str) -> None:
    """Write a picture, in few colours, and refuse one that is too large for a repository."""
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    kept = io.BytesIO()
    picture.quantize(200, dither=Image.Dither.NONE).save(kept, "PNG", optimize=True)
    if kept.tell() > LARGEST:
        raise SystemExit(f"{name}.png has {kept.tell():,} bytes; the most is {LARGEST:,}")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.png").write_bytes(kept.getvalue())
    sys.stdout.write(f"{name}.png {kept.tell():,}\n")


def main() -> None:
    """Every picture, or those that are named."""
    known = [*pictures_rating.STEPS, *pictures_console.PICTURES]
    names = sys.argv[1:] or known
    if unknown := set(names) - set(known):
        raise SystemExit(f"no picture {min(unknown)!r}; there are {', '.join(known)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in names:
            if name in pictures_rating.STEPS:
                pictures_rating.picture(browser, name, shoot)
        pictures_console.pictures(browser, [name for name in names if name in pictures_console.PICTURES], shoot)
        browser.close()


if __name__ == "__main__":
    main()

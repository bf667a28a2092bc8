"""Pictures of the rating page, over made-up tasks; behind it is the API in memory that the browser tests use."""

from collections.abc import Callable
from typing import Any

from fake_rating_api import FakeTask, fake_rating

DESKTOP, PHONE = {"width": 1360, "height": 860}, {"width": 390, "height": 844}
GUIDE = """# Better means

1. **True** before pleasant.
2. As long as the question needs.
3. Says what it does not know.

## Not better

* Repeating the question
* Flattery
"""
TIDE_A = """The Moon pulls on the near side of the Earth **more than on its centre**, and on the centre \
more than on the far side. So the near side is drawn away from the Earth, and the Earth away from the far side:

1. a bulge of water towards the Moon,
2. a second one on the other side.

The Earth turns under both in about 24 h 50 min, so most coasts see two high tides:

| tide | after |
|---|---|
| first | 0 h |
| second | 12 h 25 min |
"""
TIDE_B = """Great question! The Moon pulls the water up. On the other side the *centrifugal force* of the Earth's spin \
throws the water outwards, so that there are two tides.

Think of a bucket on a string:

> When you swing it round, the water stays in.

So it is with the sea.
"""
CODE_A = """```python
import csv

with open("sales.csv", newline="") as file:
    rows = csv.reader(file)
    next(rows)
    print(sum(float(row[1]) for row in rows))
```

It holds one row at a time.
"""
CODE_B = """Use pandas:

```python
import pandas as pd

print(pd.read_csv("sales.csv").iloc[:, 1].sum())
```

It is fast and short.
"""
TIDES = FakeTask(
    [("user", "Why are there two high tides a day, when the Moon is only on one side of the Earth?")], [TIDE_A, TIDE_B]
)
CODE = FakeTask(
    [
        ("user", "How do I read a large CSV file in Python without loading all of it?"),
        ("assistant", "Row by row, with the `csv` module. Do the rows need to be typed?"),
        ("user", "Yes: the second column is a number. I need its sum."),
    ],
    [CODE_A, CODE_B],
    dimensions=["helpful", "harmless", "honest"],
)
RANKING = FakeTask(
    [("user", "Suggest a name for a small bakery by the sea.")],
    [
        "**Salt & Crumb**: short, and it says both.",
        "*The Seaside Bakery Shop of Bread*",
        "**Driftwood Loaf**. It sounds warm, and the sign draws itself.",
        "As a language model I cannot name bakeries.",
    ],
    kind="ranking",
)


def ready(page: Any) -> None:
    """Wait for the task, and close what the page has to tell."""
    page.wait_for_selector("body[data-state=task]")
    page.wait_for_timeout(300)
    for note in page.locator("#notices .note button:has-text('Close')").all():
        note.click()


def picture(browser: Any, name: str, shoot: Callable[[Any, str], None]) -> None:
    """One picture, by its name."""
    task = {"dimensions": CODE, "ranking": RANKING, "rating-dark": CODE}.get(name, TIDES)
    is_phone, scheme = name == "rating-phone", "dark" if name == "rating-dark" else "light"
    with fake_rating(task, *[TIDES] * 17, guidelines=[GUIDE]) as api:
        context = browser.new_context(
            viewport=PHONE if is_phone else DESKTOP,
            color_scheme=scheme,
            has_touch=is_phone,
            is_mobile=is_phone,
            device_scale_factor=1.5 if is_phone else 1,
        )
        page = context.new_page()
        page.goto(f"{api.url}/rate/sky")
        ready(page)
        STEPS.get(name, lambda _: None)(page)
        page.wait_for_timeout(300)
        shoot(page, name)
        context.close()


def _press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


STEPS: dict[str, Any] = {
    "rating": lambda _: None,
    "guidelines": lambda page: _press(page, "g"),
    "dimensions": lambda page: _press(page, "2", "4"),
    "ranking": lambda page: _press(page, "3", "1", "4"),
    "rating-phone": lambda _: None,
    "rating-dark": lambda page: _press(page, "2"),
    "marking": lambda page: _press(page, "v", *["ArrowRight"] * 8, *["Shift+ArrowRight"] * 5, "g"),
    "flags": lambda page: _press(page, "f", "a", "3"),
}

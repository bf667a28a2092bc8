import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
IGNORED = {"__pycache__", "node_modules", "build", "dist", "demo-run"}


def tree_of_readme() -> dict[str, str]:
    """Path to purpose, from the last code block of the README."""
    block = (ROOT / "README.md").read_text(encoding="utf-8").rsplit("```text\n", 1)[1].split("```")[0]
    found: dict[str, str] = {}
    stack: list[str] = []
    for line in block.splitlines():
        matched = re.fullmatch(r"( *)(\S+)/ +(\S.*)", line)
        assert matched, f"not a line of the tree: {line!r}"
        depth = len(matched[1]) // 2
        stack[depth:] = [matched[2]]
        found["/".join(stack)] = matched[3]
    return found


def folders_on_disk() -> set[str]:
    top = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    inner = [path for parent in ("src/backstay", "tests") for path in (ROOT / parent).iterdir() if path.is_dir()]
    named = {path.relative_to(ROOT).as_posix() for path in [*top, *inner] if path.name not in IGNORED}
    return {path for path in named if any(file.is_file() for file in (ROOT / path).rglob("*.*"))}


def test_the_readme_ends_with_the_tree_as_it_is_on_disk() -> None:
    assert set(tree_of_readme()) == folders_on_disk() | {"src", "src/backstay"}


def test_the_tree_is_the_last_thing_in_the_readme() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").rstrip().endswith("```")

"""A project folder: where its recipe, database, keys and runs are."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from backstay.errors import UsageError

RECIPE_NAME = "backstay.yaml"
CACHE_VARIABLE = "BACKSTAY_CACHE"


@dataclass(frozen=True)
class Project:
    """Paths of one project; `root` is the folder that holds backstay.yaml."""

    root: Path

    @property
    def recipe_path(self) -> Path:
        """The recipe."""
        return self.root / RECIPE_NAME

    @property
    def state(self) -> Path:
        """The folder that Backstay writes."""
        return self.root / ".backstay"

    @property
    def database(self) -> Path:
        """The SQLite file that holds judgments, reviews and the journal."""
        return self.state / "backstay.db"

    @property
    def keys(self) -> Path:
        """Signing keys."""
        return self.state / "keys"

    @property
    def runs(self) -> Path:
        """One folder a stage run."""
        return self.state / "runs"

    @property
    def cache(self) -> Path:
        """Converted models, shared by all projects of this user; BACKSTAY_CACHE moves it."""
        named = os.environ.get(CACHE_VARIABLE)
        return Path(named) if named else platformdirs.user_cache_path("backstay")

    def resolve(self, text: str) -> Path:
        """A path from the recipe: relative ones start at the project folder."""
        return self.root / Path(text).expanduser()

    @classmethod
    def find(cls, start: Path) -> "Project":
        """The project that a folder lies in; raises UsageError when no folder above holds a recipe."""
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / RECIPE_NAME).is_file():
                return cls(folder)
        raise UsageError(f"no {RECIPE_NAME} in {start} or above it", cure="backstay init DIR")

    @classmethod
    def create(cls, root: Path, recipe_text: str) -> "Project":
        """Make a project folder; raises UsageError when there is a recipe already."""
        project = cls(root.resolve())
        if project.recipe_path.exists():
            raise UsageError(f"{project.recipe_path} exists already", cure="choose another folder, or edit that file")
        project.runs.mkdir(parents=True, exist_ok=True)
        project.keys.mkdir(mode=0o700, exist_ok=True)
        project.recipe_path.write_text(recipe_text, encoding="utf-8")
        return project

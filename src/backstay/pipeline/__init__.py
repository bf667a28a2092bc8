"""Recipe to stage graph to runs: what runs, in what order, and what may be reused.

Only what imports quickly stands here: `recipe` and `stage` bring in every package below, and commands such as `runs`
shall not wait for them.
"""

from backstay.pipeline.events import Event, Observer
from backstay.pipeline.project import Project

__all__ = ["Event", "Observer", "Project"]

"""Examples of what is sent, for openapi.json; a test holds them against their schemas."""

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "Submission": {
        "answers": [{"dimension": "overall", "ranking": [[1], [0]], "strength": 2}],
        "flags": [{"slot": 0, "flag": "personal_data"}],
        "rationale": "The second names its source.",
        "spans": [{"slot": 1, "start": 0, "end": 12, "label": "good"}],
        "duration_ms": 41_000,
        "away_ms": 0,
    },
    "Skip": {"reason": "not_my_field", "note": "About tax law."},
    "NewProject": {
        "id": "help-2",
        "name": "Helpfulness, second round",
        "dataset": "help",
        "settings": {"dimensions": ["helpful", "harmless"], "votes": 3, "most_votes": 5},
    },
    "NewScores": {"scores": {"item-59f6a4dd1f1a1d2e4c5b": [0.8, -0.2, 1.4], "item-0c9be3d6b8a0f2c71e3d": []}},
    "ProjectChange": {"status": "paused"},
    "NewGuidelines": {"text": "# What to look at\n\nPrefer the answer that is true."},
    "NewWebhook": {"url": "https://hooks.example.org/backstay", "events": ["judgment.created", "item.done"]},
    "WebhookChange": {"state": "off"},
}
"""By name of the schema."""

"""Arguments against the pinned schema of their tool; schemas are read once."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from backstay.errors import UsageError
from backstay.records import content_hash
from backstay.scan.json_schema import read_schema
from backstay.scan.json_validation import Schema

MAX_REMEMBERED = 2000


class SchemaCheck:
    """What is wrong with arguments first; a schema that cannot be read lets nothing through."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._read: OrderedDict[str, Schema | str] = OrderedDict()

    def __call__(self, schema: Mapping[str, Any], args: Mapping[str, Any]) -> str:
        """The first problem, "" where there is none."""
        known = self._known(schema)
        if isinstance(known, str):
            return known
        problems = known.problems(args)
        return f"{problems[0].path} breaks {problems[0].keyword}" if problems else ""

    def _known(self, schema: Mapping[str, Any]) -> Schema | str:
        key = content_hash(schema)
        found = self._read.get(key)
        if found is None:
            try:
                found = read_schema(schema)
            except UsageError as error:
                found = f"the schema cannot be checked: {error.message}"
            self._read[key] = found
            if len(self._read) > self._most:
                self._read.popitem(last=False)
        return found

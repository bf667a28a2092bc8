"""Answers of the console held against the description that it serves."""

import json
import re
from typing import Any

import jsonschema
from console_site import Browser

Json = dict[str, Any]


class Described:
    """Sends requests and checks each answer: the status is described, and the body fits its schema."""

    def __init__(self, browser: Browser) -> None:
        self.schema: Json = browser.get("/api/v1/openapi.json").json()
        self.seen: set[str] = set()

    def send(self, browser: Browser, method: str, path: str, status: int, **given: Any) -> Any:
        """The answer's JSON, else its bytes."""
        answer = browser.send(method, f"/api/v1{path}", **given)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        operation = self.operation(method, f"/api/v1{path.partition('?')[0]}")
        self.seen.add(operation["operationId"])
        content = operation["responses"][str(status)].get("content", {})
        if answer.headers.get("content-type") != "application/json":
            kind = answer.headers.get("content-type", "").partition(";")[0]
            assert not answer.content or kind in content, f"{method} {path}: {kind} is not described"
            return answer.content
        body = json.loads(answer.content)
        self.check(content["application/json"]["schema"], body)
        return body

    def check(self, schema: Json, value: Any) -> None:
        """Raise unless a value fits a schema of the description."""
        whole = schema | {"components": self.schema["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)

    def operation(self, method: str, path: str) -> Json:
        """The operation that a request is."""
        fixed = [known for known in self.schema["paths"] if known == path]
        for known in fixed or self.schema["paths"]:
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path) and method.lower() in self.schema["paths"][known]:
                found: Json = self.schema["paths"][known][method.lower()]
                return found
        raise AssertionError(f"{method} {path} is not described")

    @property
    def operations(self) -> dict[str, Json]:
        """Every operation by its id."""
        return {found["operationId"]: found for path in self.schema["paths"].values() for found in path.values()}

"""A run's manifest: an in-toto Statement v1 that names every output by hash and everything that decided it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backstay.errors import IntegrityError
from backstay.records import content_hash, file_sha256
from backstay.storage.atomic import write_atomic
from backstay.storage.release import RELEASE

MANIFEST = "manifest.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:backstay:stage-run:v1"
TIMING = "timing.jsonl"
"""A log that is no output, in a run folder or below it: it differs from machine to machine."""


@dataclass(frozen=True)
class Manifest:
    """The statement as parsed, with the parts that callers ask for."""

    statement: dict[str, Any]

    @property
    def outputs(self) -> dict[str, str]:
        """File name to SHA-256."""
        return {subject["name"]: subject["digest"]["sha256"] for subject in self.statement["subject"]}

    @property
    def predicate(self) -> dict[str, Any]:
        """What decided the outputs."""
        predicate: dict[str, Any] = self.statement["predicate"]
        return predicate

    @property
    def digest(self) -> str:
        """SHA-256 over the outputs: what a later stage's key takes in."""
        return outputs_digest(self.outputs)


def outputs_digest(outputs: dict[str, str]) -> str:
    """SHA-256 over names and hashes; no clock and no machine enters, so equal outputs give equal digests."""
    return content_hash(outputs)


def output_hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every output file, by path relative to the folder.

    Hidden files and checkpoints are no output, nor is a release: it is signed later, and names the manifest.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        left_out = relative.name == TIMING or str(relative) in (MANIFEST, RELEASE) or relative.parts[0] == "checkpoints"
        if path.is_file() and not hidden and not left_out:
            found[relative.as_posix()] = file_sha256(path)
    return found


def finite(value: Any) -> Any:
    """NaN and infinities become null, at any depth, as in metrics.jsonl: JSON cannot hold them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def write_manifest(folder: Path, predicate: dict[str, Any]) -> Manifest:
    """Hash the outputs and write the statement, atomically; from then on the run counts as done."""
    subject = [{"name": name, "digest": {"sha256": value}} for name, value in output_hashes(folder).items()]
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    text = json.dumps(statement, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / MANIFEST, text.encode() + b"\n")
    return Manifest(statement)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished run, None for an unfinished one; IntegrityError when it does not parse."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        manifest = Manifest(json.loads(path.read_bytes()))
        recorded = (manifest.outputs, manifest.predicate["stage"], manifest.predicate["key"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} is not a run manifest: {error!r}", cure="move the folder away and run again"
        ) from None
    if manifest.statement.get("predicateType") != PREDICATE_TYPE or not all(recorded[1:]):
        raise IntegrityError(f"{path} is not a run manifest: predicateType is not {PREDICATE_TYPE}")
    return manifest


def broken_outputs(folder: Path, manifest: Manifest) -> list[str]:
    """What differs between a folder and its manifest, a sentence each; empty when it verifies."""
    recorded, found = manifest.outputs, output_hashes(folder)
    missing = [f"{name} is missing" for name in recorded if name not in found]
    added = [f"{name} is not in the manifest" for name in found if name not in recorded]
    changed = [
        f"{name} has sha256 {found[name][:12]}, the manifest says {value[:12]}"
        for name, value in recorded.items()
        if name in found and found[name] != value
    ]
    return missing + changed + added

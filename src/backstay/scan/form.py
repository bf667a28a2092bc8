"""The form of an answer: markers of a chat template, turns it plays for others, an open code block, another script."""

import unicodedata
from collections import Counter

from backstay.records import Finding

SCANNER = "form"
MARKERS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|begin_of_text|>", "<|system|>", "<|user|>", "<|assistant|>", "<start_of_turn>", "<end_of_turn>", "[INST]",
    "[/INST]", "<<SYS>>", "<</SYS>>",
)  # fmt: skip
"""What chat templates put around turns; in an answer it teaches a model to go on after its end."""

SPEAKERS = ("human:", "user:", "assistant:", "### human", "### user", "### assistant", "### instruction")
"""Beginnings of a line with which an answer speaks for somebody else."""

FENCE = "```"
MIN_LETTERS = 20
"""Letters from which on a text has a script."""

OTHER_SHARE = 0.8
"""Share of an answer's letters in one script, absent from the request, from which on it is another."""

READ = 4000
"""Characters whose script is looked at."""


def scan_form(request: str, answer: str) -> tuple[Finding, ...]:
    """Findings of kind `chat_marker`, `plays_other_turns`, `open_code_block`, `other_script`; linear in the texts."""
    return tuple(
        finding
        for finding in (_marker(answer), _other_turns(answer), _open_block(answer), _other_script(request, answer))
        if finding is not None
    )


def _marker(answer: str) -> Finding | None:
    places = [(answer.find(marker), marker) for marker in MARKERS if marker in answer]
    if not places:
        return None
    place, marker = min(places)
    return _finding("chat_marker", "high", (place, place + len(marker)), marker)


def _other_turns(answer: str) -> Finding | None:
    """A later line that begins a turn; the first may be a label that the model gave itself."""
    place = 0
    for number, line in enumerate(answer.splitlines(keepends=True)):
        head = line.lstrip()[:20].lower()
        if number and head.startswith(SPEAKERS):
            return _finding("plays_other_turns", "medium", (place, place + len(line.rstrip())), head.split(":")[0])
        place += len(line)
    return None


def _open_block(answer: str) -> Finding | None:
    fences = sum(line.lstrip().startswith(FENCE) for line in answer.splitlines())
    place = answer.rfind(FENCE)
    return _finding("open_code_block", "low", (place, place + 3), f"{fences} fences") if fences % 2 else None


def _other_script(request: str, answer: str) -> Finding | None:
    """The answer is in a script of which the request has no letter; a request to translate may ask for just that."""
    asked, given = scripts(request), scripts(answer)
    if asked.total() < MIN_LETTERS or given.total() < MIN_LETTERS:
        return None
    script, count = given.most_common(1)[0]
    if script in asked or count < OTHER_SHARE * given.total():
        return None
    return _finding("other_script", "low", None, f"{script.lower()}, where the request has none")


def scripts(text: str) -> Counter[str]:
    """Letters of each script, by the first word of their Unicode names; Japanese and Chinese count as one."""
    letters = Counter(char for char in text[:READ] if char.isalpha())
    found: Counter[str] = Counter()
    for char, count in letters.items():
        script = unicodedata.name(char, "UNKNOWN").partition(" ")[0]
        found["CJK" if script in ("HIRAGANA", "KATAKANA") else script] += count
    return found


def _finding(kind: str, severity: str, span: tuple[int, int] | None, evidence: str) -> Finding:
    return Finding.model_validate(
        {"scanner": SCANNER, "kind": kind, "severity": severity, "span": span, "evidence": evidence}
    )

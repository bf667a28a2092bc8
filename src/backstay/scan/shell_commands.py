"""Commands of a shell script, read by tree-sitter-bash: their words as the shell would see them, where that is fixed.

Quotes are taken off, escapes undone, and variables put in that the script itself sets. What is known at run time only
is one character, `UNKNOWN`.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.errors import ResourceError
from backstay.scan.danger import Clock
from backstay.scan.engine import CURE
from backstay.scan.shell_prefixes import UNKNOWN, Word
from backstay.scan.shell_quoting import ansi_text, is_cut, printed, split_word, text_of, unescaped, unquoted, with_trick
from backstay.scan.shell_script import STANDING, TELLING, Command, Script

MAX_CHARACTERS = 20_000
MAX_COMMANDS = 2_000
MAX_PIPES = 400
"""More than that, and the parser's way out of an error may take very long without a look at the clock."""

MAX_EXPANDED = 10
"""Variables may make the words of a script this many times as long as the script."""

MAX_DEPTH = 60

_PLAIN = bytes(range(128)) + b"x" * 128
"""What the parser is given for each byte, a letter for what is not ASCII: to a shell it is part of a word as well. The
parser looks such characters up in a table of 256, and the process dies of it."""


@cache
def _parser() -> Any:
    try:
        import tree_sitter  # noqa: PLC0415 - an extra
        import tree_sitter_bash  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ResourceError("scanning shell needs tree-sitter-bash, which is not installed", cure=CURE) from error
    return tree_sitter, tree_sitter.Language(tree_sitter_bash.language())


def read_script(text: str) -> Script:
    """The commands of a script; what cannot be read within bounds makes it `broken`."""
    if len(text) > MAX_CHARACTERS:
        return Script(broken=f"more than {MAX_CHARACTERS} characters")
    if text.count("|") > MAX_PIPES:
        return Script(broken=f"more than {MAX_PIPES} pipes")
    source = text.encode("utf-8", "replace")
    plain = source.translate(_PLAIN)
    tree_sitter, language = _parser()
    clock = Clock(5 + 2 * len(source) / 1000)
    try:
        tree = tree_sitter.Parser(language).parse(
            lambda place, _: plain[place : place + 65_536], progress_callback=lambda _place, _error: clock.spent
        )
    except ValueError:
        return Script(broken="no time left")
    reading = _Reading(source)
    try:
        reading.visit(tree.root_node, 0)
    except _TooMuch as error:
        reading.script.broken = str(error)
    if tree.root_node.has_error:
        reading.script.broken = reading.script.broken or "does not parse"
    return reading.script


class _TooMuch(Exception):
    """Deeper or longer than is read."""


class _Reading:
    """One walk over a tree; variables are those that the script has set so far."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.script = Script()
        self.variables = {name: Word(value) for name, value in STANDING.items()}
        self.folder = ""
        self.ascii = source.isascii()
        self.room = MAX_EXPANDED * len(source) + 1_000
        self.places: NDArray[np.int64] | None = None

    def visit(self, node: Any, depth: int) -> list[Command]:
        """The commands at or below a node, which are also added to the script."""
        if depth > MAX_DEPTH or len(self.script.commands) > MAX_COMMANDS:
            raise _TooMuch("more or deeper commands than are read")
        special = getattr(self, f"_visit_{node.type}", None)
        if special is not None:
            found: list[Command] = special(node, depth)
            return found
        return [one for child in node.named_children for one in self.visit(child, depth + 1)]

    def _visit_pipeline(self, node: Any, depth: int) -> list[Command]:
        stages = [self.visit(child, depth + 1) for child in node.named_children]
        self.script.pipelines.append(stages)
        return [one for stage in stages for one in stage]

    def _visit_redirected_statement(self, node: Any, depth: int) -> list[Command]:
        body = node.child_by_field_name("body")
        redirects = [child for child in node.named_children if child.type.endswith("redirect")]
        found = self.visit(body, depth + 1) if body is not None else []
        made, given, stages = self._redirects(redirects, depth)
        if not found:
            found = [self._add(Command((), self._span(node)))]
        last = found[-1]
        changed = Command(
            last.words, last.span, (*last.redirects, *made), given if given is not None else last.given, last.folder
        )
        self._replace(last, changed)
        found[-1] = changed
        if stages:
            self.script.pipelines.append([found, *stages])
        return [*found, *(one for stage in stages for one in stage)]

    def _visit_command(self, node: Any, depth: int) -> list[Command]:
        place = len(self.script.commands)
        words: list[Word] = []
        redirects = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                self.visit(child, depth + 1)
            elif child.type.endswith("redirect"):
                redirects.append(child)
            else:
                part = child.named_children[0] if child.type == "command_name" and child.named_children else child
                words.extend(split_word(self.word(part, depth + 1)))
        made, given, _ = self._redirects(redirects, depth)
        command = Command(tuple(words), self._span(node), tuple(made), given, self.folder)
        self._enter([word.text for word in words])
        inner = self.script.commands[place:]
        self.script.commands.append(command)
        return [*inner, command]

    def _enter(self, words: list[str]) -> None:
        """Follow `cd` to a folder that is named in full, or on from one."""
        if words[:1] != ["cd"] and words[:1] != ["pushd"]:
            return
        path = words[1] if len(words) > 1 else "~"
        if path.startswith(("/", "~")):
            self.folder = path.rstrip("/")
        elif self.folder and UNKNOWN not in path:
            self.folder = f"{self.folder}/{path}"[:1_000]
        else:
            self.folder = ""
        if path == "/":
            self.folder = "/."

    def _visit_declaration_command(self, node: Any, depth: int) -> list[Command]:
        first = Word(text_of(node, self.source).partition(" ")[0])
        words = [first]
        for child in node.named_children:
            if child.type == "variable_assignment":
                self.visit(child, depth + 1)
                words.append(Word(text_of(child, self.source)))
            else:
                words.append(self.word(child, depth + 1))
        return [self._add(Command(tuple(words), self._span(node)))]

    def _visit_variable_assignment(self, node: Any, depth: int) -> list[Command]:
        place = len(self.script.commands)
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is not None:
            given, variable = self.word(value, depth + 1) if value is not None else Word(""), text_of(name, self.source)
            self.variables[variable] = given
            if variable in TELLING:
                self._add(Command((Word("export"), Word(f"{variable}={given.text}")), self._span(node)))
        return self.script.commands[place:]

    def _visit_function_definition(self, node: Any, depth: int) -> list[Command]:
        place, pipelines = len(self.script.commands), len(self.script.pipelines)
        name = node.child_by_field_name("name")
        self.visit(node.child_by_field_name("body"), depth + 1)
        piped = [one for stages in self.script.pipelines[pipelines:] for stage in stages for one in stage]
        self.script.functions[text_of(name, self.source)] = piped
        return self.script.commands[place:]

    def _redirects(
        self, nodes: list[Any], depth: int
    ) -> tuple[list[tuple[str, Word]], str | None, list[list[Command]]]:
        made: list[tuple[str, Word]] = []
        given: str | None = None
        stages: list[list[Command]] = []
        for node in nodes:
            inner = [child for child in node.named_children if child.type == "file_redirect"]
            for child in [node, *inner] if node.type == "heredoc_redirect" else [node]:
                if child.type == "file_redirect":
                    words = [self.word(one, depth + 1) for one in child.children_by_field_name("destination")]
                    operator = next((text_of(c, self.source) for c in child.children if not c.is_named), ">")
                    made.extend((operator, self._from_folder(word)) for word in words[:1])
                elif child.type == "herestring_redirect":
                    given = "".join(self.word(one, depth + 1).text for one in child.named_children)
                else:
                    given = "".join(
                        text_of(one, self.source) for one in child.named_children if one.type == "heredoc_body"
                    )
            for child in node.named_children:
                if child.type == "pipeline":
                    stages.extend(self.visit(one, depth + 1) for one in child.named_children)
                elif child.type in ("heredoc_body", "command", "list"):
                    self.visit(child, depth + 1)
        return made, given, stages

    def _from_folder(self, word: Word) -> Word:
        inside = self.folder and word.text and word.text[0] not in "/~&" and not word.text.isdecimal()
        return word._replace(text=f"{self.folder}/{word.text}") if inside else word

    def word(self, node: Any, depth: int) -> Word:  # noqa: PLR0911 - one return a kind of node
        """The value of a word."""
        if depth > MAX_DEPTH:
            raise _TooMuch("deeper words than are read")
        match node.type:
            case "raw_string":
                return Word(text_of(node, self.source)[1:-1])
            case "ansi_c_string":
                return ansi_text(text_of(node, self.source)[2:-1])
            case "string" | "translated_string":
                return with_trick(self._joined(node, depth, quoted=True), "whole")
            case "concatenation":
                joined = self._joined(node, depth, quoted=False)
                return with_trick(joined, "quotes") if is_cut(node, self.source) else joined
            case "simple_expansion" | "expansion":
                return self._variable(node, depth)
            case "command_substitution" | "process_substitution":
                return self._output(node, depth)
            case "arithmetic_expansion":
                self.visit_children(node, depth)
                return Word("1")
        return Word(unescaped(text_of(node, self.source)))

    def visit_children(self, node: Any, depth: int) -> None:
        """Commands below a node that has no value of its own."""
        for child in node.named_children:
            self.visit(child, depth + 1)

    def _joined(self, node: Any, depth: int, *, quoted: bool) -> Word:
        """The values of the parts of a word, and what stands between them as it is."""
        place, end = node.start_byte + quoted, node.end_byte - quoted
        texts, tricks, inner = [], frozenset[str](), tuple[Command, ...]()
        for child in node.named_children:
            texts.append(self.source[place : child.start_byte].decode("utf-8", "replace"))
            part = (
                Word(unquoted(text_of(child, self.source)))
                if child.type == "string_content"
                else self.word(child, depth + 1)
            )
            texts.append(part.text)
            tricks, inner, place = tricks | part.tricks, inner + part.inner, child.end_byte
        texts.append(self.source[place:end].decode("utf-8", "replace"))
        return Word(self._room_for("".join(texts)), tricks, inner)

    def _room_for(self, text: str) -> str:
        self.room -= len(text)
        if self.room < 0:
            raise _TooMuch("words grow beyond what is read")
        return text

    def _variable(self, node: Any, depth: int) -> Word:
        name = next((text_of(child, self.source) for child in node.named_children if child.type == "variable_name"), "")
        rest = [child for child in node.named_children if child.type != "variable_name"]
        signs = {text_of(child, self.source) for child in node.children if not child.is_named}
        sliced = node.type == "expansion" and bool(signs & {":", "/", "//", "#", "##", "%", "%%", "^", ",", "!", "@"})
        held = self.variables.get(name, Word(UNKNOWN))
        value = held.text
        for child in rest:
            default = self.word(child, depth + 1)
            value = default.text if value == UNKNOWN and not sliced else value
        tricks = frozenset({"slice"} if sliced else ()) | frozenset({"ifs"} if name == "IFS" else ())
        known = name not in STANDING and name in self.variables and value != UNKNOWN
        return Word(
            UNKNOWN if sliced else self._room_for(value), tricks | frozenset({"variable"} if known else ()), held.inner
        )

    def _output(self, node: Any, depth: int) -> Word:
        """What a command prints, where it only prints fixed words."""
        found = tuple(one for child in node.named_children for one in self.visit(child, depth + 1))
        if len(found) == 1 and node.type == "command_substitution" and found[0].words:
            name, *words = (word.text for word in found[0].words)
            if name in ("echo", "printf") and words and UNKNOWN not in "".join(words):
                return Word(printed(name, words), frozenset({"output"}), found)
            if name == "pwd":
                return Word(self.folder or ".", frozenset(), found)
        return Word(UNKNOWN, frozenset({"output"}), found)

    def _add(self, command: Command) -> Command:
        self.script.commands.append(command)
        return command

    def _replace(self, old: Command, new: Command) -> None:
        for place in range(len(self.script.commands) - 1, -1, -1):
            if self.script.commands[place] is old:
                self.script.commands[place] = new
                return

    def _span(self, node: Any) -> tuple[int, int]:
        if self.ascii:
            return node.start_byte, node.end_byte
        if self.places is None:
            begins = (np.frombuffer(self.source, np.uint8) & 0xC0) != 0x80
            self.places = np.concatenate([[0], np.cumsum(begins)])
        return int(self.places[node.start_byte]), int(self.places[node.end_byte])

"""What a Python script does that is dangerous, read from its syntax tree; nothing of it is run."""

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from backstay.scan.danger import Danger, names
from backstay.scan.python_names import Names
from backstay.scan.rule import Severity
from backstay.scan.shell_targets import is_root_like, is_secret, is_system_file, starts_things

MAX_CHARACTERS = 20_000
MAX_NODES = 20_000
MAX_NESTING = 60
_FILE = "scanned_text"

_SHELLS = names(
    "os.system os.popen os.popen2 os.popen3 posix.system subprocess.getoutput subprocess.getstatusoutput pty.spawn "
    "commands.getoutput asyncio.create_subprocess_shell asyncio.subprocess.create_subprocess_shell"
)
_PROCESSES = frozenset(f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output"))
_EXECS = ("os.exec", "os.spawn", "os.posix_spawn", "asyncio.create_subprocess_exec")
_EVALS = names("exec eval compile execfile code.interact code.InteractiveInterpreter types.CodeType runpy.run_path")
_UNPICKLES = names(
    "pickle.load pickle.loads pickle.Unpickler cPickle.load cPickle.loads _pickle.loads dill.load dill.loads "
    "joblib.load "
    "cloudpickle.load cloudpickle.loads marshal.load marshal.loads shelve.open jsonpickle.decode yaml.unsafe_load "
    "yaml.full_load yaml.unsafe_load_all pandas.read_pickle pd.read_pickle"
)
_DOWNLOADS = names(
    "urllib.request.urlopen urllib2.urlopen urllib.urlopen requests.get requests.post requests.request httpx.get "
    "httpx.post urllib3.request aiohttp.request urllib.request.Request requests.Session().get"
)
_SENDS = frozenset(
    ("requests.post", "requests.put", "httpx.post", "urllib.request.urlopen", "httpx.put", "requests.get")
)
_DECODES = names(
    "base64.b64decode base64.b32decode base64.b16decode base64.a85decode base64.b85decode base64.urlsafe_b64decode "
    "codecs.decode zlib.decompress bz2.decompress lzma.decompress gzip.decompress bytes.fromhex binascii.unhexlify "
    "binascii.a2b_base64 marshal.loads chr"
)
_ESCAPES = frozenset(
    ("__subclasses__", "__globals__", "__bases__", "__mro__", "__builtins__", "func_globals", "gi_frame")
)
_REMOVES = names("shutil.rmtree os.remove os.unlink os.rmdir os.removedirs pathlib.Path().unlink pathlib.Path().rmdir")
_EXECUTES = ("execute", "executemany", "executescript", "raw", "read_sql", "read_sql_query", "text")
_VERBS = ("select ", "insert ", "update ", "delete ", "drop ", "create ", "alter ", "exec ", "merge ", "with ")


@dataclass
class PythonRead:
    """What was found, and the commands and statements that the script hands on as fixed texts."""

    dangers: list[Danger] = field(default_factory=list)
    commands: list[tuple[Literal["shell", "sql"], str, tuple[int, int]]] = field(default_factory=list)


def read_python(source: str) -> PythonRead:
    """The dangers of a script; what does not parse within bounds is one, of kind `code_unparsed`."""
    tree = _parsed(source)
    whole = (0, len(source))
    if isinstance(tree, str):
        return PythonRead([Danger("code_unparsed", "medium", tree, whole)])
    nodes = _nodes(tree)
    if nodes is None:
        return PythonRead([Danger("code_unparsed", "medium", "more than is read", whole)])
    reading = _Reading(source)
    for node in nodes:
        reading.see(node)
    reading.finish(whole)
    return reading.read


def _parsed(source: str) -> ast.Module | str:
    """The syntax tree, or why there is none."""
    if len(source) > MAX_CHARACTERS or _nesting(source) > MAX_NESTING:
        return "longer or deeper than is read"
    warnings.filterwarnings("ignore", module=_FILE)  # a parse warns of odd escapes in the text that is scanned
    try:
        return ast.parse(source, filename=_FILE)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "does not parse"


def _nesting(source: str) -> int:
    """Deepest run of open brackets, strings not told apart; the parser may take very long beyond some depth."""
    depth = deepest = 0
    for char in source.translate(_ONLY_BRACKETS):
        depth = depth + 1 if char in "([{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


class _Only(dict[int, str | None]):
    def __missing__(self, key: int) -> None:
        return None


_ONLY_BRACKETS = _Only({ord(char): char for char in "()[]{}"})


def _nodes(tree: ast.Module) -> list[ast.AST] | None:
    """All nodes in the order of the text; None where there are too many."""
    stack, out = [tree], list[ast.AST]()
    while stack:
        node: ast.AST = stack.pop()
        out.append(node)
        if len(out) > MAX_NODES:
            return None
        stack.extend(reversed(list(ast.iter_child_nodes(node))))  # type: ignore[arg-type] # a module holds other nodes
    return out


class _Reading:
    """One walk; `tainted` are names that hold what was downloaded or decoded, `built` those with built-up SQL."""

    def __init__(self, source: str) -> None:
        self.names, self.read = Names(), PythonRead()
        self.tainted: dict[str, str] = {}
        self.built: set[str] = set()
        self.used: set[str] = set()
        self.lines = source.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def see(self, node: ast.AST) -> None:
        """Take one node in."""
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom):
            self.names.learn(node)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            self._follow(node.targets[0].id, node.value)
        if isinstance(node, ast.Call):
            name = self.names.of(node.func) or "?"
            self.used.add(name)
            self.read.dangers.extend(Danger(*sign, self._span(node)) for sign in self._call(node, name))
        elif isinstance(node, ast.Attribute):
            self._attribute(node)

    def finish(self, whole: tuple[int, int]) -> None:
        """What only several calls together show."""
        sockets = any(name.startswith("socket.socket") for name in self.used)
        handed = {"os.dup2", "pty.spawn"} & self.used or any(name in _PROCESSES | _SHELLS for name in self.used)
        if sockets and handed:
            self.read.dangers.append(Danger("code_reverse", "critical", "hands a shell to a socket", whole))

    def _span(self, node: ast.expr) -> tuple[int, int]:
        start = self._place(node.lineno, node.col_offset)
        return start, max(start, self._place(node.end_lineno or node.lineno, node.end_col_offset or 0))

    def _place(self, line: int, column: int) -> int:
        """The character of a line and a column in bytes; lines that only Python's tokenizer counts are clipped."""
        if line > len(self.lines):
            return self.starts[-1]
        text = self.lines[line - 1]
        within = column if text.isascii() else len(text.encode("utf-8", "replace")[:column].decode("utf-8", "ignore"))
        return min(self.starts[line - 1] + within, self.starts[-1])

    def _follow(self, name: str, value: ast.expr) -> None:
        origin = self._origin(value)
        self.tainted.pop(name, None)
        self.built.discard(name)
        if origin:
            self.tainted[name] = origin
        if self._is_built(value):
            self.built.add(name)

    def _origin(self, value: ast.expr) -> str:
        """`download` or `decode` where the value comes from one, "" where it does not show."""
        found = ""
        for _, node in zip(range(200), ast.walk(value), strict=False):
            if isinstance(node, ast.Name):
                found = self.tainted.get(node.id, found)
            called = self.names.of(node.func) if isinstance(node, ast.Call) else None
            if called in _DOWNLOADS:
                return "download"
            if called in _DECODES:
                found = "decode"
        return found

    def _is_built(self, value: ast.expr) -> bool:
        """Whether the value is SQL put together from texts and something else."""
        if isinstance(value, ast.Name):
            return value.id in self.built
        if self.names.text(value) is not None:
            return False
        parts = [node.value for _, node in zip(range(200), ast.walk(value), strict=False)
                 if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
        formatted = isinstance(value, ast.JoinedStr) or (
            isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Mod)
        )
        formatted = formatted or (
            isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "format"
        )
        return formatted and any(part.lstrip().lower().startswith(_VERBS) for part in parts)

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr in _ESCAPES:
            said = Danger("code_eval", "high", "reaches into the interpreter", self._span(node))
            self.read.dangers.append(said)
        if node.attr == "CERT_NONE":
            self.read.dangers.append(Danger("code_unverified", "medium", "no check of certificates", self._span(node)))

    def _call(self, node: ast.Call, name: str) -> Iterator[tuple[str, Severity, str]]:
        yield from self._starts(node, name)
        yield from self._evaluates(node, name)
        yield from _loads(node, name)
        yield from self._files(node, name)
        if _keyword(node, "verify") is False or name == "ssl._create_unverified_context":
            yield "code_unverified", "medium", "no check of certificates"
        if name.rpartition(".")[2] in _EXECUTES and node.args:
            if self._is_built(node.args[0]):
                yield "code_sql", "medium", "SQL put together from texts"
            self._hand_on("sql", node.args[0], node)
        if name in ("hashlib.md5", "hashlib.sha1"):
            yield "code_weak_hash", "info", "a weak hash"

    def _starts(self, node: ast.Call, name: str) -> Iterator[tuple[str, Severity, str]]:
        shell = name in _SHELLS or (name in _PROCESSES and _keyword(node, "shell") not in (None, False))
        if shell:
            fixed = bool(node.args) and self._hand_on("shell", node.args[0], node)
            yield "code_shell", "low" if fixed else "high", "runs a shell"
        elif name in _PROCESSES or name.startswith(_EXECS):
            self._hand_on("shell", node.args[0] if node.args else None, node)
            if name.startswith(_EXECS):
                yield "code_shell", "medium", "starts a program"

    def _hand_on(self, language: Literal["shell", "sql"], value: ast.expr | None, node: ast.Call) -> bool:
        """Keep a fixed command or statement for its own scanner; False where it is not fixed."""
        texts = value.elts if isinstance(value, ast.List | ast.Tuple) else [value] if value is not None else []
        words = [self.names.text(text) for text in texts]
        known = [word for word in words if word is not None]
        if not words or len(known) != len(words):
            return False
        text = known[0] if len(known) == 1 else " ".join("'" + word.replace("'", "'\\''") + "'" for word in known)
        self.read.commands.append((language, text, self._span(node)))
        return True

    def _evaluates(self, node: ast.Call, name: str) -> Iterator[tuple[str, Severity, str]]:
        if name in _EVALS:
            origin = next(filter(None, (self._origin(arg) for arg in node.args)), "")
            fixed = bool(node.args) and self.names.text(node.args[0]) is not None
            yield "code_eval", "medium" if fixed or name == "compile" else "high", "runs a text as code"
            if origin == "download":
                yield "code_download_run", "critical", "runs what was downloaded"
            elif origin == "decode":
                yield "code_obfuscated", "high", "runs what was encoded"
        elif name in ("__import__", "importlib.import_module") and node.args and self.names.text(node.args[0]) is None:
            yield "code_eval", "medium", "imports a module that is not known"

    def _files(self, node: ast.Call, name: str) -> Iterator[tuple[str, Severity, str]]:
        path = self.names.text(node.args[0]) if node.args else None
        if name in _REMOVES and path is not None and (is_root_like(path) or is_system_file(path)):
            yield "code_destructive", "high", "removes a root, a home, or system files"
        if name in ("open", "io.open", "pathlib.Path", "os.open") and path is not None:
            mode = self.names.text(node.args[1]) if len(node.args) > 1 else None
            if is_secret(path):
                yield "code_credentials", "high", "reads keys, passwords or tokens"
            elif starts_things(path) and mode is not None and set("wax+") & set(mode):
                yield "code_persistence", "high", "writes a file from which something is started later"
        if name in _SENDS and any(self._is_environment(arg) for arg in [*node.args, *(k.value for k in node.keywords)]):
            yield "code_credentials", "high", "sends the environment away"

    def _is_environment(self, value: ast.expr) -> bool:
        inside = value.args[0] if isinstance(value, ast.Call) and value.args else value
        return self.names.of(inside) in ("os.environ", "os.environ.copy()")


def _loads(node: ast.Call, name: str) -> Iterable[tuple[str, Severity, str]]:
    """Calls that build objects of any class from data."""
    given = {keyword.arg for keyword in node.keywords}
    if name in _UNPICKLES:
        yield "code_deserialize", "high", "builds objects of any class from data"
    elif name in ("yaml.load", "yaml.load_all"):
        loader = next(
            (k.value for k in node.keywords if k.arg == "Loader"), node.args[1] if len(node.args) > 1 else None
        )
        if loader is None or "Safe" not in ast.unparse(loader)[:200]:
            yield "code_deserialize", "high", "builds objects of any class from data"
    elif name == "torch.load" and _keyword(node, "weights_only") is not True:
        yield "code_deserialize", "high" if "weights_only" in given else "medium", "unpickles weights"
    elif name in ("numpy.load", "np.load") and _keyword(node, "allow_pickle") is True:
        yield "code_deserialize", "high", "unpickles arrays"


def _keyword(node: ast.Call, name: str) -> object:
    """The constant that a keyword is given, `...` where it is no constant, None where it is not given."""
    for keyword in node.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else ...
    return None

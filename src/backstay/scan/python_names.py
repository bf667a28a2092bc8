"""What names in a Python script stand for: imports, aliases, `getattr`, `__import__`, and strings put together."""

import ast

_BUILTIN_HOLDERS = ("builtins.", "__builtins__.", "__builtin__.")
_IMPORTERS = ("__import__", "importlib.import_module")
MAX_STRING = 20_000
MAX_MADE = 400_000
"""Characters of one string, and of all strings together, that are put together."""


class Names:
    """Qualified names as far as a script fixes them; the last assignment of a name counts."""

    def __init__(self) -> None:
        self.meant: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.room = MAX_MADE

    def learn(self, node: ast.AST) -> None:
        """Take in an import or an assignment."""
        match node:
            case ast.Import():
                for alias in node.names:
                    self.meant[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            case ast.ImportFrom():
                for alias in node.names:
                    self.meant[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                self._assigned(name, node.value)

    def _assigned(self, name: str, value: ast.expr | None) -> None:
        self.meant.pop(name, None)
        self.texts.pop(name, None)
        text = self.text(value) if value is not None else None
        if text is not None:
            self.texts[name] = text
        elif isinstance(value, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            meant = self.of(value)
            if meant is not None and not meant.endswith("()"):
                self.meant[name] = meant

    def of(self, node: ast.expr, depth: int = 0) -> str | None:
        """The qualified name that an expression stands for, None where that is not known.

        A call stands for what it returns: `name()`, or the thing itself for `getattr` and imports.
        """
        if depth > 40:
            return None
        found: str | None = None
        match node:
            case ast.Name():
                found = self.meant.get(node.id, node.id)
            case ast.Attribute():
                base = self.of(node.value, depth + 1)
                found = f"{base}.{node.attr}" if base is not None else f"?.{node.attr}"
            case ast.Call():
                found = self._called(node, depth)
            case ast.Subscript():
                base, key = self.of(node.value, depth + 1), self.text(node.slice)
                if key is not None and base is not None:
                    holder = base in ("globals()", "locals()", "vars()") or base.endswith("__dict__")
                    found = f"builtins.{key}" if holder else f"{base}.{key}"
        return found if found is None else _plain(found)

    def _called(self, node: ast.Call, depth: int) -> str | None:
        name = self.of(node.func, depth + 1)
        if name in _IMPORTERS and node.args:
            return self.text(node.args[0])
        if name in ("getattr", "operator.attrgetter") and len(node.args) > 1:
            base, key = self.of(node.args[0], depth + 1), self.text(node.args[1])
            return f"{base}.{key}" if base is not None and key is not None else None
        return f"{name}()" if name is not None else None

    def text(self, node: ast.expr, depth: int = 0) -> str | None:  # noqa: PLR0911 - one return a kind of node
        """The string that an expression surely is, None where that is not known."""
        if depth > 40:
            return None
        match node:
            case ast.Constant(value=str() as text):
                return text
            case ast.Name(id=name):
                return self.texts.get(name)
            case ast.BinOp(op=ast.Add()):
                return self._made("", [self.text(node.left, depth + 1), self.text(node.right, depth + 1)])
            case ast.Call(func=ast.Attribute(attr="join"), args=[ast.List() | ast.Tuple() as parts]):
                joiner = self.text(node.func.value, depth + 1) if isinstance(node.func, ast.Attribute) else None
                return self._made(joiner, [self.text(part, depth + 1) for part in parts.elts])
            case ast.Subscript(slice=ast.Slice(lower=None, upper=None, step=ast.UnaryOp())):
                reversed_text = self.text(node.value, depth + 1)
                return None if reversed_text is None else reversed_text[::-1]
            case ast.JoinedStr():
                return self._made("", [self.text(piece, depth + 1) for piece in node.values])
        return None

    def _made(self, joiner: str | None, parts: list[str | None]) -> str | None:
        """The parts joined, None where one is not known or they are longer than is read."""
        known = [part for part in parts if part is not None]
        length = sum(map(len, known)) + len(joiner or "") * len(known)
        self.room -= length
        if joiner is None or len(known) < len(parts) or length > MAX_STRING or self.room < 0:
            return None
        return joiner.join(known)


def _plain(name: str) -> str:
    for holder in _BUILTIN_HOLDERS:
        if name.startswith(holder):
            return name[len(holder) :]
    return name

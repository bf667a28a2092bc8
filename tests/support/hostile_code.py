"""Statements, commands and scripts made to hurt parsers: deep, long, growing, endless, broken."""

SQL_BOMBS = [
    "SELECT " + "(" * 5000, "(SELECT * FROM " * 500, "NOT " * 4000, "SELECT " + "a::" * 300, "SELECT " + "ARRAY<" * 300,
     "/*" * 8000, "'" * 9999, "EXEC('" * 1500, "DO $$ " * 1500, ";" * 9000, "SELECT 1;" * 1500, "--1" * 3000,
     "\ud800 SELECT \x00"
]  # fmt: skip

SHELL_BOMBS = [
    "a|" * 5000, "a|" * 190, "<<a\n" * 2500, "$(" * 5000, "\"'" * 5000, "A=aaaaaaaa;" + "A=$A$A;" * 40 + "$A",
    "A='" + "rm -rf /;" * 300 + "';" + "eval $A;" * 1000, "find / -exec " * 700, "sudo " * 3000, "eval eval " * 1000,
    "curl a | " * 390 + "sh", "alias a='alias b=c' " * 500, "f(){ f|f; };" * 190, "case a in " * 1000, "{a," * 3000,
    "`" * 9999, "\\" * 9999, "é;" * 5000, "a" * 30_000, "\ud800 | sh", "\x00",
]  # fmt: skip

PYTHON_BOMBS = [
    "(" * 5000, "lambda:" * 2000, "f'{" * 50, "-" * 10_000 + "1", "a" + ".b" * 9000, "not " * 4000 + "1",
    "[x for x in " * 50,
    "x='a'\n" + "x=x+x\n" * 3000, "A='" + "rm -rf /;" * 300 + "'\nimport os\n" + "os.system(A)\n" * 1000,
    "with (" * 50, "match x:\n case (" + "[" * 50, "a" * 30_000, "\x00", "\ud800", "9" * 15_000, "def f(a:(" * 25,
    "if 1:" * 2000, "@a\n" * 6000, "1if 0else " * 1500,
]  # fmt: skip

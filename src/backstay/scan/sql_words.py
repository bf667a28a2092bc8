"""What words of SQL mean to `sql_danger`: verbs, functions, and pairs of words that do harm wherever they stand."""

from backstay.scan.rule import Severity

Meaning = tuple[str, Severity, str]

READS = frozenset(
    [
        "select",
        "with",
        "values",
        "show",
        "explain",
        "describe",
        "desc",
        "use",
        "begin",
        "start",
        "commit",
        "rollback",
        "end",
        "table",
        "pragma",
        "set",
        "fetch",
    ]
)
"""Verbs of statements that a parser has to look into; the others have a meaning of their own."""

VERBS: dict[str, Meaning] = {
    **dict.fromkeys(("insert", "update", "delete", "merge", "replace", "upsert"), ("sql_write", "low", "writes rows")),
    **dict.fromkeys(("create", "comment"), ("sql_write", "low", "creates an object")),
    **dict.fromkeys(("drop", "truncate"), ("sql_destructive", "high", "removes an object or all its rows")),
    **dict.fromkeys(("alter", "rename"), ("sql_destructive", "high", "changes an object")),
    **dict.fromkeys(("kill", "shutdown"), ("sql_destructive", "high", "stops a connection or the server")),
    **dict.fromkeys(("grant", "revoke", "deny"), ("sql_privilege", "high", "changes privileges")),
    **dict.fromkeys(("attach", "detach"), ("sql_file", "critical", "opens another database file")),
    **dict.fromkeys(("load", "install", "restore", "backup"), ("sql_file", "critical", "reads or writes files")),
    "copy": ("sql_file", "high", "copies to or from files"),
    **dict.fromkeys(
        ("exec", "execute", "call", "do", "prepare", "declare"),
        ("sql_dynamic", "medium", "runs code that is not seen here"),
    ),
    **dict.fromkeys(
        ("vacuum", "analyze", "optimize", "reindex", "cluster", "flush", "reset", "lock", "unlock", "notify"),
        ("sql_write", "low", "maintenance"),
    ),
}
"""Kind, severity and words for the first word of a statement."""

PAIRS: dict[tuple[str, str], Meaning] = {
    ("into", "outfile"): ("sql_file", "critical", "writes a file"),
    ("into", "dumpfile"): ("sql_file", "critical", "writes a file"),
    ("to", "program"): ("sql_file", "critical", "starts a program"),
    ("from", "program"): ("sql_file", "critical", "starts a program"),
    ("data", "infile"): ("sql_file", "critical", "reads a file"),
    ("local", "infile"): ("sql_file", "critical", "reads a file"),
    ("waitfor", "delay"): ("sql_time", "medium", "waits"),
    ("waitfor", "time"): ("sql_time", "medium", "waits"),
    ("set", "role"): ("sql_privilege", "high", "changes the role"),
    ("reset", "role"): ("sql_privilege", "high", "changes the role"),
    ("set", "password"): ("sql_privilege", "high", "changes a password"),
    ("session", "authorization"): ("sql_privilege", "high", "changes the role"),
    ("security", "definer"): ("sql_privilege", "high", "code with the owner's privileges"),
    ("set", "global"): ("sql_privilege", "high", "changes a setting of the server"),
    ("set", "persist"): ("sql_privilege", "high", "changes a setting of the server"),
    ("create", "extension"): ("sql_privilege", "high", "loads code into the server"),
    **{
        (verb, thing): ("sql_privilege", "high", "creates, changes or removes an account")
        for verb in ("create", "alter", "drop")
        for thing in ("user", "role", "login", "group")
    },
    ("alter", "default"): ("sql_privilege", "high", "changes privileges"),
    ("alter", "system"): ("sql_privilege", "high", "changes a setting of the server"),
}
"""Two words in a row, neither of them quoted."""

LOST_PAIRS: dict[tuple[str, str], Meaning] = {
    **{("drop", thing): VERBS["drop"] for thing in ("table", "database", "schema", "view", "index", "column")},
    ("truncate", "table"): VERBS["truncate"],
    ("delete", "from"): VERBS["delete"],
    ("insert", "into"): VERBS["insert"],
    ("alter", "table"): VERBS["alter"],
    ("grant", "all"): VERBS["grant"],
}
"""Looked for besides in a statement that did not parse, where no tree says what it does."""


def _all(names: str, meaning: Meaning) -> dict[str, Meaning]:
    return dict.fromkeys(names.split(), meaning)


FUNCTIONS: dict[str, Meaning] = {
    **_all("pg_sleep pg_sleep_for pg_sleep_until sleep benchmark receive_message", ("sql_time", "medium", "waits")),
    **_all(
        "load_file pg_read_file pg_read_binary_file pg_ls_dir pg_stat_file lo_import lo_export readfile writefile "
        "load_extension openrowset opendatasource openquery bulk utl_file pg_file_write read_csv read_text read_blob "
        "read_parquet read_json",
        ("sql_file", "critical", "reads or writes files"),
    ),
    **_all(
        "xp_cmdshell xp_dirtree xp_fileexist xp_regread xp_regwrite sp_oacreate sp_configure sys_exec sys_eval edit "
        "fts3_tokenizer dblink dblink_exec dblink_connect query_to_xml utl_http httpuritype",
        ("sql_file", "critical", "reaches out of the database"),
    ),
    **_all(
        "set_config pg_terminate_backend pg_reload_conf", ("sql_privilege", "high", "changes the server or session")
    ),
}
"""Functions by name; only where an opening parenthesis follows, but those of `BARE` anywhere."""

BARE = frozenset(
    ["xp_cmdshell", "xp_dirtree", "xp_fileexist", "xp_regread", "xp_regwrite", "sp_oacreate", "sp_configure"]
)

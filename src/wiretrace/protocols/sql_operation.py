"""The operation of an SQL text: its verbs and their targets, in the order and case of the text.

Follows OpenTelemetry's "Generating a summary of the query text": ``SELECT orders customers``, ``INSERT a SELECT b``,
``CREATE TABLE t``; at most 255 characters and never cut inside a name. Literals and comments are gone before this file
sees the text. Names that programs make up (cursors, savepoints, prepared statements) are left out, so that an
application has few distinct operations.
"""

import re

_LONGEST = 255
_NAME = r'(?:"[^"]*+"?+|`[^`]*+`?+|\[[\w $#@-]*+\]|[\w$#@]++)'
_TOKEN = re.compile(_NAME + r"(?>(?: ?\. ?(?:" + _NAME + r"|\*))*)|[(),;]")
_QUOTES = str.maketrans("", "", '"`[]')

_DATA = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "VALUES", "WITH", "TABLE"})
_DATA_VERBS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
_DEFINITION = frozenset({"CREATE", "ALTER", "DROP"})
_OBJECTS = frozenset(
    [
        "TABLE",
        "VIEW",
        "INDEX",
        "PROCEDURE",
        "FUNCTION",
        "TRIGGER",
        "DATABASE",
        "SCHEMA",
        "SEQUENCE",
        "USER",
        "ROLE",
        "TYPE",
        "EXTENSION",
        "EVENT",
        "POLICY",
        "DOMAIN",
        "SERVER",
        "TABLESPACE",
        "PUBLICATION",
        "SUBSCRIPTION",
        "RULE",
        "AGGREGATE",
        "LANGUAGE",
        "LOGIN",
        "COLLATION",
        "CAST",
        "OPERATOR",
        "SYNONYM",
        "KEYSPACE",
    ]
)
_BODIES = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"})
"""Objects whose definition may hold semicolons that end no statement."""
_BEFORE_NAME = frozenset({"IF", "NOT", "EXISTS", "CONCURRENTLY", "ONLY"})
_NAMED = frozenset(
    {"CALL", "EXEC", "EXECUTE", "USE", "LISTEN", "NOTIFY", "UNLISTEN", "DESCRIBE", "DESC", "SHOW", "PRAGMA"}
)
"""Verbs with the next name as their target."""
_TABLE_VERBS = frozenset(
    {"TRUNCATE", "LOCK", "VACUUM", "COPY", "ANALYZE", "OPTIMIZE", "CHECK", "REPAIR", "CLUSTER", "REINDEX"}
)
_TABLE_OPTIONS = frozenset(
    {"TABLE", "TABLES", "FULL", "FREEZE", "VERBOSE", "ANALYZE", "ONLY", "LOCAL", "INDEX", "DATABASE"}
)
_PREFIXES = frozenset({"EXPLAIN", "DECLARE", "PREPARE"})
"""Verbs in front of another statement."""
_ALONE = frozenset(
    [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "END",
        "ABORT",
        "SAVEPOINT",
        "FETCH",
        "CLOSE",
        "MOVE",
        "DEALLOCATE",
        "DISCARD",
        "RESET",
        "CHECKPOINT",
        "GRANT",
        "REVOKE",
        "KILL",
        "FLUSH",
        "UNLOCK",
        "DO",
        "XA",
        "LOAD",
        "REFRESH",
        "COMMENT",
        "SECURITY",
        "HANDLER",
        "HELP",
        "INSTALL",
        "UNINSTALL",
        "PURGE",
        "CHANGE",
        "STOP",
        "SHUTDOWN",
        "BINLOG",
        "START_REPLICATION",
        "IDENTIFY_SYSTEM",
        "BASE_BACKUP",
        "CREATE_REPLICATION_SLOT",
        "DROP_REPLICATION_SLOT",
        "TIMELINE_HISTORY",
        "READ_REPLICATION_SLOT",
        "IF",
        "WHILE",
        "WAITFOR",
        "PRINT",
        "RETURN",
        "RAISERROR",
        "SIGNAL",
        "GO",
        "DBCC",
        "BACKUP",
        "RESTORE",
    ]
)
_SCOPES = frozenset({"SESSION", "LOCAL", "GLOBAL", "PERSIST"})
_LIST_ENDS = frozenset(
    [
        "WHERE",
        "SET",
        "GROUP",
        "ORDER",
        "HAVING",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "FOR",
        "WINDOW",
        "RETURNING",
        "VALUES",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "SELECT",
    ]
)
_UNIONS = frozenset({"UNION", "EXCEPT", "INTERSECT", "MINUS"})


def operation_of(text: str) -> str:
    """The operation of a redacted text in one line. Several statements are joined by '; ', repetitions once."""
    tokens = _TOKEN.findall(text)
    operations: list[str] = []
    length = 0
    at = 0
    while at < len(tokens):
        if tokens[at] in "();,":
            at += 1
            continue
        parts, at = _statement(tokens, at)
        operation = _joined(parts)
        if not operations or operations[-1] != operation:
            length += len(operation) + 2
            if operations and length > _LONGEST:
                break
            operations.append(operation)
    return "; ".join(operations) or "SQL"


def _joined(parts: list[str]) -> str:
    length = -1
    for index, part in enumerate(parts):
        length += len(part) + 1
        if length > _LONGEST:
            return " ".join(parts[:index])
    return " ".join(parts)


def _statement(tokens: list[str], at: int) -> tuple[list[str], int]:
    """The parts of the operation of the statement at `at`, and where the next one begins."""
    verb = tokens[at]
    word = verb.upper()
    if word in _DATA:
        return _data(tokens, at)
    end = _end(tokens, at)
    if word in _DEFINITION:
        return _definition(tokens, at, end)
    if word in _PREFIXES:
        for index in range(at + 1, end):
            if tokens[index].upper() in _DATA:
                parts, end = _data(tokens, index)
                return [verb, *parts], end
        return [verb], end
    if word in _NAMED:
        return [verb, *_name(tokens, at + 1, end)], end
    if word in _TABLE_VERBS:
        index = at + 1
        while index < end and tokens[index].upper() in _TABLE_OPTIONS:
            index += 1
        if index < end and tokens[index] == "(":
            parts, end = _data(tokens, index + 1) if word == "COPY" and index + 1 < end else ([], end)
            return [verb, *parts], end
        return [verb, *_name(tokens, index, end)], end
    if word == "SET":
        index = at + 1
        while index < end and tokens[index].upper() in _SCOPES:
            index += 1
        return [verb, *_name(tokens, index, end)], end
    if word == "START":
        return [verb, *_name(tokens, at + 1, end)], end
    return [verb if word in _ALONE else "SQL"], end


def _end(tokens: list[str], at: int) -> int:
    try:
        return tokens.index(";", at)
    except ValueError:
        return len(tokens)


def _name(tokens: list[str], at: int, end: int) -> list[str]:
    return [tokens[at].translate(_QUOTES)] if at < end and tokens[at] not in "()," else []


def _definition(tokens: list[str], at: int, end: int) -> tuple[list[str], int]:
    verb = tokens[at]
    for index in range(at + 1, min(at + 8, end)):
        kind = tokens[index].upper()
        if kind in _OBJECTS:
            if kind in _BODIES:
                end = len(tokens)
            name = index + 1
            while name < end and tokens[name].upper() in _BEFORE_NAME:
                name += 1
            if name < end and tokens[name].upper() == "ON" and kind == "INDEX":
                return [verb, tokens[index]], end
            return [verb, tokens[index], *_name(tokens, name, end)], end
    return [verb], end


def _data(tokens: list[str], at: int) -> tuple[list[str], int]:
    """SELECT, INSERT, UPDATE, DELETE, MERGE and what is nested in them, up to the end of the statement."""
    parts: list[str] = []
    local = _common_tables(tokens, at) if tokens[at].upper() == "WITH" else frozenset[str]()
    queries = [True]  # by depth of parentheses: whether a query stands there, so that FROM names tables
    lists = [False]  # by depth: whether a comma leads to another table
    previous = "("
    expected = False  # whether a table comes next
    inserted = False  # whether that one is a table even in front of a parenthesis
    united = False
    for index in range(at, len(tokens)):
        token = tokens[index]
        word = token.upper()
        if token == ";":
            return parts or ["SQL"], index + 1
        if token == "(":
            opens = index + 1 < len(tokens) and tokens[index + 1].upper() in _DATA
            queries.append(opens or expected)
            lists.append(expected and not opens)
            expected = expected and not opens
        elif token == ")":
            if len(queries) > 1:
                queries.pop()
                lists.pop()
            expected = False
        elif token == ",":
            expected, inserted = lists[-1], False
        elif word == "SELECT" and not expected:
            if not united:
                parts.append(token)
            united = lists[-1] = False
        elif word in _DATA_VERBS and (previous in "()" or previous == "AS") and not expected:
            following = tokens[index + 1] if index + 1 < len(tokens) else ""
            if following != "(":  # REPLACE(...) and INSERT(...) are also functions
                parts.append(token)
                if word == "DELETE":  # FROM may be left out in T-SQL
                    expected = inserted = following.upper() != "FROM" and not _names_tables(tokens, index)
                else:
                    expected = inserted = word == "UPDATE" or following.upper() != "INTO"
        elif word in ("FROM", "USING") and queries[-1] and previous != "DISTINCT":
            # USING names tables in DELETE and MERGE, and columns, in parentheses, behind JOIN.
            expected = word == "FROM" or (index + 1 < len(tokens) and tokens[index + 1] != "(")
            inserted = False
            lists[-1] = expected
        elif word == "INTO":
            expected = inserted = True
        elif word == "JOIN":
            expected, inserted = True, False
        elif expected and word in ("ONLY", "LATERAL", "IGNORE", "LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "TOP"):
            pass
        elif expected:
            expected = False
            function = not inserted and index + 1 < len(tokens) and tokens[index + 1] == "("
            name = token.translate(_QUOTES)
            if not function and name.lower() not in local and name[:1] not in "@":
                parts.append(name)
        elif word in _LIST_ENDS:
            lists[-1] = False
            united = word in _UNIONS
        elif word in _UNIONS:
            united = True
        previous = word
    return parts or ["SQL"], len(tokens)


def _names_tables(tokens: list[str], at: int) -> bool:
    """Whether FROM stands somewhere behind `at` in the statement: it names what the statement is about."""
    return any(token.upper() == "FROM" for token in tokens[at : _end(tokens, at)])


def _common_tables(tokens: list[str], at: int) -> frozenset[str]:
    """The names that a WITH clause defines: they are no tables."""
    names = set()
    for index in range(at + 2, len(tokens) - 1):
        if tokens[index].upper() == "AS" and (
            tokens[index + 1] == "(" or tokens[index + 1].upper() in ("MATERIALIZED", "NOT")
        ):
            before = index - 1
            if tokens[before] == ")":
                while before > at and tokens[before] != "(":
                    before -= 1
                before -= 1
            names.add(tokens[before].translate(_QUOTES).lower())
    return frozenset(names)

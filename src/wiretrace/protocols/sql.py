"""SQL text: what a statement does, the same text without its literals, and the literals.

Rules that hold here:

- Redaction comes first: whatever is not surely a name, a keyword or an operator becomes ``?``; a literal or a comment
  whose end is missing runs to the end of the text.
- One pass of one regular expression finds literals, comments and quoted names. Every repetition in it is possessive (of a
  character), atomic (of a group: possessive groups do not step back in Python before 3.11.5) or runs up to a fixed text,
  so that no input takes more than linear time.
- A text is read once: results are cached by the raw text, and what depends on the redacted text alone by that.
"""

import enum
import functools
import re
from typing import NamedTuple

from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.limits import Limits
from wiretrace.protocols.sql_operation import operation_of


class Dialect(enum.StrEnum):
    """How a database reads quotes and comments."""

    STANDARD = "standard"
    """PostgreSQL, and near enough most others: "name", E'it\\'s', $tag$text$tag$, comments inside comments."""
    MYSQL = "mysql"
    """MySQL and MariaDB: `name`, "text", backslash escapes, # comments, /*! executable comments */."""
    TSQL = "tsql"
    """SQL Server and Sybase: [name], "name", N'text', $12.50, comments inside comments."""


class Statement(NamedTuple):
    """One SQL text, which may hold several statements."""

    operation: str
    """Verbs and their targets: 'SELECT orders', 'INSERT order_lines', 'COMMIT', 'CALL p'."""
    summary: str
    """The text in one line, without comments, literals replaced by '?'."""
    literals: bytes
    """The literals without their quotes, and the text of comments, separated by spaces."""
    identifiers: tuple[tuple[IdentifierKind, bytes], ...]
    """The trace id of an SQLCommenter comment."""


_STATEMENT_BYTES = Limits().statement_bytes
_CACHED_BYTES = 2048  # longer texts are mostly bulk data: caching them would cost memory and save nothing
_LINE = rb"[^\r\n]*+"
_NUMBER = (
    # The first character is read already. A digit may not continue a name or a parameter (c3po, $1) ...
    rb"(?:(?<=[0-9])(?<![\w$\x80-\xff].)(?>(?:(?<=0)[xXbB][0-9A-Fa-f]++)?)"
    # ... a point may not select a column; a sign belongs to the number unless it stands behind an operand.
    rb"|(?<=\.)(?<![\w$)\]\x80-\xff].)(?=[0-9])"
    rb"|(?<=[-+])(?<![A-Za-z_$)\]\x80-\xff\"`].)(?=\.?[0-9])(?>(?:0[xX][0-9A-Fa-f]++)?))"
    rb"[0-9.]*+(?>(?:[eE][-+]?[0-9]++)?)"
)
_STANDARD_LITERAL = rb"['0-9.+\-](?:(?<=')[^']*+(?>(?:''[^']*+)*)'?+|" + _NUMBER + rb")"
_MYSQL_LITERAL = (
    rb"['\"0-9.+\-](?:(?<=')(?>(?:[^'\\]++|\\.?+|'')*)'?+|(?<=\")(?>(?:[^\"\\]++|\\.?+|\"\")*)\"?+|" + _NUMBER + rb")"
)
_ESCAPE_STRING = rb"(?<![\w$\x80-\xff])[eE]'(?>(?:[^'\\]++|\\.?+|'')*)'?+"
_DOLLAR_QUOTED = rb"(?<![\w$\x80-\xff])\$(?P<tag>(?>(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*+)?))\$.*?(?:\$(?P=tag)\$|\Z)"
_NESTED_COMMENT = (
    # One comment inside another is followed; a deeper one takes the rest of the text with it.
    rb"/\*(?>(?:[^*/]++|\*(?!/)|/(?!\*)|/\*(?>(?:[^*/]++|\*(?!/)|/(?!\*))*)\*/)*)(?>(?:\*/|/\*.*+)?)"
)
_MYSQL_COMMENT = rb"/\*(?:M?!\d*+|(?>(?:[^*]++|\*(?!/))*)(?>(?:\*/)?))|\*/|\#" + _LINE + rb"|--(?=[\s\x00]|\Z)" + _LINE


def _quoted_names(quote: bytes) -> bytes:
    """A run of quoted names with what may stand between them, as one token: ORM statements hold dozens."""
    name = quote + rb"[^" + quote + rb"]*+" + quote + rb"?+"
    return name + rb"(?>(?:[A-Za-z_\s.,()=<>]*+" + name + rb")*)"


_BRACKETED = rb"\[[^\]]*+(?>(?:\]\][^\]]*+)*)\]?+"
_PLAIN = {
    Dialect.STANDARD: re.compile(
        rb"(['0-9.+\-\"$/](?:(?<=')(?>(?:(?<![eE].)[^']*+(?>(?:''[^']*+)*)'?+)?)|"
        + _NUMBER
        + rb"|(?<=\")|(?<=-)-|(?<=/)\*|(?<=\$)(?![0-9])))",
        re.DOTALL,
    ),
    Dialect.MYSQL: re.compile(
        rb"(['\"0-9.+\-`#/*](?:(?<=')(?>(?:[^'\\]++|\\.?+|'')*)'?+|(?<=\")(?>(?:[^\"\\]++|\\.?+|\"\")*)\"?+|"
        + _NUMBER
        + rb"|(?<=[`\#])|(?<=-)-|(?<=/)\*|(?<=\*)/))",
        re.DOTALL,
    ),
    Dialect.TSQL: re.compile(
        rb"(['0-9.+\-\"\[/$](?:(?<=')[^']*+(?>(?:''[^']*+)*)'?+|"
        + _NUMBER
        + rb"|(?<=[\"\[])|(?<=-)-|(?<=/)\*|(?<=\$)(?<![\w@#$].)[0-9.]++))",
        re.DOTALL,
    ),
}
"""Literals, or the opening of what `_FULL` is needed for: comments, quoted names, the rarer kinds of strings."""
_RARE = frozenset({b"'", b'"', b"--", b"$", b"/*", b"*/", b"`", b"#", b"["})
"""Tokens of `_PLAIN` that are such an opening."""
_FULL = {
    Dialect.STANDARD: re.compile(
        rb"(?P<kept>" + _quoted_names(b'"') + rb")|(?P<comment>--" + _LINE + rb"|" + _NESTED_COMMENT + rb")"
        rb"|" + _ESCAPE_STRING + rb"|" + _DOLLAR_QUOTED + rb"|" + _STANDARD_LITERAL,
        re.DOTALL,
    ),
    Dialect.MYSQL: re.compile(
        rb"(?P<kept>" + _quoted_names(b"`") + rb")|(?P<comment>" + _MYSQL_COMMENT + rb")|" + _MYSQL_LITERAL, re.DOTALL
    ),
    Dialect.TSQL: re.compile(
        rb"(?P<kept>"
        + _quoted_names(b'"')
        + rb"|"
        + _BRACKETED
        + rb"(?>(?:[A-Za-z_\s.,()=<>]*+"
        + _BRACKETED
        + rb")*))"
        rb"|(?P<comment>--" + _LINE + rb"|" + _NESTED_COMMENT + rb")|(?<![\w@#$])\$[0-9.]++|" + _STANDARD_LITERAL,
        re.DOTALL,
    ),
}
_TRACEPARENT = re.compile(rb"traceparent\s*=\s*'?[0-9a-fA-F]{2}-([0-9a-fA-F]{32})-[0-9a-fA-F]{16}-[0-9a-fA-F]{2}")
_NO_TRACE = b"0" * 32
_PREFIX = re.compile(r"(?<![\w$])(?:[xXbBnNeE]|[uU]&|_[a-z0-9]+ ?)\?")
_LIST = re.compile(r"((?i:\bIN) ?)\( ?\?(?>(?: ?, ?\?)+) ?\)")
_ROWS = re.compile(r"(?i:(?<=VALUES )|(?<=VALUES))(\([^()]{0,400}\))(?>(?: ?, ?\1)+)")
_PLACEHOLDER_LIST = re.compile(r"(?i:\bIN ?)\( ?\$[0-9]++(?>(?: ?, ?\$[0-9]++)+) ?\)")
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def fingerprint(statement: bytes, dialect: Dialect = Dialect.STANDARD) -> Statement:
    """What `statement` does, its text without literals, and the literals. Bears any bytes, and text cut anywhere."""
    if len(statement) > _CACHED_BYTES:
        return _read(statement[:_STATEMENT_BYTES], dialect)
    return _read_cached(statement, dialect)


def literals(statement: bytes, dialect: Dialect = Dialect.STANDARD) -> bytes:
    """The literals of `statement`, without quotes, separated by spaces."""
    return fingerprint(statement, dialect).literals


def one_line(statement: bytes) -> str:
    """The text as it is, literals included, in one line without control characters."""
    return _UNPRINTABLE.sub(" ", statement[:_STATEMENT_BYTES].decode("utf-8", "replace")).strip()


def _read(statement: bytes, dialect: Dialect) -> Statement:
    parts = _PLAIN[dialect].split(statement)
    if not _RARE.isdisjoint(parts):
        return _read_carefully(statement, dialect)
    operation, summary = _describe(b"?".join(parts[::2]))
    found = b" ".join([part.strip(b"'\"") for part in parts[1::2]])
    return Statement(operation, summary, found, ())


_read_cached = functools.lru_cache(maxsize=8192)(_read)


def _read_carefully(statement: bytes, dialect: Dialect) -> Statement:
    """Any text: comments are taken out, quoted names kept."""
    kept: list[bytes] = []
    found: list[bytes] = []
    identifiers: tuple[tuple[IdentifierKind, bytes], ...] = ()
    at = 0
    for token in _FULL[dialect].finditer(statement):
        kept.append(statement[at : token.start()])
        at = token.end()
        kind = token.lastgroup
        text = token.group()
        if kind == "kept":
            kept.append(text)
        elif kind == "comment":
            kept.append(b" ")
            found.append(text.strip(b"/*-#! "))
            trace = _TRACEPARENT.search(text)
            if trace is not None and trace[1] != _NO_TRACE:
                identifiers = ((IdentifierKind.SQLCOMMENTER, trace[1].lower()),)
        else:
            kept.append(b"?")
            found.append(text.strip(b"'\"") if text[:1] != b"$" else text.strip(b"$"))
    kept.append(statement[at:])
    return Statement(*_describe(b"".join(kept)), b" ".join(found), identifiers)


@functools.lru_cache(maxsize=4096)
def _describe(redacted: bytes) -> tuple[str, str]:
    """Operation and summary of a text whose literals and comments are gone. Few distinct ones come by."""
    text = _UNPRINTABLE.sub(" ", redacted.decode("utf-8", "replace")).strip(" ;")
    text = _PREFIX.sub("?", text)
    text = _LIST.sub(r"\1(?)", text) if not _inserts(text) else _ROWS.sub(r"\1, ...", text)
    text = _PLACEHOLDER_LIST.sub("IN (?)", text)
    return operation_of(text), text


def _inserts(text: str) -> bool:
    return text[:7].upper() in ("INSERT ", "REPLACE")

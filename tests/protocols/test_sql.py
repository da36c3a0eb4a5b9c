"""SQL texts: operation, redaction, literals, comments, and time that grows with length alone."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wiretrace
from wiretrace.model.identifier import IdentifierKind
from wiretrace.model.limits import Limits
from wiretrace.protocols.sql import Dialect, fingerprint, literals, one_line

OPERATIONS = [
    ("SELECT 12, -12, +12, .01, 12.34e-56", "SELECT", "SELECT ?, ?, ?, ?, ?"),
    ("SELECT 99+100", "SELECT", "SELECT ??"),
    ("SELECT stock-1 FROM goods", "SELECT goods", "SELECT stock-? FROM goods"),
    ("SELECT 0xDEADBEEF, X'1F', b'01', E'it\\'s', 'My name''s'", "SELECT", "SELECT ?, ?, ?, ?, ?"),
    ("SELECT c3po FROM covid19 WHERE n1=1234", "SELECT covid19", "SELECT c3po FROM covid19 WHERE n1=?"),
    ("SELECT a FROM dbo.t JOIN dbo.u", "SELECT dbo.t dbo.u", "SELECT a FROM dbo.t JOIN dbo.u"),
    ("SELECT * FROM t WHERE v IN (1, 2, 'a')", "SELECT t", "SELECT * FROM t WHERE v IN (?)"),
    ("SELECT * FROM t WHERE v IN ($1, $2)", "SELECT t", "SELECT * FROM t WHERE v IN (?)"),
    ("SELECT a -- why\nFROM /* b\n c */ t", "SELECT t", "SELECT a FROM t"),
    ("INSERT INTO X VALUES(1, 2.5)", "INSERT X", "INSERT INTO X VALUES(?, ?)"),
    ("insert into t (a,b) values (1,'x'),(2,'y')", "insert t", "insert into t (a,b) values (?,?), ..."),
    ("INSERT INTO a (x) SELECT y FROM b", "INSERT a SELECT b", "INSERT INTO a (x) SELECT y FROM b"),
    ("SELECT d FROM (SELECT * FROM o JOIN c ON o.i = c.i)", "SELECT SELECT o c", None),
    ("SELECT * FROM o x, d y", "SELECT o d", None),
    ("SELECT a FROM o UNION SELECT a FROM s", "SELECT o s", None),
    ("SELECT extract(year FROM at) FROM o WHERE a IS DISTINCT FROM b FOR UPDATE", "SELECT o", None),
    ("SELECT * FROM generate_series(1, 3)", "SELECT", "SELECT * FROM generate_series(?, ?)"),
    ("WITH r AS (SELECT 1 FROM x) SELECT * FROM r JOIN y USING (id)", "SELECT x SELECT y", None),
    ("UPDATE orders SET a = 1 WHERE id = 2", "UPDATE orders", "UPDATE orders SET a = ? WHERE id = ?"),
    ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1", "INSERT t", None),
    ("DELETE FROM orders WHERE id = 1", "DELETE orders", None),
    ("CREATE UNIQUE INDEX ix ON t (a)", "CREATE INDEX ix", None),
    ("DROP TABLE IF EXISTS t", "DROP TABLE t", None),
    (
        "CREATE FUNCTION f() RETURNS int AS $$ SELECT 'secret'; $$",
        "CREATE FUNCTION f",
        "CREATE FUNCTION f() RETURNS int AS ?",
    ),
    ("CALL p(1, 'a')", "CALL p", "CALL p(?, ?)"),
    ("EXEC sp_rename 'a', 'b';", "EXEC sp_rename", "EXEC sp_rename ?, ?"),
    ("BEGIN", "BEGIN", "BEGIN"),
    ("COMMIT;", "COMMIT", "COMMIT"),
    ("SAVEPOINT s17", "SAVEPOINT", None),
    ("BEGIN; UPDATE a SET x=1; UPDATE a SET x=2; COMMIT", "BEGIN; UPDATE a; COMMIT", None),
    ("EXPLAIN ANALYZE SELECT * FROM t", "EXPLAIN SELECT t", None),
    ('DECLARE "c" CURSOR FOR SELECT * FROM t', "DECLARE SELECT t", None),
    ("COPY items (a, b) FROM STDIN", "COPY items", None),
    ("SET LOCAL timezone TO 'UTC'", "SET timezone", "SET LOCAL timezone TO ?"),
    (
        'SELECT "o"."a" FROM "s"."my table" WHERE "x" = \'v\'',
        "SELECT s.my table",
        'SELECT "o"."a" FROM "s"."my table" WHERE "x" = ?',
    ),
    ("SELECT $t$ secret $x$ $t$, $1, a$b$c FROM t", "SELECT t", "SELECT ?, $1, a$b$c FROM t"),
    ("/* a /* b */ 'secret' */ SELECT 1", "SELECT", "SELECT ?"),
    ("xyzzy 'secret'", "SQL", "xyzzy ?"),
    ("", "SQL", ""),
]
MYSQL_OPERATIONS = [
    (
        "SELECT `a`, \"it's\", 'b\\'c' FROM `d`.`t` # x\n WHERE y=0x1F",
        "SELECT d.t",
        "SELECT `a`, ?, ? FROM `d`.`t` WHERE y=?",
    ),
    ("SELECT `it's` FROM t WHERE a = 'secret'", "SELECT t", "SELECT `it's` FROM t WHERE a = ?"),
    ("/*!40101 SET NAMES utf8 */", "SET NAMES", "SET NAMES utf8"),
    ("REPLACE INTO t VALUES (1)", "REPLACE t", None),
    ("SELECT REPLACE(a, 'b', 'c') FROM t", "SELECT t", None),
    ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a=1", "INSERT t", None),
    ("USE shop", "USE shop", "USE shop"),
]


@pytest.mark.parametrize(("text", "operation", "summary"), OPERATIONS)
def test_operation_and_redacted_text(text: str, operation: str, summary: str | None) -> None:
    """Verbs and targets are found as OpenTelemetry's conventions ask, and literals become '?'."""
    read = fingerprint(text.encode())
    assert read.operation == operation
    assert summary is None or read.summary == summary


@pytest.mark.parametrize(("text", "operation", "summary"), MYSQL_OPERATIONS)
def test_the_dialect_of_mysql(text: str, operation: str, summary: str | None) -> None:
    """Backquotes, double-quoted strings, backslashes, # and executable comments are read as MySQL reads them."""
    read = fingerprint(text.encode(), Dialect.MYSQL)
    assert read.operation == operation
    assert summary is None or read.summary == summary


def test_a_trace_id_in_a_comment_is_found_and_the_comment_left_out() -> None:
    """SQLCommenter's traceparent becomes an identifier; the summary has no comment."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    text = f"SELECT a FROM t /*app='x',traceparent='00-{trace}-b7ad6b7169203331-01'*/"
    for dialect in Dialect:
        read = fingerprint(text.encode(), dialect)
        assert read.identifiers == ((IdentifierKind.SQLCOMMENTER, trace.encode()),)
        assert read.summary == "SELECT a FROM t"
        assert trace.encode() in read.literals
    nothing = text.replace(trace, "0" * 32)
    assert fingerprint(nothing.encode()).identifiers == ()


def test_literals_are_handed_on_without_quotes() -> None:
    """What links a statement to other calls are its literals."""
    assert literals(b"SELECT * FROM t WHERE a = 'ab-12' AND b IN (17, 0x1F)") == b"ab-12 17 0x1F"
    assert literals(b'SELECT "a" FROM t WHERE a = $x$ab-12$x$') == b"x$ab-12$x"
    assert literals(b'SELECT `a` FROM t WHERE a = "ab-12"', Dialect.MYSQL) == b"ab-12"


def test_a_long_operation_is_not_cut_inside_a_name() -> None:
    """255 characters are the most, and a name that does not fit is left out."""
    assert fingerprint(b"SELECT * FROM " + b"x" * 260).operation == "SELECT"
    names = b", ".join(b"table_%d" % number for number in range(100))
    operation = fingerprint(b"SELECT * FROM " + names).operation
    assert 240 < len(operation) <= 255
    assert operation.split()[-1].startswith("table_")


def test_a_long_text_is_cut_and_an_open_string_still_redacted() -> None:
    """Text beyond the limit is not read; a literal without an end hides everything behind its beginning."""
    text = b"INSERT INTO t VALUES ('" + b"secret " * Limits().statement_bytes + b"')"
    read = fingerprint(text)
    assert read.operation == "INSERT t"
    assert read.summary == "INSERT INTO t VALUES (?"


def test_text_in_one_line_has_no_control_characters() -> None:
    """Unredacted text is still one line, and can not move a cursor."""
    assert one_line(b"SELECT\n 'a\x1b[2Jb'\x00\xff") == "SELECT 'a [2Jb' \ufffd"


PIECES = "SELECT |FROM t |'|\"|`|--|\n|/*|*/|#|$a$|$$|E'|\\|''|(|)|,|1|.|-|0x|1e|$1|;|x|\xff|\x00|[|]| AS (|values"
WORDS = st.sampled_from([piece.encode("latin-1") for piece in PIECES.split("|")])


@given(st.lists(WORDS, max_size=60).map(b"".join), st.sampled_from(list(Dialect)))
@settings(max_examples=200, deadline=None)
def test_any_text_is_borne(text: bytes, dialect: Dialect) -> None:
    """No text raises; the summary is one printable line."""
    read = fingerprint(text, dialect)
    assert read.operation
    assert read.summary == "" or read.summary.isprintable() or "\ufffd" in read.summary


@given(st.text(alphabet="ab'\\\"`-/*#$; \n", max_size=12), st.sampled_from(list(Dialect)))
@settings(max_examples=200, deadline=None)
def test_what_a_quoted_literal_holds_never_shows(inner: str, dialect: Dialect) -> None:
    """Whatever a properly escaped string holds, its content is not in the summary, and what follows is read."""
    escaped = inner.replace("'", "''")
    if dialect is Dialect.MYSQL:
        escaped = inner.replace("\\", "\\\\").replace("'", "''")
    read = fingerprint(f"SELECT * FROM t WHERE a = 'secret{escaped}' AND bb = 2".encode(), dialect)
    assert read.summary == "SELECT * FROM t WHERE a = ? AND bb = ?"


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "unit",
    [
        "'",
        '"',
        "/*",
        "*/",
        "$a$",
        "$a",
        "--",
        "((",
        "1",
        "-",
        "e'",
        "\\",
        "a as (",
        "(?,",
        "values (1),",
        "/*a*/",
        '"a"b',
        "`",
        "[",
    ],
)
def test_time_grows_with_length_alone(unit: str, dialect: Dialect) -> None:
    """Repetitions that make careless expressions backtrack are read in milliseconds."""
    longest = Limits().statement_bytes
    text = (unit * longest).encode()[:longest]
    begun = time.process_time()
    fingerprint(b"insert into t values " + text, dialect)
    assert time.process_time() - begun < 0.5


RULES = [
    # Literals of every kind, and what only looks like one.
    ("SELECT 7, -7, +7, 7.5, .5, -.5", "SELECT ?, ?, ?, ?, ?, ?", "SELECT"),
    ("SELECT 7.5e3, -7.5E-3, 0xCAFE, 0XcafE", "SELECT ?, ?, ?, ?", "SELECT"),
    ("SELECT 'paint', 'the painter''s', 'two\nlines'", "SELECT ?, ?, ?", "SELECT"),
    ("SELECT b2b, f16 FROM area51 WHERE k9k=77", "SELECT b2b, f16 FROM area51 WHERE k9k=?", "SELECT area51"),
    ("SELECT (77) AS a, ((77)), ROUND((77), 2)", "SELECT (?) AS a, ((?)), ROUND((?), ?)", "SELECT"),
    (
        "SELECT x FROM stock WHERE n BETWEEN (1) AND (9)",
        "SELECT x FROM stock WHERE n BETWEEN (?) AND (?)",
        "SELECT stock",
    ),
    # Lists of IN are one, other lists are not.
    ("SELECT x FROM stock WHERE id IN (1, 'b', -3)", "SELECT x FROM stock WHERE id IN (?)", "SELECT stock"),
    ("SELECT x FROM stock WHERE id in(0xA, .5)", "SELECT x FROM stock WHERE id in(?)", "SELECT stock"),
    ("CREATE TABLE bins (id INT IDENTITY(5,5))", "CREATE TABLE bins (id INT IDENTITY(?,?))", "CREATE TABLE bins"),
    ("SELECT f(1, 2) FROM stock", "SELECT f(?, ?) FROM stock", "SELECT stock"),
    # Comments go; text that was cut off is borne.
    ("SELECT a -- one\nFROM /* two */ stock", "SELECT a FROM stock", "SELECT stock"),
    ("SELECT a FROM stock WHERE id IN (1, 'b',", "SELECT a FROM stock WHERE id IN (?, ?,", "SELECT stock"),
    (
        "ALTER TABLE bins 'hidden' ADD 5 note varchar(80)",
        "ALTER TABLE bins ? ADD ? note varchar(?)",
        "ALTER TABLE bins",
    ),
    # Targets in their order, in the case of the text.
    ("SELect a FROM Stock s, Bins b", "SELect a FROM Stock s, Bins b", "SELect Stock Bins"),
    ("SELECT a FROM shop.stock LEFT JOIN shop.bins", None, "SELECT shop.stock shop.bins"),
    ("SELECT a FROM (SELECT b FROM stock JOIN bins ON x = y)", None, "SELECT SELECT stock bins"),
    ("SELECT a FROM stock UNION SELECT a FROM bins ORDER BY a", None, "SELECT stock bins"),
    ("INSERT INTO bins (a) SELECT a FROM stock", None, "INSERT bins SELECT stock"),
    ("UPDATE stock SET n = n - 1 WHERE id = 5", "UPDATE stock SET n = n - ? WHERE id = ?", "UPDATE stock"),
    ("DELETE FROM bins WHERE id = 5", "DELETE FROM bins WHERE id = ?", "DELETE bins"),
    # Definitions name what they define.
    ("CREATE UNIQUE INDEX by_name ON stock (name)", None, "CREATE INDEX by_name"),
    ("CREATE VIEW full_bins AS SELECT a FROM bins", None, "CREATE VIEW full_bins"),
    ("CREATE TRIGGER noted ON stock AFTER UPDATE AS BEGIN UPDATE bins SET a = b; END", None, "CREATE TRIGGER noted"),
    ("ALTER PROCEDURE refill @id INT AS UPDATE stock SET n = @id", None, "ALTER PROCEDURE refill"),
    ("DROP SCHEMA IF EXISTS archive", None, "DROP SCHEMA archive"),
    ("CREATE SEQUENCE numbers START WITH 10", "CREATE SEQUENCE numbers START WITH ?", "CREATE SEQUENCE numbers"),
    ("CREATE USER anna WITH PASSWORD = 'hunter2'", "CREATE USER anna WITH PASSWORD = ?", "CREATE USER anna"),
    ("DROP ROLE IF EXISTS painters", None, "DROP ROLE painters"),
    ("EXEC refill @id = 42", "EXEC refill @id = ?", "EXEC refill"),
]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(("text", "redacted", "operation"), RULES)
def test_the_rules_of_opentelemetry_hold_in_every_dialect(
    text: str, redacted: str | None, operation: str, dialect: Dialect
) -> None:
    """Sanitising and summaries as "Generating a summary of the query text" and its published cases have them."""
    found = fingerprint(text.encode(), dialect)
    assert (found.summary, found.operation) == (text if redacted is None else redacted, operation)


@pytest.mark.parametrize(
    ("text", "redacted", "operation"),
    [
        ("SELECT [it's], \"x\" FROM [dbo].[Order Lines] WHERE a = N'O''Hara'", None, "SELECT dbo.Order Lines"),
        ("SELECT TOP 5 * FROM [a--b].[c]]d]", "SELECT TOP ? * FROM [a--b].[c]]d]", "SELECT a--b.c"),
        ("SELECT TOP (5) * FROM stock WITH (NOLOCK)", "SELECT TOP (?) * FROM stock WITH (NOLOCK)", "SELECT stock"),
        ("UPDATE stock SET price = $12.50, cost = -$3", "UPDATE stock SET price = ?, cost = -?", "UPDATE stock"),
        ("SELECT a$5, @p1, #temp.x FROM #temp", "SELECT a$5, @p1, #temp.x FROM #temp", "SELECT #temp"),
        ("DELETE stock WHERE id = @p", "DELETE stock WHERE id = @p", "DELETE stock"),
        ("DELETE s FROM stock s WHERE id = 5", "DELETE s FROM stock s WHERE id = ?", "DELETE stock"),
        ("EXEC sp_rename 'old', N'new'", "EXEC sp_rename ?, ?", "EXEC sp_rename"),
        ("SELECT [unfinished", "SELECT [unfinished", "SELECT"),
    ],
)
def test_the_dialect_of_sql_server(text: str, redacted: str | None, operation: str) -> None:
    found = fingerprint(text.encode(), Dialect.TSQL)
    assert found.operation == operation
    assert found.summary == (text.replace("N'O''Hara'", "?") if redacted is None else redacted)


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Python before 3.11.5 does not step back where such a group fails half-way (gh-106052); an atomic group does."""
    sources = (Path(wiretrace.__file__).parent).rglob("*.py")
    assert not [path.name for path in sources if re.search(r"\)[*+?]\+[^+ ]", path.read_text())]

"""The scorer: what it calls found, invented, right and wrong, on a tree made by hand."""

import pytest
from tests.lab.score import score
from tests.lab.truth import Endpoint, TruthCall

TOLERANCE = 1000
WEB, SHOP, DATABASE = Endpoint("10.0.0.2", 80), Endpoint("10.0.0.3", 8080), Endpoint("10.0.0.4", 5432)
FROM_CLIENT, FROM_WEB, FROM_SHOP = Endpoint("10.0.0.1", 1001), Endpoint("10.0.0.2", 1002), Endpoint("10.0.0.3", 1003)


def truth():
    """A root, the proxied call seen by the callee alone, a statement of two exchanges, and a login."""
    return [
        TruthCall("r", None, "client", "web", "http", "GET /", FROM_CLIENT, WEB, 10**9, 11 * 10**8, tree="r"),
        TruthCall(
            "s", "r", "web", "shop", "http", "GET /", FROM_WEB, SHOP, 102 * 10**7, 108 * 10**7, "callee", tree="r"
        ),
        TruthCall(
            "q",
            "s",
            "shop",
            "pg",
            "postgresql",
            "SELECT",
            FROM_SHOP,
            DATABASE,
            103 * 10**7,
            107 * 10**7,
            exchanges=None,
            tree="r",
        ),
        TruthCall("l", None, "shop", "pg", "postgresql", "login", FROM_SHOP, DATABASE, 0, 10**8, setup=True, tree="l"),
    ]


def wire_call(name, client, server, start, end, parent):
    ends = {
        "client": {"address": client.address, "port": client.port},
        "server": {"address": server.address, "port": server.port},
    }
    return {
        "id": name,
        **ends,
        "start_ns": start,
        "end_ns": end,
        "parent": parent,
        "confidence": 0.9 if parent else None,
    }


def wire():
    """The truth as a perfect analyzer sees it."""
    return [
        wire_call("1", FROM_CLIENT, WEB, 10**9 + 5, 11 * 10**8 - 5, None),
        wire_call("2", FROM_WEB, SHOP, 101 * 10**7, 109 * 10**7, "1"),
        wire_call("3", FROM_SHOP, DATABASE, 103 * 10**7 + 5, 105 * 10**7, "2"),
        wire_call("4", FROM_SHOP, DATABASE, 105 * 10**7, 107 * 10**7 - 5, "2"),
        wire_call("5", FROM_SHOP, DATABASE, 5, 10**8 - 5, None),
    ]


def shares(rows):
    result = score(truth(), rows, TOLERANCE).as_json(examples=3)
    return [result[name] for name in ("found_share", "invented", "parent_right_share", "trees_right_share")]


def test_a_perfect_analysis_is_all_right():
    assert shares(wire()) == [1.0, 0, 1.0, 1.0]


def test_a_missing_call_is_not_found_and_spoils_its_tree():
    rows = wire()
    del rows[2:4]
    assert shares(rows) == [0.66667, 0, 1.0, 0.0]


def test_a_wrong_parent_is_counted_for_each_wire_call():
    rows = wire()
    rows[2]["parent"] = "1"
    assert shares(rows) == [1.0, 0, 0.75, 0.0]


def test_a_root_with_a_parent_is_wrong():
    rows = wire()
    rows[0]["parent"] = "5"
    assert shares(rows) == [1.0, 0, 0.75, 0.0]


def test_a_call_in_no_truth_interval_is_invented_and_spoils_the_tree_it_hangs_in():
    rows = wire()
    rows.append(wire_call("6", FROM_SHOP, DATABASE, 5 * 10**9, 5 * 10**9 + 1, "2"))
    assert shares(rows) == [1.0, 1, 1.0, 0.0]


def test_a_constant_difference_between_the_time_lines_is_taken_away():
    rows = wire()
    for row in rows:
        row["start_ns"] += 2 * 10**9
        row["end_ns"] += 2 * 10**9
    result = score(truth(), rows, 2_000_000).as_json(examples=0)
    assert result["shift_ms"] == pytest.approx(2000, abs=0.3)
    assert result["found_share"] == 1.0


def test_one_exchange_seen_as_two_calls_is_surplus():
    rows = wire()
    rows.append({**rows[0], "id": "again"})
    assert score(truth(), rows, TOLERANCE).as_json(examples=0)["surplus"] == 1

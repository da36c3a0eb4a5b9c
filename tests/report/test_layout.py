"""The map of services: callers left of what they call, no two boxes in one place, also where calls go in circles."""

from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.report.layout import SERVICES_DRAWN, layered

EDGES = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), min_size=1, max_size=30)


def test_a_caller_stands_left_of_what_it_calls() -> None:
    found = layered([("client", "web"), ("web", "shop"), ("shop", "db"), ("web", "db")])
    assert found is not None
    assert {name: x for name, (x, _) in found.boxes.items()} == {"client": 0, "web": 1, "shop": 2, "db": 3}
    assert len(found.lines[3]) == 3, "the line from web to db passes the layer of shop between the boxes"
    assert found.lines[3][1][1] != found.boxes["shop"][1]


@settings(max_examples=100, deadline=None)
@given(EDGES)
def test_every_service_has_a_place_of_its_own_and_every_call_a_line(edges: list[tuple[str, str]]) -> None:
    found = layered(edges)
    assert found is not None
    assert found.boxes.keys() == {name for edge in edges for name in edge}
    assert len(set(found.boxes.values())) == len(found.boxes)
    for (caller, callee), line in zip(edges, found.lines, strict=True):
        assert (line[0], line[-1]) == (found.boxes[caller], found.boxes[callee])
        if caller != callee and (callee, caller) not in edges:
            columns = [x for x, _ in line]
            assert len(set(columns)) == len(columns)


def test_calls_without_a_circle_all_go_to_the_right() -> None:
    edges = [(chr(97 + low), chr(97 + high)) for low in range(6) for high in range(low + 1, 6)]
    found = layered(edges)
    assert found is not None
    assert all(found.boxes[caller][0] < found.boxes[callee][0] for caller, callee in edges)


def test_what_is_too_much_is_not_drawn() -> None:
    assert layered([]) is None
    assert layered([("a", f"service-{number}") for number in range(SERVICES_DRAWN)]) is None

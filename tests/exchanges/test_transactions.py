"""Transactions are numbered alike one by one and for many connections at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wiretrace.exchanges.transactions import TransactionCounter, number_transactions
from wiretrace.model.message import Transaction

STATES = st.lists(st.sampled_from(list(Transaction)), min_size=1, max_size=12)


def test_the_exchange_that_opens_and_the_one_that_closes_belong_to_it() -> None:
    counter = TransactionCounter(0)
    states = [Transaction.IDLE, Transaction.OPEN, Transaction.UNKNOWN, Transaction.FAILED, Transaction.IDLE]
    assert [counter.number(state) for state in [*states, Transaction.IDLE, Transaction.OPEN]] == [-1, 1, 1, 1, 1, -1, 2]


@given(st.lists(st.tuples(STATES, STATES), min_size=1, max_size=5))
def test_at_once_as_one_by_one(connections: list[tuple[list[Transaction], list[Transaction]]]) -> None:
    """In two chunks, the second of which begins inside transactions that the first left open."""
    single = [TransactionCounter(number) for number in range(len(connections))]
    at_once = [TransactionCounter(number) for number in range(len(connections))]
    for chunk in (0, 1):
        states = [connection[chunk] for connection in connections]
        expected = [counter.number(state) for counter, each in zip(single, states, strict=True) for state in each]
        firsts = np.cumsum([0] + [len(each) for each in states[:-1]])
        found = number_transactions(np.array([state for each in states for state in each], np.uint8), firsts, at_once)
        assert found.tolist() == expected
        assert [(each.open, each.count) for each in at_once] == [(each.open, each.count) for each in single]

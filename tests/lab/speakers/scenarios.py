"""All servers, in the order in which they are asked."""

from tests.lab.speakers import postgresql

SCENARIOS = (*postgresql.SCENARIOS,)

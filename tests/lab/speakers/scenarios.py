"""All servers, in the order in which they are asked."""

from tests.lab.speakers import memcached, mysql, postgresql, redis

SCENARIOS = (*postgresql.SCENARIOS, *mysql.SCENARIOS, *redis.SCENARIOS, *memcached.SCENARIOS)

"""All servers, in the order in which they are asked."""

from tests.lab.speakers import (
    amqp,
    dns,
    grpc_calls,
    http,
    ldap,
    memcached,
    mqtt,
    mysql,
    nats,
    postgresql,
    redis,
    smtp,
    websocket,
)

SCENARIOS = (
    *postgresql.SCENARIOS,
    *mysql.SCENARIOS,
    *redis.SCENARIOS,
    *memcached.SCENARIOS,
    *amqp.SCENARIOS,
    *http.SCENARIOS,
    *grpc_calls.SCENARIOS,
    *dns.SCENARIOS,
    *mqtt.SCENARIOS,
    *nats.SCENARIOS,
    *ldap.SCENARIOS,
    *smtp.SCENARIOS,
    *websocket.SCENARIOS,
)

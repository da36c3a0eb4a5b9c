"""Kafka: kafka-python and the broker of tests/support/kafka_broker.py."""

from __future__ import annotations

import contextlib
import time

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from tests.protocols.recording.loopback import recorded
from tests.support.kafka_broker import kafka_broker

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def kafka_records() -> None:
    """Producing with headers, in batches, compressed, without acknowledgement, refused; fetching in a group."""
    with kafka_broker() as broker, recorded("kafka_records", broker.port):
        broker.refuse.add(b"too-large")
        server = f"127.0.0.1:{broker.port}"
        producer = KafkaProducer(bootstrap_servers=server, linger_ms=0, enable_idempotence=False, acks=1)
        for number in range(3):
            headers = [("traceparent", TRACE)]
            producer.send("orders", b"order-%d" % number, key=b"customer-77", headers=headers).get(timeout=5)
        with contextlib.suppress(KafkaError):
            producer.send("too-large", b"x" * 100).get(timeout=5)
        producer.close()
        batches = KafkaProducer(
            bootstrap_servers=server, linger_ms=50, compression_type="gzip", enable_idempotence=False, acks=1
        )
        for number in range(20):
            batches.send("orders", b"compressed-%d" % number)
        batches.flush(timeout=5)
        batches.close()
        careless = KafkaProducer(bootstrap_servers=server, acks=0, enable_idempotence=False)
        careless.send("orders", b"order-99")
        careless.flush(timeout=5)
        time.sleep(0.2)
        careless.close()
        consumer = KafkaConsumer(
            "orders",
            bootstrap_servers=server,
            group_id="billing",
            auto_offset_reset="earliest",
            consumer_timeout_ms=800,
        )
        read = sum(1 for _ in consumer)
        assert read == 24, read
        consumer.commit()
        consumer.close()


SCENARIOS = (kafka_records,)

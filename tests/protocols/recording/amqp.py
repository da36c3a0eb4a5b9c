"""AMQP 0-9-1: pika and RabbitMQ."""

from __future__ import annotations

import contextlib
import time

import pika
import pika.exceptions
from tests.protocols.recording.loopback import recorded
from tests.support.brokers import rabbitmq

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def amqp_messages() -> None:
    """Declaring, publishing with and without confirms, returns, consuming with every acknowledgement, getting, an RPC."""
    with rabbitmq() as port, recorded("amqp_messages", port):
        parameters = pika.ConnectionParameters("127.0.0.1", port, heartbeat=30, frame_max=4096)
        producer, consumer = (pika.BlockingConnection(parameters) for _ in range(2))
        taking = consumer.channel()
        taking.queue_declare("orders", auto_delete=True)
        taking.exchange_declare("events", "topic", auto_delete=True)
        taking.queue_declare("audit", auto_delete=True)
        taking.queue_bind("audit", "events", "order.#")
        taking.basic_qos(prefetch_count=10)
        plain = producer.channel()
        for number in range(8):
            headers = {"traceparent": TRACE, "attempt": number, "nested": {"a": [1, None, True]}}
            plain.basic_publish("", "orders", b"order-%d" % number, pika.BasicProperties(headers=headers))
        plain.basic_publish("events", "order.created", b'{"order": 42}', pika.BasicProperties(message_id="m-4711"))
        plain.basic_publish("events", "order.created", b"x" * 6_000, pika.BasicProperties(content_type="text/plain"))
        sure = producer.channel()
        sure.confirm_delivery()
        sure.basic_publish("", "orders", b"order-8", mandatory=True)
        with contextlib.suppress(pika.exceptions.UnroutableError):
            sure.basic_publish("", "no-such-queue", b"lost", mandatory=True)
        seen = []

        def take(channel, method, properties, body) -> None:  # type: ignore[no-untyped-def]
            seen.append(method.delivery_tag)
            time.sleep(0.002)
            if len(seen) == 3:
                channel.basic_ack(method.delivery_tag, multiple=True)
            elif len(seen) == 4:
                channel.basic_nack(method.delivery_tag, requeue=False)
            elif len(seen) == 5:
                channel.basic_reject(method.delivery_tag, requeue=False)
            elif len(seen) > 5:
                channel.basic_ack(method.delivery_tag)

        taking.basic_consume("orders", take)
        consumer.process_data_events(time_limit=0.3)
        taking.basic_consume("audit", lambda *_: None, auto_ack=True)
        consumer.process_data_events(time_limit=0.3)
        getting = consumer.channel()
        getting.queue_declare("pulled", auto_delete=False, exclusive=True)
        getting.basic_publish("", "pulled", b"pull me")
        method, _, _ = getting.basic_get("pulled")
        getting.basic_ack(method.delivery_tag)
        getting.basic_get("pulled")
        consumer.close()
        producer.close()


def amqp_rpc() -> None:
    """A request and its reply by reply-to and correlation id; a closed channel; a refused login."""
    with rabbitmq() as port, recorded("amqp_rpc", port):
        parameters = pika.ConnectionParameters("127.0.0.1", port, heartbeat=30)
        client, server = (pika.BlockingConnection(parameters) for _ in range(2))
        serving, asking = server.channel(), client.channel()
        serving.queue_declare("prices", auto_delete=True)

        def answer(channel, method, properties, body) -> None:  # type: ignore[no-untyped-def]
            reply = pika.BasicProperties(correlation_id=properties.correlation_id)
            channel.basic_publish("", properties.reply_to, b"price 12", reply)
            channel.basic_ack(method.delivery_tag)

        serving.basic_consume("prices", answer)
        replies = asking.queue_declare("", exclusive=True).method.queue
        asking.basic_consume(replies, lambda *_: None, auto_ack=True)
        question = pika.BasicProperties(reply_to=replies, correlation_id="7c9e6679-7425-40de-944b-e07fc1f90ae7")
        asking.basic_publish("", "prices", b"paint", question)
        server.process_data_events(time_limit=0.2)
        client.process_data_events(time_limit=0.2)
        with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
            client.channel().queue_declare("nothing-here", passive=True)
        client.close()
        server.close()
        failing = pika.BlockingConnection(parameters)
        failing.channel().basic_publish("no-such-exchange", "key", b"lost")
        with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
            failing.process_data_events(time_limit=0.2)
        wrong = pika.ConnectionParameters("127.0.0.1", port, credentials=pika.PlainCredentials("guest", "wrong horse"))
        with contextlib.suppress(pika.exceptions.AMQPConnectionError):
            pika.BlockingConnection(wrong)


SCENARIOS = (amqp_messages, amqp_rpc)

"""MQTT: paho-mqtt and Mosquitto."""

from __future__ import annotations

import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from tests.protocols.recording.loopback import recorded
from tests.support.brokers import mosquitto

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def mqtt_messages() -> None:
    """Version 3.1.1 publishes with every quality of service, version 5 subscribes, and the other way round."""
    with mosquitto() as port, recorded("mqtt_messages", port):
        clients = []
        for version in (mqtt.MQTTv311, mqtt.MQTTv5):
            client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"shop-{version}", protocol=version)
            client.username_pw_set("mary", "correct horse")
            client.connect("127.0.0.1", port, keepalive=60)
            client.loop_start()
            time.sleep(0.2)
            client.subscribe(f"orders/{version}/#", qos=2)
            time.sleep(0.2)
            clients.append(client)
        for number in range(3):
            clients[0].publish(f"orders/5/{4711 + number}", b"order-%d" % number, qos=number).wait_for_publish(5)
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("traceparent", TRACE)]
        properties.CorrelationData = b"question-17"
        for number in range(3):
            clients[1].publish("orders/4/new", b"paint " * 200, qos=number, properties=properties).wait_for_publish(5)
        time.sleep(0.3)
        clients[0].unsubscribe("orders/4/#")
        time.sleep(0.2)
        for client in clients:
            client.disconnect()
            client.loop_stop()


SCENARIOS = (mqtt_messages,)

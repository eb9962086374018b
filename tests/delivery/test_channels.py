"""What goes over a real broker is what the contract's table of topics says of it."""

from pathlib import Path
from typing import Any

from inspector.contract.channels import CHANNELS
from tests.brokers import Listener, Mosquitto
from tests.consumer.lines import PLACE, Subscription, line, write_consumer
from tests.support import until


def test_quality_retention_and_expiry_are_those_of_the_contract(tmp_path: Path) -> None:
    own = PLACE.consumer("historian")
    names = {
        **{getattr(PLACE, name): name for name in ("result", "state", "alarm", "heartbeat")},
        PLACE.shadow: "shadow",
        own.ack: "ack",
        own.replay: "replay",
        own.replayed: "replayed",
        own.reply: "consumer-reply",
    }
    table = {channel.name: channel for channel in CHANNELS}
    with Mosquitto(tmp_path) as broker, line(tmp_path, broker.start().port) as station:
        station.put(20)
        assert until(lambda: station.courier.acknowledged == 20)
        with Listener(broker.port, as_published=True) as listener:
            station.tell()
            station.courier.offer_alarm(b"{}")
            station.courier.offer_shadow(b"{}")
            station.courier.beat(b"{}")
            station.put(1)
            settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
            code, said = Subscription(settings, "--expect", "21").wait()
            assert code == 0, said
            assert until(lambda: {m.topic for m in listener.messages} == set(names))
            for message in listener.messages:
                channel = table[names[message.topic]]
                properties: Any = message.properties
                expiry_s = getattr(properties, "MessageExpiryInterval", None)
                found = (message.qos, message.retain, expiry_s is not None)
                assert found == (channel.qos, channel.retain, channel.expiry_s is not None), (
                    message.topic
                )
                assert properties.ContentType == "application/json"
                assert expiry_s is None or expiry_s <= (channel.expiry_s or 0)

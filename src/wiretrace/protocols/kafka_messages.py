"""What Kafka's requests and responses say: topics, partitions, groups, records and errors.

Rules: APIs that carry records, name topics or belong to groups are read as far as they matter, the others by name alone. A
body that is cut off, or of a version that is laid out otherwise, tells what was read until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.model.message import Messaging, QueuedMessage, Result
from wiretrace.protocols.kafka_apis import (
    GROUP_FIRST,
    IN_THE_COURSE_OF_THINGS,
    THROTTLE_BEFORE_ERROR,
    error_name,
)
from wiretrace.protocols.kafka_wire import CutOff, Fields, Records
from wiretrace.protocols.messaging import breadcrumbs, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from wiretrace.model.identifier import IdentifierKind

MOST_TOPICS = 10_000
"""Ids of topics whose names are remembered; beyond it the oldest are forgotten."""
TOPIC_ID_FETCH, TOPIC_ID_PRODUCE = 13, 13
"""Versions from which topics are named by an id alone."""
MOST_QUEUED = 512
"""Batches of one message that are told apart."""
CUT_NOTE = "only the beginning of its records was read"

Topics = dict[bytes, bytes]
"""Names of topics by their ids."""


class Told:
    """What one request or response says."""

    __slots__ = (
        "code",
        "groups",
        "identifiers",
        "names",
        "offset",
        "one_way",
        "partitions",
        "queued",
        "records",
        "values",
    )

    def __init__(self) -> None:
        self.names: list[bytes] = []
        """Topics."""
        self.partitions: list[int] = []
        self.groups: list[bytes] = []
        self.records = Records()
        self.queued: list[QueuedMessage] = []
        self.identifiers: tuple[tuple[IdentifierKind, bytes], ...] = ()
        self.values = b""
        self.code = 0
        """The first error code that is not 0."""
        self.offset = -1
        """Offset of the first record, as the broker gave it."""
        self.one_way = False

    def topic(self, name: bytes) -> None:
        """Take note of a topic."""
        if name and name not in self.names:
            self.names.append(name)

    def judge(self, code: int) -> None:
        """Take note of an error code."""
        self.code = self.code or code

    def add_records(self, topic: bytes, partition: int, fields: Fields) -> None:
        """Read the records of one partition, which `fields` is at, and pass over them."""
        length = fields.length(4)
        if length < 0:
            return
        records = self.records
        before = len(records.identities)
        records.read(fields.data, fields.at, fields.at + length, fields.end)
        for identity in records.identities[before:]:
            if len(self.queued) < MOST_QUEUED:
                self.queued.append(QueuedMessage(topic, b"%d:%b" % (partition, identity)))
        fields.at += length

    def finish(self, value_bytes: int) -> None:
        """Collect values and breadcrumbs."""
        words = [*self.names, *self.groups]
        words += [part for record in self.records.records for part in (record.key, record.value) if part]
        self.values = b" ".join(words)[:value_bytes]
        self.identifiers = breadcrumbs(header for record in self.records.records for header in record.headers)

    @property
    def status(self) -> tuple[str, Result]:
        """The word and the judgement of a response."""
        if not self.code:
            return "ok", Result.OK
        result = Result.OK if self.code in IN_THE_COURSE_OF_THINGS else Result.SERVER_ERROR
        return error_name(self.code), result

    @property
    def destination(self) -> str:
        """The topic or group, where it is one."""
        names = self.names or self.groups
        return readable(names[0]) if len(names) == 1 else ""


def read_request(api: str, version: int, fields: Fields, topics: Topics, value_bytes: int) -> Told:
    """What the body of a request says."""
    told = Told()
    try:
        reader = REQUESTS.get(api)
        if reader is not None:
            reader(told, version, fields, topics)
        elif api in GROUP_FIRST and not (api == "OffsetFetch" and version >= 8):
            told.groups.append(fields.text() or b"")
    except CutOff:
        pass
    told.finish(value_bytes)
    return told


def read_response(api: str, version: int, fields: Fields, topics: Topics, value_bytes: int) -> Told:
    """What the body of a response says. Names of topics that it brings are added to `topics`."""
    told = Told()
    try:
        reader = RESPONSES.get(api)
        throttle = THROTTLE_BEFORE_ERROR.get(api)
        if reader is not None:
            reader(told, version, fields, topics)
        elif throttle is not None and not (api == "FindCoordinator" and version >= 4):
            if version >= throttle:
                fields.number(4)
            told.judge(fields.number(2))
    except CutOff:
        pass
    told.finish(value_bytes)
    return told


def _name(fields: Fields, topics: Topics, *, by_id: bool) -> bytes:
    """The name of a topic, which stands there or is known by its id; empty where it is not."""
    return topics.get(fields.bytes(16), b"") if by_id else fields.text() or b""


def _produce(told: Told, version: int, fields: Fields, topics: Topics) -> None:
    if version >= 3:
        fields.text()
    told.one_way = fields.number(2) == 0
    fields.number(4)
    for _ in fields.items():
        name = _name(fields, topics, by_id=version >= TOPIC_ID_PRODUCE)
        told.topic(name)
        for _ in fields.items():
            partition = fields.number(4)
            told.partitions.append(partition)
            told.add_records(name, partition, fields)
            fields.tags()
        fields.tags()


def _produced(told: Told, version: int, fields: Fields, topics: Topics) -> None:
    for _ in fields.items():
        _name(fields, topics, by_id=version >= TOPIC_ID_PRODUCE)
        for _ in fields.items():
            fields.number(4)
            told.judge(fields.number(2))
            offset = fields.number(8)
            told.offset = offset if told.offset < 0 else told.offset
            fields.bytes(8 * (version >= 2) + 8 * (version >= 5))
            if version >= 8:
                for _ in fields.items():
                    fields.number(4)
                    fields.text()
                    fields.tags()
                fields.text()
            fields.tags()
        fields.tags()


def _fetch(told: Told, version: int, fields: Fields, topics: Topics) -> None:
    fields.bytes(4 * (version < 15) + 8 + 4 * (version >= 3) + (version >= 4) + 8 * (version >= 7))
    for _ in fields.items():
        told.topic(_name(fields, topics, by_id=version >= TOPIC_ID_FETCH))
        for _ in fields.items():
            told.partitions.append(fields.number(4))
            fields.bytes(4 * (version >= 9) + 8 + 4 * (version >= 12) + 8 * (version >= 5) + 4)
            fields.tags()
        fields.tags()


def _fetched(told: Told, version: int, fields: Fields, topics: Topics) -> None:
    if version >= 1:
        fields.number(4)
    if version >= 7:
        told.judge(fields.number(2))
        fields.number(4)
    for _ in fields.items():
        name = _name(fields, topics, by_id=version >= TOPIC_ID_FETCH)
        for _ in fields.items():
            partition = fields.number(4)
            told.judge(fields.number(2))
            fields.bytes(8 + 8 * (version >= 4) + 8 * (version >= 5))
            if version >= 4:
                for _ in fields.items():
                    fields.bytes(16)
                    fields.tags()
            if version >= 11:
                fields.number(4)
            before = told.records.count
            told.add_records(name, partition, fields)
            if told.records.count > before:
                told.topic(name)
                told.partitions.append(partition)
            fields.tags()
        fields.tags()


def _metadata(told: Told, version: int, fields: Fields, topics: Topics) -> None:
    for _ in fields.items():
        if version >= 10:
            fields.bytes(16)
        told.topic(fields.text() or b"")
        fields.tags()


def _described(told: Told, version: int, fields: Fields, topics: Topics) -> None:
    """Metadata's answer: brokers, and topics with their ids."""
    if version >= 3:
        fields.number(4)
    for _ in fields.items():
        fields.number(4)
        fields.text()
        fields.number(4)
        if version >= 1:
            fields.text()
        fields.tags()
    if version >= 2:
        fields.text()
    if version >= 1:
        fields.number(4)
    for _ in fields.items():
        told.judge(fields.number(2))
        name = fields.text() or b""
        if version >= 10:
            topics[fields.bytes(16)] = name
            if len(topics) > MOST_TOPICS:
                del topics[next(iter(topics))]
        if version >= 1:
            fields.number(1)
        for _ in fields.items():
            fields.number(2)
            fields.bytes(8 + 4 * (version >= 7))
            fields.numbers(4)
            fields.numbers(4)
            if version >= 5:
                fields.numbers(4)
            fields.tags()
        if version >= 8:
            fields.number(4)
        fields.tags()


def _find_coordinator(told: Told, version: int, fields: Fields, topics: Topics) -> None:
    if version < 4:
        told.groups.append(fields.text() or b"")
        return
    fields.number(1)
    for _ in fields.items():
        told.groups.append(fields.text() or b"")


def _list_offsets(told: Told, version: int, fields: Fields, topics: Topics) -> None:
    fields.bytes(4 + (version >= 2))
    for _ in fields.items():
        told.topic(fields.text() or b"")
        for _ in fields.items():
            told.partitions.append(fields.number(4))
            fields.bytes(4 * (version >= 4) + 8 + 4 * (version == 0))
            fields.tags()
        fields.tags()


def _partition_errors(throttle_from: int, behind: Callable[[int, Fields], None]) -> Callable[..., None]:
    """A reader of answers that have an error for each partition; `behind` passes over what follows that."""

    def read(told: Told, version: int, fields: Fields, topics: Topics) -> None:
        if version >= throttle_from:
            fields.number(4)
        for _ in fields.items():
            fields.text()
            for _ in fields.items():
                fields.number(4)
                told.judge(fields.number(2))
                behind(version, fields)
                fields.tags()
            fields.tags()

    return read


def _after_listed_offset(version: int, fields: Fields) -> None:
    if version == 0:
        fields.numbers(8)
    else:
        fields.bytes(16 + 4 * (version >= 4))


def _nothing(version: int, fields: Fields) -> None:
    """Nothing follows the error."""


REQUESTS: dict[str, Callable[[Told, int, Fields, Topics], None]] = {
    "Produce": _produce,
    "Fetch": _fetch,
    "Metadata": _metadata,
    "FindCoordinator": _find_coordinator,
    "ListOffsets": _list_offsets,
}
"""Readers of the requests that name topics, or groups elsewhere than at their beginning."""
RESPONSES: dict[str, Callable[[Told, int, Fields, Topics], None]] = {
    "Produce": _produced,
    "Fetch": _fetched,
    "Metadata": _described,
    "ListOffsets": _partition_errors(2, _after_listed_offset),
    "OffsetCommit": _partition_errors(3, _nothing),
}
"""Readers of the responses whose error codes stand elsewhere than at their beginning."""


def queued(told: Told, *, sends: bool) -> Messaging | None:
    """What a request puts on topics, or a response takes off them."""
    if not told.queued:
        return None
    messages = tuple(told.queued)
    return Messaging(sent=messages) if sends else Messaging(received=messages)

"""Kafka's names: APIs with the versions from which their encoding is flexible, and error codes.

Facts: the protocol guide (https://kafka.apache.org/protocol) and its message definitions; KIP-482 for flexible versions.
"""

from __future__ import annotations

NEVER = 32767
"""Stands for: no version of the API is flexible."""

APIS: dict[int, tuple[str, int]] = {
    0: ("Produce", 9), 1: ("Fetch", 12), 2: ("ListOffsets", 6), 3: ("Metadata", 9), 4: ("LeaderAndIsr", 4),
    5: ("StopReplica", 2), 6: ("UpdateMetadata", 6), 7: ("ControlledShutdown", 3), 8: ("OffsetCommit", 8),
    9: ("OffsetFetch", 6), 10: ("FindCoordinator", 3), 11: ("JoinGroup", 6), 12: ("Heartbeat", 4),
    13: ("LeaveGroup", 4), 14: ("SyncGroup", 4), 15: ("DescribeGroups", 5), 16: ("ListGroups", 3),
    17: ("SaslHandshake", NEVER), 18: ("ApiVersions", 3), 19: ("CreateTopics", 5), 20: ("DeleteTopics", 4),
    21: ("DeleteRecords", 2), 22: ("InitProducerId", 2), 23: ("OffsetForLeaderEpoch", 4),
    24: ("AddPartitionsToTxn", 3), 25: ("AddOffsetsToTxn", 3), 26: ("EndTxn", 3), 27: ("WriteTxnMarkers", 1),
    28: ("TxnOffsetCommit", 3), 29: ("DescribeAcls", 2), 30: ("CreateAcls", 2), 31: ("DeleteAcls", 2),
    32: ("DescribeConfigs", 4), 33: ("AlterConfigs", 2), 34: ("AlterReplicaLogDirs", 2), 35: ("DescribeLogDirs", 2),
    36: ("SaslAuthenticate", 2), 37: ("CreatePartitions", 2), 38: ("CreateDelegationToken", 2),
    39: ("RenewDelegationToken", 2), 40: ("ExpireDelegationToken", 2), 41: ("DescribeDelegationToken", 2),
    42: ("DeleteGroups", 2), 43: ("ElectLeaders", 2), 44: ("IncrementalAlterConfigs", 1),
    45: ("AlterPartitionReassignments", 0), 46: ("ListPartitionReassignments", 0), 47: ("OffsetDelete", NEVER),
    48: ("DescribeClientQuotas", 1), 49: ("AlterClientQuotas", 1), 50: ("DescribeUserScramCredentials", 0),
    51: ("AlterUserScramCredentials", 0), 52: ("Vote", 0), 53: ("BeginQuorumEpoch", 1), 54: ("EndQuorumEpoch", 1),
    55: ("DescribeQuorum", 0), 56: ("AlterPartition", 0), 57: ("UpdateFeatures", 0), 58: ("Envelope", 0),
    59: ("FetchSnapshot", 0), 60: ("DescribeCluster", 0), 61: ("DescribeProducers", 0), 62: ("BrokerRegistration", 0),
    63: ("BrokerHeartbeat", 0), 64: ("UnregisterBroker", 0), 65: ("DescribeTransactions", 0),
    66: ("ListTransactions", 0), 67: ("AllocateProducerIds", 0), 68: ("ConsumerGroupHeartbeat", 0),
    69: ("ConsumerGroupDescribe", 0), 70: ("ControllerRegistration", 0), 71: ("GetTelemetrySubscriptions", 0),
    72: ("PushTelemetry", 0), 73: ("AssignReplicasToDirs", 0), 74: ("ListConfigResources", 0),
    75: ("DescribeTopicPartitions", 0), 76: ("ShareGroupHeartbeat", 0), 77: ("ShareGroupDescribe", 0),
    78: ("ShareFetch", 0), 79: ("ShareAcknowledge", 0),
}  # fmt: skip
"""By number: the name of an API, and the first of its versions that is flexible."""
NUMBERS = {name: number for number, (name, _) in APIS.items()}
HIGHEST_VERSION = 24
"""No version of any API is higher yet; a number beyond it belongs to something else."""

ERRORS = {
    -1: "UNKNOWN_SERVER_ERROR", 1: "OFFSET_OUT_OF_RANGE", 2: "CORRUPT_MESSAGE", 3: "UNKNOWN_TOPIC_OR_PARTITION",
    4: "INVALID_FETCH_SIZE", 5: "LEADER_NOT_AVAILABLE", 6: "NOT_LEADER_OR_FOLLOWER", 7: "REQUEST_TIMED_OUT",
    8: "BROKER_NOT_AVAILABLE", 9: "REPLICA_NOT_AVAILABLE", 10: "MESSAGE_TOO_LARGE", 11: "STALE_CONTROLLER_EPOCH",
    12: "OFFSET_METADATA_TOO_LARGE", 13: "NETWORK_EXCEPTION", 14: "COORDINATOR_LOAD_IN_PROGRESS",
    15: "COORDINATOR_NOT_AVAILABLE", 16: "NOT_COORDINATOR", 17: "INVALID_TOPIC_EXCEPTION",
    18: "RECORD_LIST_TOO_LARGE", 19: "NOT_ENOUGH_REPLICAS", 20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    21: "INVALID_REQUIRED_ACKS", 22: "ILLEGAL_GENERATION", 23: "INCONSISTENT_GROUP_PROTOCOL", 24: "INVALID_GROUP_ID",
    25: "UNKNOWN_MEMBER_ID", 26: "INVALID_SESSION_TIMEOUT", 27: "REBALANCE_IN_PROGRESS",
    28: "INVALID_COMMIT_OFFSET_SIZE", 29: "TOPIC_AUTHORIZATION_FAILED", 30: "GROUP_AUTHORIZATION_FAILED",
    31: "CLUSTER_AUTHORIZATION_FAILED", 32: "INVALID_TIMESTAMP", 33: "UNSUPPORTED_SASL_MECHANISM",
    34: "ILLEGAL_SASL_STATE", 35: "UNSUPPORTED_VERSION", 36: "TOPIC_ALREADY_EXISTS", 37: "INVALID_PARTITIONS",
    38: "INVALID_REPLICATION_FACTOR", 39: "INVALID_REPLICA_ASSIGNMENT", 40: "INVALID_CONFIG", 41: "NOT_CONTROLLER",
    42: "INVALID_REQUEST", 43: "UNSUPPORTED_FOR_MESSAGE_FORMAT", 44: "POLICY_VIOLATION",
    45: "OUT_OF_ORDER_SEQUENCE_NUMBER", 46: "DUPLICATE_SEQUENCE_NUMBER", 47: "INVALID_PRODUCER_EPOCH",
    48: "INVALID_TXN_STATE", 49: "INVALID_PRODUCER_ID_MAPPING", 50: "INVALID_TRANSACTION_TIMEOUT",
    51: "CONCURRENT_TRANSACTIONS", 52: "TRANSACTION_COORDINATOR_FENCED", 53: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    54: "SECURITY_DISABLED", 55: "OPERATION_NOT_ATTEMPTED", 56: "KAFKA_STORAGE_ERROR", 57: "LOG_DIR_NOT_FOUND",
    58: "SASL_AUTHENTICATION_FAILED", 59: "UNKNOWN_PRODUCER_ID", 60: "REASSIGNMENT_IN_PROGRESS",
    67: "INVALID_PRINCIPAL_TYPE", 68: "NON_EMPTY_GROUP", 69: "GROUP_ID_NOT_FOUND", 70: "FETCH_SESSION_ID_NOT_FOUND",
    71: "INVALID_FETCH_SESSION_EPOCH", 72: "LISTENER_NOT_FOUND", 73: "TOPIC_DELETION_DISABLED",
    74: "FENCED_LEADER_EPOCH", 75: "UNKNOWN_LEADER_EPOCH", 76: "UNSUPPORTED_COMPRESSION_TYPE",
    77: "STALE_BROKER_EPOCH", 78: "OFFSET_NOT_AVAILABLE", 79: "MEMBER_ID_REQUIRED",
    80: "PREFERRED_LEADER_NOT_AVAILABLE", 81: "GROUP_MAX_SIZE_REACHED", 82: "FENCED_INSTANCE_ID",
    87: "INVALID_RECORD", 88: "UNSTABLE_OFFSET_COMMIT", 89: "THROTTLING_QUOTA_EXCEEDED", 90: "PRODUCER_FENCED",
    100: "UNKNOWN_TOPIC_ID", 103: "INCONSISTENT_TOPIC_ID", 106: "FETCH_SESSION_TOPIC_ID_ERROR",
    110: "FENCED_MEMBER_EPOCH", 113: "STALE_MEMBER_EPOCH",
}  # fmt: skip
"""Names of error codes (protocol guide, "Error Codes")."""
IN_THE_COURSE_OF_THINGS = frozenset({27, 79})
"""Codes by which a coordinator leads a member through joining a group: no failures."""

THROTTLE_BEFORE_ERROR = {
    "JoinGroup": 2, "Heartbeat": 1, "LeaveGroup": 1, "SyncGroup": 1, "ListGroups": 1, "InitProducerId": 0,
    "AddOffsetsToTxn": 0, "EndTxn": 0, "ConsumerGroupHeartbeat": 0, "DescribeCluster": 0, "FindCoordinator": 1,
    "ApiVersions": NEVER, "SaslHandshake": NEVER, "SaslAuthenticate": NEVER,
}  # fmt: skip
"""APIs whose response has an error code at its beginning, and from which version a throttle time stands before it."""
GROUP_FIRST = frozenset({"OffsetCommit", "OffsetFetch", "JoinGroup", "Heartbeat", "LeaveGroup", "SyncGroup",
                         "ConsumerGroupHeartbeat", "ShareGroupHeartbeat"})  # fmt: skip
"""APIs whose request begins with the id of a consumer group."""


def error_name(code: int) -> str:
    """'NOT_COORDINATOR'; the number where the code has no name here."""
    return ERRORS.get(code, str(code))

"""Bytes in, messages out: one file a protocol, sans-IO."""

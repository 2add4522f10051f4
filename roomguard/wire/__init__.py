"""Payload text to frames and events, and back to bytes. Pure: no clock, no socket, no randomness.

`FrameDecoder` reads what an edge sends, `decode_consumer` what a consumer of the bus sends, `encode` writes what the
guard says, `recording` is the same at rest.
"""

from __future__ import annotations

from roomguard.wire.decode import FrameDecoder, decode_consumer
from roomguard.wire.encode import (
    encode_ack,
    encode_actions,
    encode_drain,
    encode_error,
    encode_state,
    encode_verdicts,
    encode_welcome,
    split_actions,
)
from roomguard.wire.frames import (
    MAX_SEQ,
    ConsumerAck,
    EdgeFrame,
    Enforced,
    Events,
    ExpectRaid,
    Rejection,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from roomguard.wire.ids import check_id
from roomguard.wire.recording import decode_line, encode_line

__all__ = [
    "MAX_SEQ",
    "ConsumerAck",
    "EdgeFrame",
    "Enforced",
    "Events",
    "ExpectRaid",
    "FrameDecoder",
    "Rejection",
    "Subscribe",
    "Unsubscribe",
    "Welcome",
    "check_id",
    "decode_consumer",
    "decode_line",
    "encode_ack",
    "encode_actions",
    "encode_drain",
    "encode_error",
    "encode_line",
    "encode_state",
    "encode_verdicts",
    "encode_welcome",
    "split_actions",
]

"""What the guard says, as UTF-8 bytes of one text message each.

Actions arrive encoded (`model.actions.join`) and are spliced in: they are encoded once in their life.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from roomguard.wire.frames import Rejection, Welcome

PROTOCOL = "roomguard.v1"

_encode = msgspec.json.Encoder().encode
_ACTIONS_HEAD = b'{"type":"actions","actions":['
_TAIL = b"]}"


def encode_welcome(
    *,
    node: str,
    epoch: str,
    config: str,
    resume_after: int | None = None,
    max_unacked: int | None = None,
    max_frame_bytes: int | None = None,
    max_events: int | None = None,
    first_offset: int | None = None,
) -> bytes:
    """The first frame of a connection. What is None is left out."""
    return _encode(
        Welcome(
            protocol=PROTOCOL,
            node=node,
            epoch=epoch,
            config=config,
            resume_after=resume_after,
            max_unacked=max_unacked,
            max_frame_bytes=max_frame_bytes,
            max_events=max_events,
            first_offset=first_offset,
        )
    )


def encode_ack(seq: int, accepted: int, rejected: Sequence[Rejection] = ()) -> bytes:
    """Frame `seq` is decided: `accepted` events were judged, `rejected` were not."""
    if not rejected:
        return b'{"type":"ack","seq":%d,"accepted":%d,"rejected":[]}' % (seq, accepted)
    return b'{"type":"ack","seq":%d,"accepted":%d,"rejected":%b}' % (seq, accepted, _encode(rejected))


def encode_verdicts(seq: int, verdicts: Sequence[str]) -> bytes:
    """One verdict an event of the gated frame `seq`, in its order."""
    return b'{"type":"verdicts","seq":%d,"verdicts":%b}' % (seq, _encode(verdicts))


def encode_actions(actions: Iterable[bytes]) -> bytes:
    """Encoded actions in one frame, in the order given."""
    return b"%b%b%b" % (_ACTIONS_HEAD, b",".join(actions), _TAIL)


def split_actions(actions: Iterable[bytes], max_bytes: int) -> list[bytes]:
    """As many `actions` frames as it takes for none to be longer than `max_bytes` (a single action may be)."""
    frames: list[bytes] = []
    batch: list[bytes] = []
    room = max_bytes - len(_ACTIONS_HEAD) - len(_TAIL)
    left = room
    for action in actions:
        if batch and len(action) + 1 > left:
            frames.append(encode_actions(batch))
            batch, left = [], room
        batch.append(action)
        left -= len(action) + 1
    if batch:
        frames.append(encode_actions(batch))
    return frames


def encode_state(room: str, actions: Iterable[bytes]) -> bytes:
    """The penalties in force in `room`."""
    return b'{"type":"state","room":%b,"actions":[%b]}' % (_encode(room), b",".join(actions))


def encode_error(
    code: str,
    detail: str = "",
    *,
    seq: int | None = None,
    expected: int | None = None,
    more: dict[str, Any] | None = None,
) -> bytes:
    """A message the guard cannot take. `seq` where it could be read, `expected` with `seq_gap`; `more` adds fields."""
    frame: dict[str, Any] = {"type": "error", "code": code, "detail": detail}
    if seq is not None:
        frame["seq"] = seq
    if expected is not None:
        frame["expected"] = expected
    if more:
        frame.update(more)
    return _encode(frame)


def encode_drain(reconnect_s: float) -> bytes:
    """A planned close follows; the edge should come back after `reconnect_s` seconds."""
    return _encode({"type": "drain", "reconnect_s": reconnect_s})

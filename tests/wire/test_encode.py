"""What the guard says, read back as any JSON client would."""

from __future__ import annotations

import json

from roomguard.wire import (
    Rejection,
    encode_ack,
    encode_actions,
    encode_drain,
    encode_error,
    encode_state,
    encode_verdicts,
    encode_welcome,
    split_actions,
)


def test_welcome_leaves_out_what_is_none() -> None:
    """An edge's welcome has the limits, a consumer's the first offset."""
    assert (json.loads(encode_welcome(node="n", epoch="e", config="c", first_offset=4))) == {
        "type": "welcome",
        "protocol": "roomguard.v1",
        "node": "n",
        "epoch": "e",
        "config": "c",
        "first_offset": 4,
    }
    edge = json.loads(encode_welcome(node="n", epoch="e", config="c", resume_after=0, max_unacked=64))
    assert (edge["resume_after"], edge["max_unacked"]) == (0, 64)


def test_ack_with_and_without_rejections() -> None:
    """`rejected` is always there, `detail` only where there is something to say."""
    assert json.loads(encode_ack(2, 3)) == {"type": "ack", "seq": 2, "accepted": 3, "rejected": []}
    rejected = (Rejection(1, "missing_field", "user"), Rejection(4, "overload"))
    assert json.loads(encode_ack(2, 3, rejected))["rejected"] == [
        {"index": 1, "code": "missing_field", "detail": "user"},
        {"index": 4, "code": "overload", "detail": ""},
    ]


def test_verdicts_keep_their_order() -> None:
    """One verdict an event, in the order of the frame."""
    verdicts = ["allow", "drop", "hold"]

    assert {"type": "verdicts", "seq": 9, "verdicts": verdicts} == json.loads(encode_verdicts(9, verdicts))


def test_actions_and_state_splice_encoded_actions() -> None:
    """Actions are put in as the bytes they are."""
    actions = [b'{"id":"1"}', b'{"id":"2"}']

    assert json.loads(encode_actions(actions)) == {"type": "actions", "actions": [{"id": "1"}, {"id": "2"}]}
    assert json.loads(encode_actions([])) == {"type": "actions", "actions": []}
    assert json.loads(encode_state('r"', actions)) == {
        "type": "state",
        "room": 'r"',
        "actions": [{"id": "1"}, {"id": "2"}],
    }


def test_split_actions_bounds_every_frame() -> None:
    """Order stays, no frame is over the bound, nothing is lost."""
    actions = [b'{"id":"%d"}' % number for number in range(100)]

    frames = split_actions(actions, 200)

    assert all(len(frame) <= 200 for frame in frames)
    assert [{"id": str(number)} for number in range(100)] == [
        action for frame in frames for action in json.loads(frame)["actions"]
    ]
    assert split_actions([], 200) == []
    assert len(split_actions([b"x" * 300, b"y" * 300], 200)) == 2


def test_error_and_drain() -> None:
    """`seq` and `expected` only where they are known."""
    assert json.loads(encode_error("bad_frame", "x")) == {"type": "error", "code": "bad_frame", "detail": "x"}
    assert json.loads(encode_error("seq_gap", seq=5, expected=3, more={"first": 1})) == {
        "type": "error",
        "code": "seq_gap",
        "detail": "",
        "seq": 5,
        "expected": 3,
        "first": 1,
    }
    assert json.loads(encode_drain(2.5)) == {"type": "drain", "reconnect_s": 2.5}

"""docs/asyncapi.yaml says what the code does: fields, types, bounds, examples; and the other way round."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import attrs
import msgspec
import pytest
import yaml

from roomguard import wire
from roomguard.model import actions, events
from roomguard.wire import decode as wire_decode, frames

CHECKOUT = Path(__file__).resolve().parent.parent
DOCUMENT: dict[str, Any] = yaml.safe_load((CHECKOUT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
REMARKS = {"description", "examples", "title"}

STRUCTS: dict[str, tuple[type, str]] = {
    **{kind.__struct_config__.tag: (kind, "kind") for kind in get_args(events.AnyEvent)},
    "events_frame": (wire_decode._Whole, "type"),
    "subscribe_frame": (frames.Subscribe, "type"),
    "unsubscribe_frame": (frames.Unsubscribe, "type"),
    "enforced_frame": (frames.Enforced, "type"),
    "expect_raid_frame": (frames.ExpectRaid, "type"),
    "consumer_ack_frame": (frames.ConsumerAck, "type"),
}
"""What comes in, by schema: every field, type and bound has to agree."""


def walk(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def look_up(ref: str) -> Any:
    node: Any = DOCUMENT
    for part in ref.removeprefix("#/").split("/"):
        node = node[part]
    return node


def plain(schema: Any, root: Mapping[str, Any]) -> Any:
    """A schema in one spelling, whoever wrote it: references followed, remarks left out, types sorted."""
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return plain(target, root)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices is not None:
        return _choice([plain(choice, root) for choice in choices])
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in REMARKS or (key == "default" and value in {None, ""}) or (key == "required" and not value):
            continue
        if key == "properties":
            out[key] = {name: plain(field, root) for name, field in value.items()}
        elif key == "items":
            out[key] = plain(value, root)
        elif key == "required":
            out[key] = sorted(value)
        elif key == "type":
            out[key] = sorted(value) if isinstance(value, list) else [value]
        elif key in {"enum", "const"}:
            out["enum"] = sorted(map(str, value)) if key == "enum" else [str(value)]
        else:
            out[key] = value
    return out


def _choice(choices: list[Any]) -> Any:
    """`X or null` is X with one more type; any other choice is a list of its members."""
    rest = [choice for choice in choices if choice != {"type": ["null"]}]
    if len(rest) != 1 or len(rest) == len(choices):
        return {"oneOf": sorted(choices, key=lambda choice: json.dumps(choice, sort_keys=True))}
    only = dict(rest[0])
    if "type" in only:
        only["type"] = sorted([*only["type"], "null"])
    elif "enum" in only:
        only["enum"] = sorted([*only["enum"], "None"])
    return only


def plain_struct(struct: type, tag: str) -> Any:
    (reference,), components = msgspec.json.schema_components([struct], ref_template="#/{name}")
    found = plain(reference, components)
    found["required"] = sorted({*found.get("required", []), tag})
    return found


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_what_comes_in_is_described_field_by_field(name: str) -> None:
    """The schema has the fields, types, bounds and needs that the decoder has, no more and no fewer."""
    struct, tag = STRUCTS[name]

    assert plain(SCHEMAS[name], DOCUMENT) == plain_struct(struct, tag)


def test_every_event_kind_is_described() -> None:
    """The kinds of the model and the members of the `event` schema are the same."""
    described = [choice["$ref"].rpartition("/")[2] for choice in SCHEMAS["event"]["oneOf"]]

    assert described == list(events.KINDS)
    assert all(SCHEMAS[kind]["properties"]["kind"] == {"const": kind} for kind in described)


def test_who_is_described() -> None:
    """What an edge may say of a user is all there; nothing of it is needed."""
    found = plain_struct(events.Who, "")
    del found["required"]

    assert plain(SCHEMAS["who"], DOCUMENT) == found


def test_an_action_is_described() -> None:
    """An action's fields stand in the order in which they are sent; what has no default is always there."""
    schema = SCHEMAS["action"]
    fields = attrs.fields(actions.Action)
    names = [field.name for field in fields]
    needed = [field.name for field in fields if field.default is attrs.NOTHING]

    assert list(schema["properties"]) == [names[0], "offset", *names[1:]]
    assert sorted(schema["required"]) == sorted([*needed, "offset"])
    assert schema["properties"]["kind"]["enum"] == list(get_args(actions.ActionKind))


def test_the_welcome_and_rejections_are_described() -> None:
    """What the guard builds from Structs has the Structs' fields."""
    welcome = {field.name for field in msgspec.structs.fields(frames.Welcome)}
    rejection = {field.name for field in msgspec.structs.fields(frames.Rejection)}

    assert set(SCHEMAS["welcome_frame"]["properties"]) == {"type", *welcome}
    assert SCHEMAS["welcome_frame"]["properties"]["protocol"]["const"] == wire.encode.PROTOCOL
    assert set(SCHEMAS["rejection"]["properties"]) == rejection


def test_every_reference_leads_somewhere() -> None:
    """A dangling `$ref` breaks every generator."""
    refs = [node["$ref"] for node in walk(DOCUMENT) if "$ref" in node]

    assert refs
    for ref in refs:
        assert look_up(ref) is not None


def test_every_message_is_on_a_channel_and_in_an_operation() -> None:
    """A message that nobody sends is a leftover; one without an operation has no direction."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    channels = DOCUMENT["channels"]
    carried = {ref["$ref"].rpartition("/")[2] for channel in channels.values() for ref in channel["messages"].values()}
    assert carried == set(MESSAGES)
    assert {channel["address"] for channel in channels.values()} == {"/v1/edge", "/v1/rooms/{room}", "/v1/actions"}
    for name, channel in channels.items():
        directed = {
            ref["$ref"].rpartition("/")[2]
            for operation in DOCUMENT["operations"].values()
            if operation["channel"]["$ref"] == f"#/channels/{name}"
            for ref in operation["messages"]
        }
        assert directed == set(channel["messages"])


def directed(action: str) -> set[str]:
    operations = [operation for operation in DOCUMENT["operations"].values() if operation["action"] == action]
    return {ref["$ref"].rpartition("/")[2] for operation in operations for ref in operation["messages"]}


def examples(name: str) -> list[Any]:
    found = [example["payload"] for example in MESSAGES[name]["examples"]]
    assert found, f"{name} has no example"
    return found


@pytest.mark.parametrize("name", sorted(directed("receive") - {"consumer_ack"}))
def test_an_example_of_an_edge_is_taken(name: str) -> None:
    """What the page shows an edge engineer is accepted whole by the real decoder."""
    for payload in examples(name):
        frame = wire.FrameDecoder().decode(json.dumps(payload))
        if isinstance(frame, wire.Events):
            assert frame.accepted == len(payload["events"])
            assert not frame.rejected
            assert not frame.unknown
        else:
            assert type(frame).__struct_config__.tag == name


def test_an_example_of_a_consumer_is_taken() -> None:
    """The same for the bus."""
    for payload in examples("consumer_ack"):
        assert wire.decode_consumer(json.dumps(payload)).offset == payload["offset"]


@pytest.mark.parametrize("kind", events.KINDS)
def test_an_example_of_an_event_is_taken(kind: str) -> None:
    """Each kind shows at least one event that decodes, and together they show every optional field of it."""
    shown: set[str] = set()
    for example in SCHEMAS[kind]["examples"]:
        frame = wire.FrameDecoder().decode(json.dumps({"type": "events", "seq": 1, "events": [example]}))
        assert isinstance(frame, wire.Events)
        assert not frame.rejected
        shown |= set(example)

    optional_anywhere = {"who", "title", "tags", "region", "lang", "host", "target_event", "duration_s"}
    assert set(SCHEMAS[kind]["properties"]) - shown <= optional_anywhere


def keys_fit(payload: Any, schema: Mapping[str, Any]) -> None:
    """The keys of an example are described, and what is required is there."""
    while "$ref" in schema:
        schema = look_up(schema["$ref"])
    if isinstance(payload, list):
        for value in payload:
            keys_fit(value, schema["items"])
    if isinstance(payload, dict) and "properties" in schema:
        assert set(schema.get("required", ())) <= set(payload) <= set(schema["properties"])
        for key, value in payload.items():
            keys_fit(value, schema["properties"][key])


@pytest.mark.parametrize("name", sorted(directed("send")))
def test_an_example_of_the_guard_is_what_it_says(name: str) -> None:
    """The guard's own encoders write the examples of its side, key for key in order."""
    encoders = {
        "welcome": lambda body: wire.encode_welcome(
            **{key: body[key] for key in body if key not in {"type", "protocol"}}
        ),
        "ack": lambda body: wire.encode_ack(
            body["seq"], body["accepted"], tuple(wire.Rejection(**one) for one in body["rejected"])
        ),
        "verdicts": lambda body: wire.encode_verdicts(body["seq"], body["verdicts"]),
        "state": lambda body: wire.encode_state(body["room"], map(encoded, body["actions"])),
        "actions": lambda body: wire.encode_actions(map(encoded, body["actions"])),
        "error": lambda body: wire.encode_error(
            body["code"], body["detail"], seq=body.get("seq"), expected=body.get("expected")
        ),
        "drain": lambda body: wire.encode_drain(body["reconnect_s"]),
    }
    for payload in examples(name):
        keys_fit(payload, MESSAGES[name]["payload"])
        said = json.loads(encoders[name](payload))

        assert said == payload
        assert list(said) == list(payload)


def encoded(action: dict[str, Any]) -> bytes:
    fields = {**action, "causes": tuple(action["causes"])}
    offset = fields.pop("offset")
    whole = actions.join(actions.encode_halves(actions.Action(**fields)), offset)
    assert list(json.loads(whole)) == list(action)
    return whole

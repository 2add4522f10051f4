"""What the pages show is what the code does: examples are taken out of them and run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import attrs
import click
import msgspec
import pytest
from click.testing import CliRunner

from loadtest.bench.__main__ import COMMANDS, parser_of
from roomguard import wire
from roomguard.cli import main
from roomguard.configure import configure
from roomguard.engine.features import Catalogue
from roomguard.engine.room import RoomGuard
from roomguard.engine.rules.language import FUNCTIONS
from roomguard.engine.settings import CapSettings, FeatureKey, FeatureKind, FeatureSettings
from roomguard.model import actions as model_actions, events
from roomguard.model.actions import encode_halves, join
from roomguard.model.events import Chat
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.tickets import RejectCode
from roomguard.store.settings import BusSettings
from tests.test_asyncapi import SCHEMAS, keys_fit

DOCS = Path(__file__).resolve().parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language in a page, quoting removed."""
    text = re.sub(r"^> ?", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_the_story_of_the_concepts_page_happens(tmp_path: Path) -> None:
    """The rule on the page lets three copies pass, warns at the fourth and mutes at the fifth."""
    file = tmp_path / "config.toml"
    (toml,) = blocks("concepts.md", "toml")
    file.write_text(toml, encoding="utf-8")
    guard = RoomGuard("anna-live", configure(file).program)
    line = "cheap coins at coins dot example"
    lines = [line, line.title(), line.replace("coins", "co\u200bins"), line.upper(), line, line]

    outcomes = []
    for number, text in enumerate(lines, 1):
        now = 1767225600.0 + 20 * number
        outcomes.append(guard.receive(Chat(id=f"m-{number}", room="anna-live", user="ben", ts=now, text=text), now))

    assert [outcome.verdict for outcome in outcomes] == ["allow", "allow", "allow", "drop", "drop", "drop"]
    said = [[action.kind for action in outcome.actions] for outcome in outcomes]
    assert said == [[], [], [], ["delete", "warn"], ["mute", "delete"], []]
    (shown,) = (json.loads(block) for block in blocks("concepts.md", "json"))
    made = json.loads(join(encode_halves(outcomes[4].actions[0]), 41))
    differs = {"id", "config"}
    assert {key: made[key] for key in made if key not in differs} == {
        key: shown[key] for key in shown if key not in differs
    }


def tables(page: str, *heads: str) -> list[list[str]]:
    """The rows of the table whose first columns are called `heads`, cells without backticks."""
    rows: list[list[str]] = []
    inside = False
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = re.split(r"\s*\|\s*", line.strip())[1:-1] if line.startswith("|") else []
        if not cells:
            inside = False
        elif [cell.replace("`", "") for cell in cells[: len(heads)]] == list(heads):
            inside = True
        elif inside and not set(cells[0]) <= {"-"}:
            rows.append(cells)
    assert rows, f"{page} has no table {heads}"
    return rows


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


@pytest.mark.parametrize("text", blocks("protocol.md", "json"))
def test_a_message_on_the_protocol_page_is_one(text: str) -> None:
    """What the page shows of an edge decodes; what it shows of the guard has the described fields."""
    message: dict[str, Any] = json.loads(text)
    kind = message["type"]
    if kind in {"events", "enforced"}:
        wire.FrameDecoder().decode(text)
    elif kind == "ack" and "offset" in message:
        wire.decode_consumer(text)
    else:
        keys_fit(message, SCHEMAS[f"{kind}_frame"])


def test_the_protocol_page_lists_every_kind_of_event() -> None:
    """Kinds, and the fields each needs and may have, are those of the model."""
    said: dict[str, tuple[set[str], set[str]]] = {}
    for kinds, needed, optional, *_ in tables("protocol.md", "kind", "required besides"):
        for kind in names(kinds):
            said[kind] = (set(names(needed)), set(names(optional)))

    common = {"id", "ts", "room", "who", "user"}
    meant: dict[str, tuple[set[str], set[str]]] = {}
    for struct in get_args(events.AnyEvent):
        own = [field for field in msgspec.structs.fields(struct) if field.name not in common]
        meant[struct.__struct_config__.tag] = (
            {field.name for field in own if field.required},
            {field.name for field in own if not field.required},
        )
    assert said == meant


def test_the_protocol_page_lists_what_may_be_known_of_a_user() -> None:
    """Nothing an edge could tell is left unsaid."""
    said = [name for row in tables("protocol.md", "who") for name in names(row[0])]

    assert said == [field.name for field in msgspec.structs.fields(events.Who)]


def test_the_protocol_page_lists_the_kinds_of_action_and_their_fields() -> None:
    """Every kind stands with its inverse, every field with its meaning."""
    rows = tables("protocol.md", "kind", "do", "taken back by")
    inverses = {names(row[0])[0]: (names(row[2]) or [None])[0] if len(row) > 2 else None for row in rows}
    fields = {name for row in tables("protocol.md", "field", "meaning") for name in names(row[0])}

    for kind in get_args(model_actions.ActionKind):
        assert kind in inverses or kind in inverses.values(), kind
    assert {kind: back for kind, back in inverses.items() if back} == dict(model_actions.INVERSES)
    assert {field.name for field in attrs.fields(model_actions.Action)} <= fields


def test_the_protocol_page_lists_why_an_event_is_refused() -> None:
    """The page, the machine-readable page and the code name the same codes."""
    said = [names(row[0])[0] for row in tables("protocol.md", "code", "the event", "do")]

    assert said == SCHEMAS["rejection"]["properties"]["code"]["enum"]
    assert set(said) == {"bad_event", "missing_field", "bad_field", "wrong_room", *get_args(RejectCode)}


def test_the_protocol_page_lists_every_control_record() -> None:
    """Types and fields of control records are those of the model."""
    rows = {names(row[0])[0]: set(names(row[1])) for row in tables("protocol.md", "type", "fields", "meaning")}
    model = {field.name: field for field in msgspec.structs.fields(events.Control)}
    types = get_args(model["type"].type)

    assert set(rows) == set(types)
    assert set().union(*rows.values()) == set(model) - {"type", "room", "ts"}


def test_the_protocol_page_knows_the_limits() -> None:
    """The defaults on the page are the defaults in the code."""
    said = {row[0]: f"{row[1]} -> {row[2]}" for row in tables("protocol.md", "limit", "default", "beyond it")}
    listen, rooms, bus = ListenSettings(), RoomSettings(), BusSettings()
    expected = {
        "bytes of a message": f"{listen.max_frame_bytes // 2**20} MiB",
        "events of a frame": f"{listen.max_events:,}",
        "frames without an ack": f"{listen.max_unacked} a connection",
        "rooms of a connection": f"{listen.max_rooms_per_connection:,}",
        "rooms of a guard": f"{rooms.max_rooms:,}",
        "events waiting in a room": f"{rooms.mailbox_events:,}",
        "time to judge an event": f"{rooms.decide_within_s:g} s; {rooms.gate_within_s * 1000:g} ms if gated",
        "bytes waiting to go out on a connection": f"{listen.outbox_bytes // 2**20} MiB",
        "time for one message from first to last byte": f"{listen.message_s:g} s",
        "time for you to take what was sent": f"{listen.send_s:g} s",
        f"silence after a ping (one every {listen.ping_s:g} s)": f"{listen.pong_s:g} s",
        "fragments and control frames under 256 bytes": (
            f"{listen.small_frames_per_s:g} a second, {listen.small_frames_burst:,} at once"
        ),
        "connections": f"{listen.connections:,}, of them {listen.connections_per_peer} from one address",
        "sessions": f"{listen.max_sessions:,}, each for {listen.session_ttl_s / 60:g} minutes",
        "repeats of an action": f"{bus.resend_times}, one every {bus.resend_every_s:g} s",
    }
    for limit, value in expected.items():
        assert value in said[limit], limit


def test_the_page_of_features_is_what_the_command_prints() -> None:
    """`features --markdown > docs/features.md` changes nothing."""
    done = CliRunner().invoke(main, ["features", "--markdown"])

    assert (0, (DOCS / "features.md").read_text(encoding="utf-8")) == (done.exit_code, done.output)


def test_the_page_of_features_has_every_name() -> None:
    """Each built-in feature, fact, kind, key, cap and function stands on it once, each number with its unit."""
    said = tables("features.md", "name", "is a", "unit", "meaning")
    built_in = Catalogue(CapSettings(), {}, {}).entries

    assert list(built_in) == [names(row[0])[0] for row in said]
    assert [] == [row for row in said if (row[1].startswith("number")) != bool(row[2]) or not row[3]]
    for heads, expected in (
        (("kind", "unit", "is"), get_args(FeatureKind)),
        (("key", "kept", "events"), get_args(FeatureKey)),
        (("cap", "default", "meaning"), [field.name for field in attrs.fields(CapSettings)]),
    ):
        assert list(expected) == [names(row[0])[0] for row in tables("features.md", *heads)]
    functions = tables("features.md", "function", "meaning")
    assert list(FUNCTIONS) == [row[0].strip("`").partition("(")[0] for row in functions]
    assert all(row[1] for row in functions)


@pytest.mark.parametrize("row", tables("features.md", "kind", "unit", "is", "unknown", "key"), ids=lambda row: row[0])
def test_what_the_page_says_of_a_kind_holds(row: list[str]) -> None:
    """A kind that is said to be unknown at times may be so for a user or the room; one that never is may not."""
    (kind,), key = names(row[0]), names(row[4])[0]
    catalogue = Catalogue(CapSettings(), {}, {})
    of = "length > 1" if kind == "ratio" else "length" if kind == "sum" else ""
    catalogue.declare("it", FeatureSettings(kind=kind, key=key, of=of))  # type: ignore[arg-type]

    assert (row[3] != "never") == catalogue.declared["it"].symbol.nullable


@pytest.mark.parametrize("text", blocks("rules.md", "toml"))
def test_an_example_on_the_page_of_rules_can_be_used(text: str, tmp_path: Path) -> None:
    """`check` finds nothing wrong with it, and every rule of it is compiled."""
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")

    configuration = configure(file)

    assert text.count("[[rules]]") == len(configuration.settings.engine.rules)


@pytest.mark.parametrize(
    ("who", "held"),
    [({}, True), ({"account_age_s": 5.0}, True), ({"account_age_s": 1e6}, False)],
    ids=["unknown", "young", "old"],
)
def test_the_example_of_what_is_unknown(who: dict[str, float], held: bool, tmp_path: Path) -> None:
    """The rule on the page holds for a young account and for one of unknown age, and for no other."""
    (text,) = (text for text in blocks("rules.md", "toml") if "known(account_age_s)" in text)
    file = tmp_path / "config.toml"
    file.write_text(text.replace('["hold"]', '["hold"]\nmode = "enforce"'), encoding="utf-8")
    guard = RoomGuard("r", configure(file).program)
    event = Chat(id="1", room="r", user="ann", ts=0.0, text="see example.com", who=events.Who(**who))

    assert ("hold" if held else "allow") == guard.receive(event, 1767225600.0).verdict


@pytest.mark.parametrize("page", sorted(page.name for page in DOCS.glob("*.md")))
def test_every_verb_and_link_on_a_page_is_real(page: str) -> None:
    """A verb exists and has the options named behind it; a link leads to a file."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert isinstance(main, click.Group)
    for verb, rest in re.findall(r"python3 -m roomguard ([a-z]+)([^`\n]*)", text):
        known = {name for parameter in main.commands[verb].params for name in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (DOCS / target).exists()


def test_the_performance_page_has_a_place_for_every_benchmark() -> None:
    """Each command that measures is explained, and its figures have their marks, once and in order."""
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    for command in set(COMMANDS) - {"page"}:
        assert f"### `{command}`" in page
        assert page.count(f"<!-- begin {command} -->") == page.count(f"<!-- end {command} -->") == 1
        assert page.index(f"<!-- begin {command} -->") < page.index(f"<!-- end {command} -->")


@pytest.mark.parametrize("line", [line for block in blocks("performance.md", "console") for line in block.splitlines()])
def test_a_command_on_the_performance_page_is_one(line: str) -> None:
    """Its options are those of the command."""
    words = line.removeprefix("$ python3 -m loadtest.bench ").split()
    parser = parser_of(words[0])

    assert line.startswith("$ python3 -m loadtest.bench ")
    parser.parse_args(words[1:])


def test_what_holds_memory_are_settings_of_the_file() -> None:
    """Every setting the page names stands in config.toml."""
    config = (DOCS.parent / "config.toml").read_text(encoding="utf-8")
    table = ""
    known = set()
    for line in config.splitlines():
        if found := re.fullmatch(r"\[([\w.]+)\]", line):
            table = found[1]
        elif found := re.match(r"#?(\w+) = ", line):
            known.add(f"{table}.{found[1]}")

    said = {row[0].strip("`") for row in tables("performance.md", "setting", "holds", "when full")}
    assert said
    assert said <= known

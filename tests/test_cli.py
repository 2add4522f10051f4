"""The command line, as processes: what is printed where, and the exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERBS = (
    "demo",
    "test",
    "serve",
    "check",
    "replay",
    "compare",
    "explain",
    "undo",
    "override",
    "pause",
    "resume",
    "reload",
    "status",
    "features",
    "learn",
    "version",
)
RULES = """
[features.chats]
kind = "count"
window_s = 60

[[rules]]
name = "many"
when = "chats > 2"
action = ["mute"]
duration_s = 30
mode = "enforce"
"""


def roomguard(
    *arguments: str, cwd: Path = ROOT, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "roomguard", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(RULES)
    return path


def chats(count: int) -> str:
    """A recording: one user says something each second."""
    lines = [
        {"id": f"e{number}", "kind": "chat", "room": "r", "user": "u", "ts": 1000.0 + number, "text": f"word {number}"}
        for number in range(count)
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def test_help_lists_the_verbs() -> None:
    """--help names every verb and does not need a loop to do so."""
    done = roomguard("--help")

    assert done.returncode == 0
    assert [verb for verb in VERBS if f"  {verb} " not in done.stdout] == []


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb: str) -> None:
    """VERB --help says what it does in a first sentence."""
    done = roomguard(verb, "--help")

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5


def test_check_of_the_shipped_configuration() -> None:
    """In a checkout `check` judges its config.toml: exit 0 and one line."""
    done = roomguard("check")

    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)
    assert done.stdout.startswith("config.toml: fine. mode enforce, ")


def test_check_shows_every_error(tmp_path: Path) -> None:
    """Every error at once on stderr, as FILE:LINE: KEY: MESSAGE; exit 1."""
    (tmp_path / "config.toml").write_text(
        'mode = "of"\n[[rules]]\nname = "a"\nwhen = "nonsense > 1"\n[bus]\nbacklog = 0\n'
    )

    done = roomguard("check", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["config.toml:1", "mode"],
        ["config.toml:6", "bus.backlog"],
        ["2 errors"],
    ]


def test_check_compiles_the_rules(config: Path) -> None:
    """A rule that names something unknown is an error at its line."""
    config.write_text(RULES.replace("chats > 2", "chat_s > 2"))

    done = roomguard("check", "--config", str(config), "--json")

    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr, found["ok"]) == (1, "", False)
    assert [(one["line"], one["key"]) for one in found["problems"]] == [(8, "rules[many].when")]


def test_check_sources(config: Path) -> None:
    """Environment and --set are checked with the file; a file that is not there is wrong usage."""
    assert roomguard("check", "--config", str(config), "--set", "mode=shadow").stdout.count("mode shadow") == 1
    assert roomguard("check", "--config", str(config), ROOMGUARD_MODE="shadow").stdout.count("mode shadow") == 1
    assert roomguard("check", "--config", str(config), "--set", "mode=x").stderr.startswith(
        "--set: mode: expected one of"
    )
    assert roomguard("check", "--config", "nowhere.toml").returncode == 2


def test_replay(config: Path, tmp_path: Path) -> None:
    """A recording gives the same bytes from a file, from stdin and in pieces; a strategy or a setting changes them."""
    whole, first, second = tmp_path / "whole.jsonl", tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    lines = chats(9).splitlines(keepends=True)
    whole.write_text("".join(lines))
    first.write_text("".join(lines[::2]))
    second.write_text("".join(lines[1::2]))
    run = ("--config", str(config), "--out")

    outs = [tmp_path / f"{number}.out" for number in range(3)]
    assert roomguard("replay", str(whole), *run, str(outs[0])).returncode == 0
    assert roomguard("replay", "-", *run, str(outs[1]), stdin="".join(lines)).returncode == 0
    assert roomguard("replay", str(first), str(second), *run, str(outs[2])).returncode == 0
    written = [out.read_bytes() for out in outs]

    assert written[0] == written[1] == written[2]
    assert [json.loads(line)["rule"] for line in written[0].splitlines()] == ["many"]
    assert roomguard("replay", str(whole), *run, "-", "--set", "rules.many.mode=shadow").stdout == ""


def test_replay_of_nonsense(config: Path, tmp_path: Path) -> None:
    """A line that is no event ends the replay with its place; nothing is left where the actions would be."""
    recording = tmp_path / "bad.jsonl"
    recording.write_text(chats(3) + "{}\n")
    out = tmp_path / "out.jsonl"

    done = roomguard("replay", str(recording), "--config", str(config), "--out", str(out))

    assert (done.returncode, list(tmp_path.glob("out*"))) == (3, [])
    assert done.stderr.startswith(f"roomguard: {recording}:4: ")


def test_compare(config: Path, tmp_path: Path) -> None:
    """What another threshold would have done stands beside what this one did, by rule and action by action."""
    recording, outs = tmp_path / "some.jsonl", [tmp_path / "before.jsonl", tmp_path / "after.jsonl"]
    recording.write_text(chats(9))
    for out, when in zip(outs, ("chats > 2", "chats > 4"), strict=True):
        roomguard(
            "replay", str(recording), "--config", str(config), "--out", str(out), "--set", f"rules.many.when='{when}'"
        )

    done, as_json = (roomguard("compare", *map(str, outs), *more) for more in ((), ("--json",)))

    assert done.stdout.splitlines() == [
        "1 actions before, 1 after: 0 the same, 1 gone, 1 new, 0 otherwise",
        "many: 1 before, 1 after; 1 gone, 1 new",
        "- mute 30 s on u in r by many for e2",
        "+ mute 30 s on u in r by many for e4",
    ]
    assert ["e2"] == [action["causes"][0] for action in json.loads(as_json.stdout)["gone"]]
    assert roomguard("compare", str(outs[0]), str(recording)).returncode == 3


def test_explain(config: Path, tmp_path: Path) -> None:
    """Each rule says why, for people and as JSON; an event that is not there has an exit code of its own."""
    recording = tmp_path / "some.jsonl"
    recording.write_text(chats(4))
    run = ("explain", str(recording), "--config", str(config), "--event")

    hit, before, absent = roomguard(*run, "e2"), roomguard(*run, "e1", "--json"), roomguard(*run, "e9")

    assert hit.stdout.splitlines() == [
        "chat e2 of u in r at 1002.000",
        "strategy default, mode calm: drop",
        "action mute 30 s on u by many",
        "many: hit -> enforce",
        "  yes chats > 2  [chats 3]",
    ]
    found = json.loads(before.stdout)
    assert ("e1", "allow", []) == (found["event"], found["verdict"], found["actions"])
    assert [("many", "false", False)] == [
        (rule["rule"], rule["answer"], rule["parts"][0]["holds"]) for rule in found["rules"]
    ]
    assert (absent.returncode, absent.stdout, absent.stderr) == (4, "", "roomguard: no event has the id 'e9'\n")
    assert roomguard(*run, "e2", "--set", "rules.many.when='chats > 3'").stdout.endswith("  no  chats > 3  [chats 3]\n")
    assert "did you mean 'many'" in roomguard(*run, "e2", "--rule", "mayn").stderr


def test_features() -> None:
    """`features` lists what rules may ask for, narrowed down by words."""
    everything, some = roomguard("features").stdout, roomguard("features", "gift").stdout

    assert "account_age_s" in everything
    assert "gift_count" in some
    assert "account_age_s" not in some


def test_control_without_a_guard() -> None:
    """Where no guard answers, the verbs that need one say so and exit with 3."""
    done = roomguard("status", "--admin", "http://127.0.0.1:9")

    assert done.returncode == 3
    assert done.stderr.startswith("roomguard: no guard answers at http://127.0.0.1:9")


@pytest.mark.parametrize("address", ["8700", "localhost", "127.0.0.1:99999", "[::1:80", "a:b"])
def test_listen_address(address: str) -> None:
    """An address that is none is wrong usage."""
    done = roomguard("serve", "--listen", address)

    assert done.returncode == 2
    assert "expected HOST:PORT" in done.stderr


@pytest.mark.slow
def test_demo() -> None:
    """The demo ends by itself with a summary, on no terminal too, and leaves nothing running or lying about."""
    done = roomguard("demo", "--rooms", "40", "--rate", "400", "--seconds", "5")

    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "rooms ",
        "events ",
        "actions by rule ",
        "attack: flood ",
        "innocents hit ",
        "event to action ",
        "Try next",
    ):
        assert line in done.stdout
    assert "lost 0, rejected 0" in done.stdout


@pytest.mark.slow
def test_demo_of_a_recording(config: Path, tmp_path: Path) -> None:
    """A recorded chat is played through the same sockets, faster than it was."""
    recording = tmp_path / "chat.jsonl"
    recording.write_text(chats(60))

    done = roomguard("demo", "--config", str(config), "--seconds", "3", "--recording", str(recording))

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"events +│ 60, ", done.stdout)
    assert "many 1" in done.stdout

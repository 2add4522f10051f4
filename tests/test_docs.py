"""What the pages show is what the code does: examples are taken out of them and run."""

from __future__ import annotations

import json
import re
from pathlib import Path

from roomguard.configure import configure
from roomguard.engine.room import RoomGuard
from roomguard.model.actions import encode_halves, join
from roomguard.model.events import Chat

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

"""Reading labelled texts: formats, labels, and where errors are."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from roomguard.errors import RecordingError
from roomguard.learning.samples import Reader, Reading, causes_of

CHAT = {"id": "e1", "kind": "chat", "room": "r", "user": "ann", "ts": 1000.0, "text": "Hello there"}


def found(file: Path, *lines: object, how: Reading | None = None) -> list[tuple[str, bool]]:
    """What stands in a file of these lines: folded text and label."""
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    file.write_text(text, encoding="utf-8")
    return [(sample.low, sample.spam) for sample in Reader(how or Reading()).read([str(file)]).samples]


@pytest.mark.parametrize(
    ("label", "spam"),
    [
        ("spam", True), ("ban", True), ("Timeout", True), (1, True), ("1", True), (True, True), ("mute", True),
        ("ham", False), (0, False), ("0", False), ("ok", False), (False, False),
    ],
)  # fmt: skip
def test_labels(tmp_path: Path, label: object, spam: bool) -> None:
    """Words, numbers and truth values are labels."""
    assert found(tmp_path / "a.jsonl", {**CHAT, "label": label}) == [("hello there", spam)]


def test_what_has_no_label_is_left_out(tmp_path: Path) -> None:
    """An unknown or missing label labels nothing, and is counted; a missing one may be taken for ham."""
    lines = [{**CHAT, "label": "odd"}, CHAT, {"user": "u", "text": "well"}]

    assert found(tmp_path / "a.jsonl", *lines) == []
    ham = Reading(unlabelled="ham")
    assert found(tmp_path / "a.jsonl", *lines, how=ham) == [("hello there", False), ("well", False)]
    counted = Reader(ham).read([str(tmp_path / "a.jsonl")]).labels
    assert counted == {("odd", "left out"): 1, ("(no label)", "ham"): 2}


def test_a_recording_holds_other_things(tmp_path: Path) -> None:
    """What has no text is passed over: joins, gifts, control records, empty lines."""
    lines = [
        {"type": "config", "room": "r", "ts": 1.0, "config": "c"},
        {"id": "j", "kind": "join", "room": "r", "user": "ann", "ts": 2.0},
        "",
        {**CHAT, "label": "spam"},
    ]

    assert found(tmp_path / "a.jsonl", *lines) == [("hello there", True)]


def test_moderation_labels(tmp_path: Path) -> None:
    """A human's mute makes spam of what its target wrote shortly before, a deletion of the message it names."""

    def said(event: str, user: str, at: float) -> dict[str, object]:
        return {**CHAT, "id": event, "user": user, "ts": at, "text": event}

    def acted(verb: str, at: float, **more: object) -> dict[str, object]:
        return {"id": f"m{at}", "kind": "moderation", "room": "r", "user": "mod", "ts": at, "verb": verb, **more}

    lines = [
        said("old", "bob", 100), said("early", "bob", 170), said("other", "cat", 171), said("late", "bob", 180),
        acted("mute", 190, target="bob"), said("named", "dan", 191), said("next", "dan", 192),
        acted("delete", 193, target="dan", target_event="named"), acted("unmute", 194, target="cat"),
    ]  # fmt: skip

    window = found(tmp_path / "a.jsonl", *lines, how=Reading(unlabelled="ham", before_s=30))
    named = found(tmp_path / "a.jsonl", *lines, how=Reading(unlabelled="ham"))
    assert [text for text, spam in window if spam] == ["early", "late", "named", "next"]
    assert [text for text, spam in named if spam] == ["named"]


def test_tables(tmp_path: Path) -> None:
    """A table's columns are named by its first line or by us; character references stand for characters."""
    how = Reading("CONTENT", "CLASS")
    lines = ("ID,CONTENT,CLASS", 'x,"one,\ntwo &amp; three",1', "y,four\ufeff,0")

    both = [("one,\ntwo & three", True), ("four", False)]
    assert found(tmp_path / "a.csv", *lines, how=how) == both
    assert found(tmp_path / "a.csv", f"\ufeff{lines[0]}\r", *lines[1:], how=how) == both
    bare = Reading("text", "label", columns=("label", "text"))
    assert found(tmp_path / "a.tsv", 'ham\the said "no', "spam\tyes", how=bare) == [
        ('he said "no', False),
        ("yes", True),
    ]


def test_compressed_files(tmp_path: Path) -> None:
    """A name that ends in .gz is read through."""
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps({**CHAT, "label": "ham"}).encode()))

    assert [sample.user for sample in Reader(Reading()).read([str(file)]).samples] == ["ann"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", b'{"text": "a"}\nnonsense\n', "a.jsonl:2: "),
        ("a.jsonl", b"[1]\n", "a.jsonl:1: a line must be a JSON object"),
        ("a.jsonl", b'{"text": "a"}\n\n{"text": "\xff"}\n', "a.jsonl:3: is not UTF-8: invalid start byte"),
        ("a.csv", b"text,label\na,1\nb\xe9,1\n", "a.csv:3: is not UTF-8"),
        ("a.csv", b"text,label\na,1\na\rb,1\n", "a.csv:3: new-line character"),
        ("a.csv", b"text,class\n", "a.csv:1: label: no such column; there are text, class"),
        ("a.csv", b"", "a.csv:1: text: no such column; there are none"),
        ("a.jsonl.gz", b"not compressed", "a.jsonl.gz:1: cannot be read: "),
        ("a.jsonl.gz", gzip.compress(b"{}\n")[:-9], "a.jsonl.gz:2: cannot be read: "),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, text: bytes, message: str) -> None:
    """The message names file, line and field."""
    (tmp_path / name).write_bytes(text)

    with pytest.raises(RecordingError, match=message.replace("[", r"\[")):
        Reader(Reading()).read([str(tmp_path / name)])


def test_only_what_was_decided_on(tmp_path: Path) -> None:
    """With the actions of a replay, only messages they were decided on count; labels still come from a human."""
    actions, file = tmp_path / "actions.jsonl", tmp_path / "a.jsonl"
    lines = [
        {**CHAT, "id": "one", "user": "bob", "text": "one"},
        {**CHAT, "id": "two", "user": "bob", "text": "two"},
        {**CHAT, "id": "three", "user": "cat", "text": "three"},
        {**CHAT, "id": "four", "user": "cat", "text": "four"},
        {"kind": "moderation", "room": "r", "verb": "mute", "target": "bob", "target_event": "two", "ts": 1001.0},
    ]
    actions.write_text(
        '{"kind": "delete", "room": "r", "events": ["two"], "causes": ["two", "one"]}\n'
        '{"kind": "mute", "room": "r", "causes": ["three", "four"]}\n'
        '{"kind": "restrict", "room": "r"}\n'
        '{"kind": "delete", "room": "another", "causes": ["four"]}\n'
    )

    among = Reading(unlabelled="ham", among=causes_of(str(actions)))
    assert found(file, *lines, how=among) == [("two", True), ("three", False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"room": "r", "causes": ["a"]}\n[]\n', "x.jsonl:2: a line must be a JSON object"),
        ('\n{"causes": ["a"]}\n', "x.jsonl:2: is no action"),
        ('{"room": "r", "causes": "a"}\n', "x.jsonl:1: is no action"),
        ("{", "x.jsonl:1: "),
    ],
)
def test_what_holds_no_actions(tmp_path: Path, text: str, message: str) -> None:
    """A file of actions that is none is refused with its line."""
    (tmp_path / "x.jsonl").write_text(text)

    with pytest.raises(RecordingError, match=re.escape(message)):
        causes_of(str(tmp_path / "x.jsonl"))


def test_equal_texts_have_one_key(tmp_path: Path) -> None:
    """Dress and punctuation do not make another text."""
    file = tmp_path / "a.jsonl"
    texts = ("So good!", "so, GOOD", "s\u200bo good...", "s\u043e g\u043e\u043ed")
    found(file, *({**CHAT, "label": "ham", "text": text} for text in texts))

    keys = {sample.key for sample in Reader(Reading()).read([str(file)]).samples}
    assert keys == {"so good"}


def test_markup_of_a_table_is_no_text(tmp_path: Path) -> None:
    """Tags say how a comment was shown and are left out; what its writer typed in angle brackets stays."""
    (tmp_path / "a.csv").write_text(
        'text,label\n"so <b>good</b>,<br />see <a href=""http://x.test/1"">2:19</a>",0\n'
        "i <3 you &lt;br&gt; >.< <who>,0\n"
    )

    parts = [sample.part.split() for sample in Reader(Reading()).read([str(tmp_path / "a.csv")]).samples]
    assert parts == [["so", "good", ",", "see", "2:19"], ["i", "<3", "you", "<br>", ">.<", "<who>"]]

"""`learn`, from files to a model: what is printed, what is measured, and that the same files give the same bytes."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings, strategies as st

from roomguard.cli import main
from roomguard.engine.text.model import MIDDLE, SHAPES, SIZE, from_bytes
from roomguard.learning.fitting import calibrate, fit, prepare
from roomguard.learning.measuring import (
    Judged,
    by_channel,
    learn,
    learn_for,
    least_left,
    merge,
    thinned,
    together,
    without,
)  # fmt: skip
from roomguard.learning.samples import Sample
from tests.learning.chatter import chatter

ROOT = Path(__file__).resolve().parent.parent.parent
OVERALL = re.compile(
    r"^held out: precision ([\d.]+), recall ([\d.]+), F1 ([\d.]+) \((\d+) spam, (\d+) ham\)", re.MULTILINE
)
PART = re.compile(r"^  (\S.*): precision [\d.]+, recall [\d.]+, F1 [\d.]+ \(\d+ spam, \d+ ham\)$", re.MULTILINE)


def samples(count: int, seed: int, users: int = 40) -> list[Sample]:
    """Made-up samples of some users."""
    return [
        Sample(text, text.lower(), text.lower(), spam, f"u{number % users}", "a.jsonl")
        for number, (text, spam) in enumerate(chatter(count, seed))
    ]


def table(file: Path, texts: Sequence[tuple[str, bool]]) -> str:
    with file.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink).writerows([("text", "label"), *((text, int(spam)) for text, spam in texts)])
    return str(file)


def recording(file: Path, texts: Sequence[tuple[str, bool]], room: str = "r", users: int = 40) -> str:
    """A recording in which a moderator mutes whoever wrote spam, naming the message."""
    with file.open("w", encoding="utf-8") as sink:
        for number, (text, spam) in enumerate(texts):
            event = {"id": f"m{number}", "room": room, "user": f"u{number % users}", "ts": 1e9 + number}
            sink.write(json.dumps({**event, "kind": "chat", "text": text}) + "\n")
            if spam:
                act = {**event, "id": f"a{number}", "kind": "moderation", "user": "mod", "verb": "mute"}
                sink.write(json.dumps({**act, "target": event["user"], "target_event": f"m{number}"}) + "\n")
    return str(file)


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["learn", *arguments])


def overall(said: str) -> tuple[float, float, float]:
    found = OVERALL.search(said)
    assert found is not None, said
    return float(found[1]), float(found[2]), float(found[3])


def test_from_a_table(tmp_path: Path) -> None:
    """A table makes a model; what is printed is held out, part by part and overall, and how it was split."""
    out = tmp_path / "spam.model"

    done = ran(table(tmp_path / "a.csv", chatter(600, 1)), "--out", str(out))

    assert done.exit_code == 0, done.output
    assert "split by text: " in done.output  # nobody is named
    assert PART.findall(done.output) == [f"part {number} of 5" for number in range(1, 6)]
    assert min(overall(done.output)) > 0.9
    figures = from_bytes(out.read_bytes()).figures
    assert (figures.precision, figures.recall, figures.f1) == pytest.approx(overall(done.output), abs=0.0006)
    assert "loudest for spam: " in done.output
    assert out.stat().st_size < 300_000
    assert not list(tmp_path.glob("*.part"))


def test_from_a_recording(tmp_path: Path) -> None:
    """A human's mutes are labels; users are kept together, so that nobody is measured by their own words."""
    file = recording(tmp_path / "a.jsonl", chatter(600, 2))

    done = ran(file, "--unlabelled", "ham", "--out", str(tmp_path / "m"))

    assert done.exit_code == 0, done.output
    assert "split by user: " in done.output
    assert "mute: spam, " in done.output
    assert min(overall(done.output)) > 0.9


def test_files_held_out(tmp_path: Path) -> None:
    """With --holdout the figures are those of the other file, and nothing it says is learned from."""
    texts, others = chatter(500, 3), chatter(300, 4)
    first, second = table(tmp_path / "a.csv", texts), table(tmp_path / "b.csv", [*others, *texts[:50]])

    done = ran(first, "--holdout", second, "--out", str(tmp_path / "m"))

    assert done.exit_code == 0, done.output
    assert "split: the held-out files" in done.output
    assert re.search(r"leakage: \d\d texts stand in the held-out files too", done.output)
    assert PART.findall(done.output) == [second]
    assert min(overall(done.output)) > 0.9


def test_file_by_file(tmp_path: Path) -> None:
    """With --split file each file is judged by the others."""
    files = [table(tmp_path / f"{seed}.csv", chatter(200, seed)) for seed in (5, 6, 7)]

    done = ran(*files, "--split", "file", "--out", str(tmp_path / "m"))

    assert done.exit_code == 0, done.output
    assert PART.findall(done.output) == sorted(files)
    assert min(overall(done.output)) > 0.85


def test_other_files_are_said_without_asking(tmp_path: Path) -> None:
    """Of several files the figures for files not learned from follow those by text, file by file."""
    files = [table(tmp_path / f"{seed}.csv", chatter(200, seed)) for seed in (5, 6, 7)]

    done = ran(*files, "--out", str(tmp_path / "m"))

    assert done.exit_code == 0, done.output
    assert PART.findall(done.output) == [*(f"part {number} of 5" for number in range(1, 6)), *sorted(files)]
    assert len(OVERALL.findall(done.output)) == 2


def test_rooms_of_a_recording_are_told_apart(tmp_path: Path) -> None:
    """Where recordings name rooms, rooms are held out, in whatever files they stand."""
    files = [recording(tmp_path / f"{room}.jsonl", chatter(300, seed), room) for seed, room in ((5, "a"), (6, "b"))]

    done = ran(*files, "--unlabelled", "ham", "--split", "room", "--out", str(tmp_path / "m"))

    assert (done.exit_code, PART.findall(done.output)) == (0, ["a", "b"]), done.output


def test_a_file_is_judged_as_if_it_had_been_held_out() -> None:
    """Neither weights nor curve of the model that judges a file saw anything of it."""
    made = merge(attrs.evolve(one, file=file) for file in "abc" for one in samples(200, ord(file))).samples
    mine = [one for one in made if one.file == "a"]

    (_, part), *_ = by_channel(made, "file").parts

    assert part == learn_for([one for one in made if one.file != "a"], mine).measured.judged


def test_many_rooms_are_held_out_a_fifth_at_a_time() -> None:
    """However many rooms there are each is judged once, by a model of most of the others."""
    made = merge(attrs.evolve(one, room=f"r{at % 12:02}") for at, one in enumerate(samples(600, 15))).samples

    measured = by_channel(made, "room")

    assert [name for name, _ in measured.parts] == [f"r{number:02}" for number in range(12)]
    assert len(together(part for _, part in measured.parts).spam) == len(made)
    assert least_left(made, "room") > sum(one.spam for one in made) // 2


def test_a_file_with_all_the_spam_cannot_be_held_out(tmp_path: Path) -> None:
    """Where too little is left without a file, asking for it is refused, and not asking says so."""
    ham = [(text, spam) for text, spam in chatter(300, 5) if not spam]
    files = [table(tmp_path / "a.csv", chatter(300, 6)), table(tmp_path / "b.csv", ham)]

    asked = ran(*files, "--split", "file", "--out", str(tmp_path / "m"))
    unasked = ran(*files, "--out", str(tmp_path / "m"))

    assert (asked.exit_code, "left to learn from" in asked.output) == (1, True)
    assert (unasked.exit_code, "other files cannot be judged" in unasked.output) == (0, True)


def test_one_file_cannot_be_split_by_file(tmp_path: Path) -> None:
    """--split file with one file is wrong usage."""
    done = ran(table(tmp_path / "a.csv", chatter(300, 5)), "--split", "file", "--out", str(tmp_path / "m"))

    assert (done.exit_code, "needs more than one file" in done.output) == (2, True)


def test_only_what_a_replay_decided_on(tmp_path: Path) -> None:
    """With --among only the messages that actions stand on are learned from."""
    file = recording(tmp_path / "a.jsonl", chatter(600, 8))
    actions = tmp_path / "actions.jsonl"
    actions.write_text("".join(f'{{"room": "r", "events": ["m{number}"]}}\n' for number in range(0, 600, 2)))

    done = ran(file, "--among", str(actions), "--unlabelled", "ham", "--out", str(tmp_path / "m"))

    assert done.exit_code == 0, done.output
    assert "read: 300 labelled texts" in done.output


def test_labels_that_mean_nothing_teach_nothing(tmp_path: Path) -> None:
    """Where labels have nothing to do with texts, the held-out figures say so."""
    texts = [(text, number % 2 == 0) for number, (text, _) in enumerate(chatter(600, 9))]

    done = ran(table(tmp_path / "a.csv", texts), "--out", str(tmp_path / "m"))

    assert overall(done.output)[2] < 0.65


@pytest.mark.parametrize(
    ("lines", "code", "message"),
    [
        ("text,label\n" + "buy coins,1\n" * 300 + "hello,0\n" * 300, 1, "1 spam and 1 ham to learn from; 20 of each"),
        ("text,class\na,1\n", 3, "a.csv:1: label: no such column"),
        ("text,label\na,1\nb\\\xe9,0\n", 3, "a.csv:3: is not UTF-8"),
    ],
)
def test_what_nothing_can_be_made_of(tmp_path: Path, lines: str, code: int, message: str) -> None:
    """Too few different texts and unreadable files have exit codes of their own, and leave no model behind."""
    (tmp_path / "a.csv").write_bytes(lines.encode("latin-1"))

    done = ran(str(tmp_path / "a.csv"), "--out", str(tmp_path / "m"))

    assert (done.exit_code, message in done.output) == (code, True), done.output
    assert not (tmp_path / "m").exists()


def test_a_model_that_cannot_be_written(tmp_path: Path) -> None:
    """A place that takes no file is said, without a stack trace."""
    done = ran(table(tmp_path / "a.csv", chatter(300, 1)), "--out", str(tmp_path / "none" / "m"))

    assert (done.exit_code, "cannot be written" in done.output) == (1, True)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """No order of a set or a dictionary, and no seed of Python's, gets into a model or its figures."""
    file = recording(tmp_path / "a.jsonl", chatter(300, 10))

    said = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        command = [sys.executable, "-m", "roomguard", "learn", file, "--unlabelled", "ham", "--out", str(out)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=100
        )
        said.append((out.read_bytes(), done.stdout.split(str(out))[0]))

    assert said[0] == said[1]


@settings(max_examples=8)
@given(st.lists(st.tuples(st.text(max_size=30), st.booleans()), min_size=4, max_size=40))
def test_any_samples_can_be_learned_from(texts: list[tuple[str, bool]]) -> None:
    """Whatever the texts and labels, the weights are finite, the table is whole, and fitting again gives the same."""
    made = merge(Sample(text, text.lower(), text, spam, "", "f") for text, spam in texts).samples

    once, again = learn(made, "text").model, learn(list(made), "text").model

    assert once == again
    assert (len(once.table), len(once.shapes)) == (SIZE, SHAPES)
    assert all(0 <= once.score(sample.low, sample.part) <= 1 for sample in made)


def test_the_order_of_grams_does_not_matter() -> None:
    """A sample's n-grams are a set: read in another order they give the same weights."""
    read = prepare(samples(200, 11))
    turned = prepare(samples(200, 11))
    for one in turned:
        one.grams.reverse()

    assert fit(read).table == fit(turned).table


def test_what_was_never_seen_weighs_nothing() -> None:
    """Places no sample touches stay at zero: a text of nothing but unseen characters is judged by its look alone."""
    model = learn(samples(200, 12), "text").model
    touched = {place for one in prepare(samples(200, 12)) for place in one.grams}

    assert {model.table[place] for place in range(SIZE) if place not in touched} == {MIDDLE}


def test_a_probability_is_one() -> None:
    """Of held-out texts called spam with about some chance, about that share is spam."""
    learned = learn(samples(3_000, 13), "text")
    judged = learned.measured.judged
    pairs = list(zip(judged.chances, judged.spam, strict=True))

    expected, found = sum(chance for chance, _ in pairs), sum(spam for _, spam in pairs)
    assert abs(expected - found) < 0.03 * len(pairs)


def test_copies_stand_on_one_side() -> None:
    """Texts that say the same are one sample, labelled as most of them; a tie is ham."""
    three = [Sample("A", "a", "a", spam, "", "f") for spam in (True, True, False)]
    two = [Sample("B", "b", "b", spam, "", "f") for spam in (True, False)]

    merged = merge([*three, *two])

    assert [(one.key, one.spam) for one in merged.samples] == [("a", True), ("b", False)]
    assert (merged.copies, merged.disputed) == (3, 2)
    assert [one.key for one in without(merged.samples, two)] == ["a"]


def test_ham_is_thinned() -> None:
    """All spam stays and so much ham for each; the same ham every time."""
    made = merge(samples(400, 14)).samples
    spam = [one for one in made if one.spam][:20]
    ham = [one for one in made if not one.spam]

    thin = thinned([*spam, *ham], 3)

    assert [one for one in thin if one.spam] == spam
    assert len(thin) == 4 * len(spam)
    assert thinned([*spam, *ham], 3) == thin
    assert thinned(spam + ham[:5], 3) == spam + ham[:5]


def test_figures() -> None:
    """Precision, recall, F1 and the share of ham called spam, counted by hand."""
    judged = Judged((0.9, 0.8, 0.6, 0.2, 0.5), (True, False, True, True, False))

    at_half = judged.figures()
    assert (at_half.spam, at_half.ham, at_half.precision, at_half.recall, at_half.f1) == (3, 2, 0.5, 0.6667, 0.5714)
    assert judged.ham_called(0.5) == 1.0
    assert (judged.figures(0.95).f1, judged.figures(0.95).precision, Judged((), ()).figures().f1) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("margins", "spam"),
    [([1.0, -1.0], [True, True]), ([5.0, -5.0] * 50, [True, False] * 50), ([0.0] * 10, [True, False] * 5)],
)
def test_a_curve_always_rises(margins: list[float], spam: list[bool]) -> None:
    """One kind alone, kinds that never overlap, margins that tell nothing: the curve stays finite and never falls."""
    curve = calibrate(margins, spam)

    assert 0 < curve.slope < 100
    assert abs(curve.offset) < 100

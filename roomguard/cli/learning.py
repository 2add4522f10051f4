"""`learn`: a text model from labels, and what it is worth on texts it has not seen."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from roomguard.engine.text.model import TextModel
    from roomguard.learning.measuring import Judged, Measured, Merged, Split
    from roomguard.learning.samples import Found, Sample

EXIT_LABELS = 1
"""Too few labelled texts to learn from."""
EXIT_FILE = 3
"""A file cannot be read."""
LEAST = 20
"""Texts of each kind below which nothing can be learned or measured."""
FEW = 200
"""Spam texts below which the figures are guesses."""
_SHOWN = 20
_HELD_OUT = "split: the held-out files; nothing they say was learned from"
_SPLITS = {
    "user": "split by user: each fifth of the users is judged by weights learned from the others",
    "text": "split by text: each fifth of the texts is judged by weights learned from the others",
    "file": "split by file: each file is judged by a model of others",
    "room": "split by room: each room is judged by a model of others",
}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False))
@click.option("--out", required=True, type=click.Path(dir_okay=False), metavar="FILE", help="The model to write.")
@click.option(
    "--holdout", multiple=True, metavar="FILE", type=click.Path(exists=True, dir_okay=False),
    help="Measure on this file and learn nothing from it. May be repeated.",
)  # fmt: skip
@click.option(
    "--split", type=click.Choice(["user", "text", "file", "room"]), default="user", show_default=True,
    help="Without --holdout: what is left out in turn. Texts without a user count as one each.",
)  # fmt: skip
@click.option("--text-field", default="text", show_default=True, metavar="NAME", help="Field or column of the text.")
@click.option("--label-field", default="label", show_default=True, metavar="NAME", help="Field or column of the label.")
@click.option("--columns", default="", metavar="NAME,NAME...", help="Columns of a table whose first line is a text.")
@click.option(
    "--unlabelled", type=click.Choice(["skip", "ham"]), default="skip", show_default=True,
    help="What a text without a label is.",
)  # fmt: skip
@click.option(
    "--before", "before_s", type=click.FloatRange(0, 3600), default=0.0, metavar="SECONDS",
    help="In recordings: what a human muted or kicked somebody for is all they wrote so long before.",
)  # fmt: skip
@click.option(
    "--among", multiple=True, metavar="FILE", type=click.Path(exists=True, dir_okay=False),
    help="In recordings: only messages that the actions in this file (of replay) were decided on. May be repeated.",
)  # fmt: skip
def learn(  # noqa: PLR0913 - a parameter a flag
    files: tuple[str, ...], *, out: str, holdout: tuple[str, ...], split: Split, text_field: str, label_field: str,
    columns: str, unlabelled: Literal["skip", "ham"], before_s: float, among: tuple[str, ...],
) -> None:  # fmt: skip
    """Learn from labelled texts how spam reads, and write a model for the feature text_spam.

    FILE is a recording or a bare chat log (JSONL) or a table (.csv, .tsv), compressed if its name ends in .gz. Labels
    are spam, ban, timeout, mute, kick, delete, 1 or ham, ok, none, 0; in recordings a human's moderation labels what it
    is about. The figures that are printed come from texts that were left out. The same files give the same model.

    \b
    Exit code: 0 done, 1 too few labels, 2 wrong usage, 3 a file cannot be read.
      python3 -m roomguard learn monday.jsonl tuesday.jsonl --out spam.model
      python3 -m roomguard learn comments.csv --text-field CONTENT --label-field CLASS --out spam.model
      python3 -m roomguard learn rooms/*.jsonl.gz --before 60 --unlabelled ham --holdout sunday.jsonl --out spam.model
    """
    from roomguard.errors import RecordingError
    from roomguard.learning.measuring import by_channel, learn as fitted, learn_for, merge, thinned, without
    from roomguard.learning.samples import Reader, Reading, causes_of

    started = time.monotonic()
    names = tuple(name.strip() for name in columns.split(",") if name.strip())
    try:
        only = frozenset[tuple[str, str]]().union(*map(causes_of, among)) if among else None
        reader = Reader(Reading(text_field, label_field, unlabelled, names, before_s, only))
        found = reader.read(files)
        apart = reader.read(holdout) if holdout else None
    except RecordingError as error:
        click.echo(f"roomguard: {error}", err=True)
        sys.exit(EXIT_FILE)
    merged = merge(found.samples)
    _say_labels("read", found, merged)
    samples = merged.samples
    tested: list[Sample] = []
    if apart is not None:
        held_out = merge(apart.samples)
        _say_labels("held out", apart, held_out)
        tested = held_out.samples
        _need(tested, "held out")
        kept = without(samples, tested)
        if len(kept) < len(samples):
            click.echo(f"leakage: {len(samples) - len(kept):,} texts stand in the held-out files too; not learned from")
        samples = kept
    thin = thinned(samples)
    if len(thin) < len(samples):
        click.echo(f"ham thinned out: {len(thin):,} of {len(samples):,} texts are learned from")
    _need(thin, "to learn from")
    if split == "user" and not any(sample.user for sample in thin):
        split = "text"  # nobody is named as the writer of these
    _warn_of_few(thin)
    if split in ("file", "room"):
        _need_channels(thin, split)
    learned = learn_for(thin, tested) if tested else fitted(thin, split)
    _write(out, learned.model)
    click.echo(f"\n{_HELD_OUT if tested else _SPLITS[split]}")
    _say_figures(learned.measured)
    channel = None if tested or split in ("file", "room") else _channel_of(thin)
    if channel:
        click.echo(f"\n{_SPLITS[channel]}, as it would be judged before anything of it was learned")
        _say_figures(by_channel(thin, channel))
    _say_grams(learned.model, thin)
    size = Path(out).stat().st_size
    click.echo(f"\n{out}: {size:,} bytes, content {learned.model.digest}, {time.monotonic() - started:.1f} s")
    click.echo(f'to use it: [words] model_file = "{out}", and a rule that asks for text_spam')


def _need(samples: Sequence[Sample], what: str) -> None:
    spam = sum(sample.spam for sample in samples)
    if min(spam, len(samples) - spam) >= LEAST:
        return
    click.echo(f"roomguard: {spam} spam and {len(samples) - spam} ham {what}; {LEAST} of each are needed", err=True)
    sys.exit(EXIT_LABELS)


def _warn_of_few(samples: Sequence[Sample]) -> None:
    spam = sum(sample.spam for sample in samples)
    if spam < FEW:
        click.echo(f"warning: only {spam} spam texts; the figures below are rough")


def _need_channels(samples: Sequence[Sample], split: Split) -> None:
    from roomguard.learning.measuring import channels, least_left

    if len(channels(samples, split)) == 1:
        raise click.UsageError(f"--split {split} needs more than one {split}")
    if (left := least_left(samples, split)) < LEAST:
        click.echo(f"roomguard: without one {split} {left} spam or ham are left to learn from; {LEAST} are needed",
                   err=True)  # fmt: skip
        sys.exit(EXIT_LABELS)


def _channel_of(samples: Sequence[Sample]) -> Split | None:
    """What can be held out to see what is to be expected elsewhere: rooms where they are known, else files."""
    from roomguard.learning.measuring import channels, least_left

    split: Split = "room" if any(sample.room for sample in samples) else "file"
    if len(channels(samples, split)) == 1:
        return None
    if (left := least_left(samples, split)) < LEAST:
        click.echo(f"\nother {split}s cannot be judged: without one {left} spam or ham are left; {LEAST} are needed")
        return None
    return split


def _say_labels(what: str, found: Found, merged: Merged) -> None:
    spam = sum(sample.spam for sample in merged.samples)
    click.echo(f"{what}: {len(found.samples):,} labelled texts, {len(merged.samples):,} different ones: "
               f"{spam:,} spam, {len(merged.samples) - spam:,} ham")  # fmt: skip
    for (label, taken), count in sorted(found.labels.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]:
        click.echo(f"  {label[:40]}: {taken}, {count:,}")
    if merged.disputed:
        click.echo(f"  {merged.disputed:,} texts are labelled both ways; the more frequent label stands")


def _write(out: str, model: TextModel) -> None:
    """The file appears under its name only when it is whole."""
    from roomguard.engine.text.model import to_bytes

    part = Path(f"{out}.part")
    try:
        part.write_bytes(to_bytes(model))
        part.replace(out)
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _say_figures(measured: Measured) -> None:
    from roomguard.learning.measuring import THRESHOLDS

    judged = measured.judged
    click.echo(f"held out: {_line(judged)}; spam is text_spam >= 0.5")
    click.echo("  text_spam >=  precision  recall  of ham")
    for threshold in THRESHOLDS:
        at = judged.figures(threshold)
        ham = judged.ham_called(threshold)
        click.echo(f"  {threshold:12g}  {at.precision:9.3f}  {at.recall:6.3f}  {ham:7.2%}")
    _say_parts(measured)


def _say_parts(measured: Measured) -> None:
    """The parts with most spam one by one, the others together."""
    from roomguard.learning.measuring import together

    parts = sorted(measured.parts, key=lambda part: -sum(part[1].spam))
    for name, part in sorted(parts[:_SHOWN], key=lambda part: part[0]):
        click.echo(f"  {name}: {_line(part)}")
    if others := parts[_SHOWN:]:
        click.echo(f"  {len(others):,} others: {_line(together(part for _, part in others))}")


def _line(judged: Judged) -> str:
    figures = judged.figures()
    return (f"precision {figures.precision:.3f}, recall {figures.recall:.3f}, F1 {figures.f1:.3f} "
            f"({figures.spam:,} spam, {figures.ham:,} ham)")  # fmt: skip


def _say_grams(model: TextModel, samples: Sequence[Sample]) -> None:
    from roomguard.learning.measuring import loudest

    for spam, what in ((True, "spam"), (False, "ham")):
        grams = loudest(model, samples, spam=spam)
        click.echo(f"\nloudest for {what}: " + ", ".join(f"{gram!r} {count}" for gram, count in grams))

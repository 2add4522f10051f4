"""Held-out figures: no text that is measured was learned from, whoever sent it and however it was dressed.

Samples that say the same are one sample, so that a copy can never stand on both sides. Without files to hold out, each
fifth of the users (or of the texts) is judged by weights fitted to the others, and so is each room or file. What a room
has of its own is learned in the former and not in the latter, which say what to expect of rooms not learned from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from roomguard.engine.text.model import MIDDLE, Figures, TextModel, grams, normal, spelled
from roomguard.learning.fitting import Curve, Read, calibrate, fit, order_of, packed, prepare, share_of
from roomguard.learning.samples import Sample

PARTS = 5
"""Parts that users or texts are split into."""
HAM_PER_SPAM = 20
"""Ham learned from for one spam; more teaches little and takes long."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
_NOTHING = Figures(0, 0, 0.0, 0.0, 0.0)


@attrs.define
class Merged:
    """Samples of which no two say the same."""

    samples: list[Sample]
    copies: int = 0
    """Samples that said what another one said."""
    disputed: int = 0
    """Texts labelled both ways: what most said stands, ham where it is even."""


def merge(samples: Iterable[Sample]) -> Merged:
    """One sample a text, the first, labelled as most of them."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.key].append(sample)
    out = Merged([])
    for group in groups.values():
        spam = sum(sample.spam for sample in group)
        out.copies += len(group) - 1
        out.disputed += 0 < spam < len(group)
        out.samples.append(attrs.evolve(group[0], spam=2 * spam > len(group)))
    return out


def without(samples: Iterable[Sample], others: Iterable[Sample]) -> list[Sample]:
    """The samples that say nothing the others say."""
    keys = {sample.key for sample in others}
    return [sample for sample in samples if sample.key not in keys]


def thinned(samples: Sequence[Sample], ham_per_spam: int = HAM_PER_SPAM) -> list[Sample]:
    """All spam, and so much ham for each at most; which ham is settled by what it says."""
    most = ham_per_spam * max(1, sum(sample.spam for sample in samples))
    ham = [number for number, sample in enumerate(samples) if not sample.spam]
    if len(ham) <= most:
        return list(samples)
    chosen = {ham[at] for at in order_of("ham", len(ham))[:most]}
    return [sample for number, sample in enumerate(samples) if sample.spam or number in chosen]


@attrs.frozen
class Judged:
    """Held-out samples and how likely each was called spam."""

    chances: Sequence[float]
    spam: Sequence[bool]

    def figures(self, threshold: float = 0.5) -> Figures:
        """What calling spam from `threshold` on is worth."""
        called = [(chance >= threshold, spam) for chance, spam in zip(self.chances, self.spam, strict=True)]
        right = sum(call and spam for call, spam in called)
        calls, positive = sum(call for call, _ in called), sum(self.spam)
        precision, recall = right / calls if calls else 0.0, right / positive if positive else 0.0
        f1 = 2 * right / (calls + positive) if calls + positive else 0.0
        return Figures(positive, len(called) - positive, round(precision, 4), round(recall, 4), round(f1, 4))

    def of(self, numbers: Sequence[int]) -> Judged:
        """Some of the samples, by their numbers."""
        return Judged([self.chances[at] for at in numbers], [self.spam[at] for at in numbers])

    def ham_called(self, threshold: float) -> float:
        """The share of ham called spam."""
        ham = [chance >= threshold for chance, spam in zip(self.chances, self.spam, strict=True) if not spam]
        return sum(ham) / len(ham) if ham else 0.0


def together(parts: Iterable[Judged]) -> Judged:
    """Parts as one."""
    several = list(parts)
    return Judged([chance for one in several for chance in one.chances], [spam for one in several for spam in one.spam])


@attrs.frozen
class Measured:
    """What models are worth on texts that their weights were not fitted to."""

    judged: Judged
    parts: tuple[tuple[str, Judged], ...]
    """The same by what was held out."""


@attrs.frozen
class Learned:
    """A model, and what it, or models of parts of its samples, were worth on other texts."""

    model: TextModel
    measured: Measured


Split = Literal["user", "text", "file", "room"]


def learn(samples: Sequence[Sample], split: Split) -> Learned:
    """A model of all samples; its figures come from models of parts of them."""
    read = prepare(samples)
    cross = _cross(samples, read, "text" if split == "text" else "user")
    measured = by_channel(samples, split) if split in ("file", "room") else cross.measured
    curve = calibrate(cross.margins, [one.spam for one in read])
    return Learned(packed(fit(read), curve, measured.judged.figures()), measured)


def learn_for(samples: Sequence[Sample], held_out: Sequence[Sample]) -> Learned:
    """A model of `samples`; its figures come from `held_out`."""
    model = _fitted(samples, prepare(samples))
    judged = _judge(model, prepare(held_out))
    measured = Measured(judged, _by_name(judged, [sample.file for sample in held_out]))
    return Learned(attrs.evolve(model, figures=judged.figures()), measured)


def channels(samples: Iterable[Sample], split: Split) -> list[str]:
    """The names of the rooms (or files) that can be held out; of a sample without a room the file is the room."""
    return sorted({_channel(sample, split) for sample in samples})


def least_left(samples: Sequence[Sample], split: Split) -> int:
    """Of the rarer kind, how many texts there are outside any part that `by_channel` holds out."""
    parts = _channel_parts(samples, split)
    least = len(samples)
    for number in range(PARTS):
        spam = [sample.spam for sample, part in zip(samples, parts, strict=True) if part != number]
        least = min(least, sum(spam), len(spam) - sum(spam))
    return least


def by_channel(samples: Sequence[Sample], split: Split) -> Measured:
    """Each room (or file) judged by a model of others: weights and curve saw nothing of it.

    Of more than `PARTS` rooms a fifth is held out at a time.
    """
    read, parts = prepare(samples), _channel_parts(samples, split)
    chances = [0.0] * len(samples)
    for part in sorted(set(parts)):
        outside = [at for at, other in enumerate(parts) if other != part]
        model = _fitted([samples[at] for at in outside], [read[at] for at in outside])
        for at, other in enumerate(parts):
            if other == part:
                chances[at] = model.chance(read[at].reading())
    judged = Judged(chances, [one.spam for one in read])
    return Measured(judged, _by_name(judged, [_channel(sample, split) for sample in samples]))


def _channel(sample: Sample, split: Split) -> str:
    return sample.room if split == "room" and sample.room else sample.file


def _channel_parts(samples: Sequence[Sample], split: Split) -> list[int]:
    """Rooms in parts with about as much spam each: those with most of it are dealt out first."""
    names = [_channel(sample, split) for sample in samples]
    spam = Counter(name for name, sample in zip(names, samples, strict=True) if sample.spam)
    sizes, part_of = [(0, number) for number in range(PARTS)], {}
    for name in sorted(set(names), key=lambda name: (-spam[name], name)):
        size, number = min(sizes)
        part_of[name] = number
        sizes[number] = (size + spam[name] + 1, number)
    return [part_of[name] for name in names]


def _fitted(samples: Sequence[Sample], read: Sequence[Read]) -> TextModel:
    """A model of samples, with no figures yet.

    Its curve comes from fifths of users or texts of all rooms: measured on other rooms that was better, in F1 and in
    log loss, than a curve from rooms held out, for which there is less to learn from.
    """
    margins = _cross(samples, read, "user").margins
    return packed(fit(read), calibrate(margins, [one.spam for one in read]), _NOTHING)


def _by_name(judged: Judged, names: Sequence[str]) -> tuple[tuple[str, Judged], ...]:
    groups: dict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(names):
        groups[name].append(at)
    return tuple((name, judged.of(groups[name])) for name in sorted(groups))


@attrs.frozen
class _Cross:
    """Every sample judged by weights that were not fitted to it."""

    margins: list[float]
    measured: Measured


def _cross(samples: Sequence[Sample], read: Sequence[Read], split: Literal["user", "text"]) -> _Cross:
    names = [_part_of(sample, split) for sample in samples]
    margins = [0.0] * len(samples)
    models = {}
    for name in sorted(set(names)):
        models[name] = packed(
            fit([one for one, part in zip(read, names, strict=True) if part != name]), Curve(), _NOTHING
        )
    for at, (one, name) in enumerate(zip(read, names, strict=True)):
        margins[at] = models[name].margin(one.reading())
    spam = [one.spam for one in read]
    chances = [0.0] * len(samples)
    for name, fitted in models.items():
        # The curve, too, comes from the other parts.
        outside = [at for at, part in enumerate(names) if part != name]
        curve = calibrate([margins[at] for at in outside], [spam[at] for at in outside])
        model = _with_curve(fitted, curve)
        for at, part in enumerate(names):
            if part == name:
                chances[at] = model.chance(read[at].reading())
    judged = Judged(chances, spam)
    return _Cross(margins, Measured(judged, _by_name(judged, names)))


def _with_curve(model: TextModel, curve: Curve) -> TextModel:
    return attrs.evolve(
        model,
        unit=model.unit * curve.slope,
        bias=model.bias * curve.slope + curve.offset,
        slope=curve.slope,
        shapes=tuple(shape * curve.slope for shape in model.shapes),
    )


def _judge(model: TextModel, read: Sequence[Read]) -> Judged:
    return Judged([model.chance(one.reading()) for one in read], [one.spam for one in read])


def _part_of(sample: Sample, split: Literal["user", "text"]) -> str:
    name = sample.user if split == "user" and sample.user else sample.key
    return f"part {share_of(name, PARTS) + 1} of {PARTS}"


def loudest(model: TextModel, samples: Sequence[Sample], *, spam: bool, most: int = 20) -> list[tuple[str, int]]:
    """The n-grams that speak loudest for spam (or for ham) in the samples, with the number of those they stand in."""
    counts: Counter[str] = Counter()
    weights: dict[str, int] = {}
    sign = 1 if spam else -1
    for sample in samples:
        if sample.spam != spam:
            continue
        text = normal(sample.low)
        own = {gram: model.table[place] - MIDDLE for gram, place in zip(spelled(text), grams(text), strict=True)}
        loud = {gram: weight for gram, weight in own.items() if weight * sign > 0}
        counts.update(loud.keys())
        weights.update(loud)
    ranked = sorted(counts, key=lambda gram: (-abs(weights[gram]) * counts[gram] ** 0.5, gram))
    out: list[tuple[str, int]] = []
    for gram in ranked:
        if len(out) == most:
            break
        if gram.strip() and not any(gram in other or other in gram for other, _ in out):
            out.append((gram, counts[gram]))
    return out

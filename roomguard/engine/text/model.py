"""A small linear model of texts: the weights of hashed character n-grams, learned from labels, in one file.

A text is read as the set of its 2- and 3-grams (of single characters too where it is not plain ASCII: there one
character can be a word) and of its words and marks, alone, in pairs and in threes, except in scripts that put no spaces
between words: what characters say holds for any language, and what words say holds better from one room to the next.
Each of these n-grams has a place in one table of signed bytes; the score is their sum over the square root of their
number, plus weights for the text's length, repetition and capitals, taken to a probability. Hashing needs no
vocabulary, so the file has one size, and a text that was never seen has a score.

All n-grams of characters are hashed at once: the text is one large integer with a lane of 32 bits a character, and a
multiplication by a constant is one for every lane. Words are hashed by their CRC.
"""

from __future__ import annotations

import hashlib
import math
import re
from itertools import pairwise
from operator import itemgetter
from struct import Struct
from typing import Final
from zlib import crc32

import attrs
import msgspec

MAGIC: Final = b"roomguard text model\n"
VERSION: Final = 3
BITS: Final = 18
SIZE: Final = 1 << BITS
"""Places in the table: one byte each."""
MAX_BYTES: Final = 1 << 20
"""A model file is never larger."""
MAX_CODE_POINTS: Final = 600
"""Code points of a folded text that are read."""
ORDERS: Final = (1, 2, 3)
WORD_ORDERS: Final = (1, 2, 3)
MAX_WORDS: Final = 120
"""Words and marks of a text that are read; the edges of the text count as two more."""
SHAPES: Final = 41
"""Weights for what a text looks like: length, repetition, capitals."""
LOUDEST: Final = 5
"""N-grams named as evidence."""
MIDDLE: Final = 128
"""The byte that stands for a weight of zero: a table of unsigned bytes is read without making any number."""

_LANES = MAX_CODE_POINTS + 2
_FACTORS = (11_939, 14_657, 9_173)
"""One a position of an n-gram. Below 2^14, so that their products with 16 bits, added up, never leave a lane of 32."""
_CHARACTERS = int.from_bytes(b"\xff\xff\0\0" * _LANES, "little")
_PLACES = int.from_bytes((SIZE - 1).to_bytes(4, "little") * _LANES, "little")
_UNPACK = tuple(Struct(f"<{count}I") for count in range(3 * _LANES + 1))
_CHECKSUM_BYTES = 16
_WORD = re.compile(r"[a-z0-9']+|[!-/:-@]")
_LETTERS = (
    "\u00aa\u00b5\u00ba\u00c0-\u060b\u060d-\u061a\u0620-\u06d3\u06d5-\u0963\u0966-\u0dff"  # Latin to Sinhala
    "\u0f00-\u0fff\u10a0-\u177f\u1800-\u1fff\u2c00-\u2dff\ua000-\ud7ff\ufb00-\ufdff\ufe70-\ufefc"  # Tibetan to Arabic
)
"""Scripts that put spaces between words, with their marks: not kana and ideographs, not Thai, Lao, Burmese, Khmer."""
_SPACED_WORD = re.compile(f"[a-z0-9'{_LETTERS}]+|[!-/:-@]")
_EDGE = 1
"""What stands for the beginning and the end of a text among the hashes of its words."""
_WORD_FACTORS = (1, 40_503, 2_654_435_769)


class ModelError(ValueError):
    """Bytes that are no model this version can use; the message says why."""


@attrs.frozen
class Reading:
    """A text as the model reads it."""

    grams: tuple[int, ...]
    """Places of its distinct n-grams in the table."""
    shapes: tuple[int, int, int]
    """Its length, repetition and capitals, as numbers of shape weights."""


def normal(low: str) -> str:
    """A folded text as n-grams are taken from it: single spaces, one at either end."""
    return f" {' '.join(low.split())[:MAX_CODE_POINTS]} "


def grams(text: str) -> tuple[int, ...]:
    """The places of all n-grams of a `normal` text, with repeats, in the order of `spelled`."""
    return (*_of_characters(text), *of_words(text))


def _of_characters(text: str) -> tuple[int, ...]:
    lanes = len(text)
    size = 4 * lanes
    one = int.from_bytes(text.encode("utf-32-le", "surrogatepass"), "little") & _CHARACTERS
    first, second, third = _FACTORS
    single = one * first
    two = single + (one >> 32) * second
    three = two + (one >> 64) * third
    data = (two & _PLACES).to_bytes(size, "little")[: size - 4]
    if lanes > 2:
        data += (three & _PLACES).to_bytes(size, "little")[: size - 8]
    if not text.isascii():
        data += (single & _PLACES).to_bytes(size, "little")
    return _UNPACK[len(data) >> 2].unpack(data)


def of_words(text: str) -> list[int]:
    """The places of the n-grams of words alone, with repeats."""
    _, second, third = _WORD_FACTORS
    found = (_WORD if text.isascii() else _SPACED_WORD).findall(text)[:MAX_WORDS]
    words = [crc32(word.encode()) for word in found]
    if not words:
        return []
    ones = [_EDGE, *words, _EDGE]
    mask = SIZE - 1
    twos = [one + two * second for one, two in pairwise(ones)]
    threes = [pair + one * third for pair, one in zip(twos, ones[2:], strict=False)]
    return [number & mask for number in (*words, *twos, *threes)]


def spelled(text: str) -> list[str]:
    """The n-grams of a `normal` text, in the order of `grams`; those of words as they stand in it."""
    orders = ORDERS[1:] if text.isascii() else (*ORDERS[1:], 1)
    characters = [text[at : at + order] for order in orders for at in range(len(text) - order + 1)]
    pattern = _WORD if text.isascii() else _SPACED_WORD
    spans = [word.span() for word in pattern.finditer(text)][:MAX_WORDS]
    if not spans:
        return characters
    edged = [(0, 0), *spans, (len(text), len(text))]
    words = [text[begin:end] for begin, end in spans]
    for order in WORD_ORDERS[1:]:
        words += [text[edged[at][0] : edged[at + order - 1][1]] for at in range(len(edged) - order + 1)]
    return characters + words


def read(low: str, part: str) -> Reading:
    """A folded text `low` and the text as sent (`part`) as the model reads them."""
    text = normal(low)
    found = grams(text)
    distinct = set(found)
    length = len(text).bit_length()
    case = 0 if part.islower() else 2 if part.isupper() else 1
    variety = 8 * len(distinct) // (len(found) + 1)
    shapes = (length, 11 + variety + 8 * (length > 5) + 8 * (length > 7), 35 + case + 3 * (length > 5))
    return Reading(tuple(distinct), shapes)


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model was made from and how it did on texts it had not seen."""

    spam: int
    ham: int
    precision: float
    recall: float
    f1: float


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line of JSON before the table."""

    version: int
    bits: int
    unit: float
    bias: float
    slope: float
    shapes: tuple[float, ...]
    figures: Figures


@attrs.frozen
class TextModel:
    """A fitted model. Immutable; `score` depends on the text and the file alone."""

    table: bytes = attrs.field(repr=False, hash=False)
    """A weight a place, `MIDDLE` being zero."""
    unit: float
    """What one step of a weight is worth."""
    bias: float
    slope: float
    """Steepness of the curve from margins to probabilities; its middle is part of `bias`."""
    shapes: tuple[float, ...] = attrs.field(repr=False)
    figures: Figures = attrs.field(eq=False)

    @property
    def digest(self) -> str:
        """Names the content of its file."""
        return hashlib.blake2b(to_bytes(self), digest_size=8).hexdigest()

    def score(self, low: str, part: str) -> float:
        """How likely a text is spam, 0 to 1, to four digits; `low` is `part` folded."""
        return self.chance(read(low, part))

    def chance(self, reading: Reading) -> float:
        """The same for a text already read."""
        # Rounded, so that no rule can tell one machine's exponential function from another's.
        return round(1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, self.margin(reading))))), 4)

    def margin(self, reading: Reading) -> float:
        """The score before it becomes a probability."""
        found, (length, variety, case) = reading.grams, reading.shapes
        shapes = self.shapes
        total = self.bias + shapes[length] + shapes[variety] + shapes[case]
        if len(found) > 1:
            count = len(found)
            total += self.unit * (sum(itemgetter(*found)(self.table)) - MIDDLE * count) / math.sqrt(count)
        return total

    def loudest(self, low: str, most: int = LOUDEST) -> tuple[str, ...]:
        """The n-grams that speak loudest for spam in a folded text, those inside another one left out."""
        text = normal(low)
        table = self.table
        weights: dict[str, int] = {}
        for gram, place in zip(spelled(text), grams(text), strict=True):
            weights[gram] = max(table[place], weights.get(gram, 0))
        ranked = sorted(weights, key=lambda gram: (-weights[gram], -len(gram), gram))
        # What speaks much lower than the loudest one explains nothing.
        least = MIDDLE + max(0, weights[ranked[0]] - MIDDLE) // 4
        out: list[str] = []
        for gram in ranked:
            if weights[gram] <= least or len(out) == most:
                break
            if gram.strip() and not any(gram in other for other in out):
                out.append(gram)
        return tuple(out)


def to_bytes(model: TextModel) -> bytes:
    """The file of a model: a name, a line of JSON, the table, a checksum."""
    head = _Head(VERSION, BITS, model.unit, model.bias, model.slope, model.shapes, model.figures)
    body = MAGIC + msgspec.json.encode(head) + b"\n" + model.table
    return body + _checksum(body)


def from_bytes(data: bytes) -> TextModel:
    """The model in the bytes of a file. Raises ModelError."""
    if len(data) > MAX_BYTES:
        raise ModelError(f"larger than {MAX_BYTES // 1024} KiB, which no model is")
    if not data.startswith(MAGIC):
        raise ModelError("is no text model; make one with `python3 -m roomguard learn`")
    line, _, rest = data[len(MAGIC) :].partition(b"\n")
    try:
        version = msgspec.json.decode(line, type=dict)["version"]
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError):
        raise ModelError("is damaged: its head cannot be read") from None
    if version != VERSION:
        raise ModelError(f"is a model of version {version}; this roomguard reads version {VERSION}, learn it again")
    if len(rest) < _CHECKSUM_BYTES or _checksum(data[:-_CHECKSUM_BYTES]) != data[-_CHECKSUM_BYTES:]:
        raise ModelError("is damaged or not whole: its checksum does not fit")
    return _model(line, rest[:-_CHECKSUM_BYTES])


def _model(line: bytes, table: bytes) -> TextModel:
    try:
        head = msgspec.json.decode(line, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(f"is damaged: {error}") from None
    numbers = (head.unit, head.bias, head.slope, *head.shapes)
    if head.bits != BITS or len(table) != SIZE or len(head.shapes) != SHAPES or not all(map(math.isfinite, numbers)):
        raise ModelError("is damaged: its parts do not fit together")
    return TextModel(table, head.unit, head.bias, head.slope, head.shapes, head.figures)


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()

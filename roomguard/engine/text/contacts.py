"""Ways to get in touch or pay that are no links: mail addresses, phone numbers, wallets, tags, accounts.

Each expression begins with the sign that few texts have, and looks back from there: one that begins with what may come
before it has to be tried at every character.
"""

from __future__ import annotations

import re
from itertools import islice

_mail = re.compile(r"@(?<=[\w.+\-]{2}.)[\w\-]{2,63}(?:\.[\w\-]{2,63}){1,3}")
_mail_name = re.compile(r"[\w.+\-]{2,64}+(?![\w.+\-])")
_MAIL_NAME = 65
_phone = re.compile(r"[+\d](?<![\w.].)(?:(?<=\+)\d|(?<=\d))(?:[\s().\-]{0,2}+\d){8,14}(?!\w)")
_wallet = re.compile(
    r"[b013T](?<!\w.)(?:(?<=b)c1[a-z0-9]{25,60}|(?<=0)x[0-9a-fA-F]{40}|(?<=[13])[1-9A-HJ-NP-Za-km-z]{25,34}"
    r"|(?<=T)[1-9A-HJ-NP-Za-km-z]{33})(?!\w)"
)
_numbered = re.compile(r"#(?<=[\w.]{2}.)\d{4}(?!\d)")
_numbered_name = re.compile(r"[\w.]{2,32}+(?![\w.])")
_NUMBERED_NAME = 33
_paid = re.compile(r"[$£](?<!\w.)[A-Za-z][\w\-]{3,20}(?!\w)")
_han = re.compile("[\u4e00-\u9fff]")
_account = re.compile(r"\d(?<![0-9A-Za-z].)(?:\d{6,11}|\d{3,5} \d{4,6})(?![0-9A-Za-z])")
_lettered = re.compile(r"\d(?<=[A-Za-z]{2}.)\d{2,7}(?![0-9A-Za-z])")
_lettered_name = re.compile(r"[A-Za-z]{2,8}+(?![0-9A-Za-z])")
_LETTERED_NAME = 9
MAX_NAMES = 16
"""Places of one kind looked at in one text whose name stands before the sign; there is no more to learn."""

PHONE_DIGITS = 9
"""Digits below which nothing is a number to call or a wallet."""
POINTING = frozenset("👉➡👇📲📩🔗")
"""What points at the name or number after it."""
_ACCOUNT_DIGITS = 3


_pointed = re.compile(rf"[{''.join(sorted(POINTING))}]\ufe0f?\s{{0,2}}[@\w]")


def count_contacts(text: str, digits: int) -> int:
    """Ways to get in touch in a text of at most 417 code points, which has so many digits."""
    found = 0
    if "@" in text and "." in text:
        found += _count_named(text, _mail, _mail_name, _MAIL_NAME)
    if digits >= PHONE_DIGITS:
        found += len(_phone.findall(text)) + len(_wallet.findall(text))
    if "#" in text:
        found += _count_named(text, _numbered, _numbered_name, _NUMBERED_NAME)
    if "$" in text or "£" in text:
        found += len(_paid.findall(text))
    if not text.isascii():
        if any(sign in text for sign in POINTING):
            found += len(_pointed.findall(text))
        if digits >= _ACCOUNT_DIGITS and _han.search(text):
            found += len(_account.findall(text)) + _count_named(text, _lettered, _lettered_name, _LETTERED_NAME)
    return found


def _count_named(text: str, sign: re.Pattern[str], name: re.Pattern[str], longest: int) -> int:
    """How often a `sign` has a `name` before it, which is read backwards and shorter than `longest`."""
    found = past = 0
    for match in islice(sign.finditer(text), MAX_NAMES):
        at = match.start()
        before = name.match(text[max(0, at - longest) : at][::-1])
        if before and at - before.end() >= past:
            found += 1
            past = match.end()
    return found

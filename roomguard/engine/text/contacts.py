"""Ways to get in touch or pay that are no links: mail addresses, phone numbers, wallets, tags, accounts."""

from __future__ import annotations

import re

_mail = re.compile(r"(?<![\w.+\-])[\w.+\-]{2,64}+@[\w\-]{2,63}(?:\.[\w\-]{2,63}){1,3}")
_phone = re.compile(r"(?<![\w.])\+?\d(?:[\s().\-]{0,2}\d){8,14}(?!\w)")
_wallet = re.compile(
    r"(?<!\w)(?:bc1[a-z0-9]{25,60}|0x[0-9a-fA-F]{40}|[13][1-9A-HJ-NP-Za-km-z]{25,34}|T[1-9A-HJ-NP-Za-km-z]{33})(?!\w)"
)
_tag = re.compile(r"(?<![\w.])[\w.]{2,32}+#\d{4}(?!\d)|(?<!\w)[$£][A-Za-z][\w\-]{3,20}(?!\w)")
_han = re.compile("[\u4e00-\u9fff]")
_account = re.compile(r"(?<![0-9A-Za-z])(?:\d{7,12}|[A-Za-z]{2,8}\d{3,8}|\d{4,6} \d{4,6})(?![0-9A-Za-z])")

PHONE_DIGITS = 9
"""Digits below which nothing is a number to call or a wallet."""
POINTING = frozenset("👉➡👇📲📩🔗")
"""What points at the name or number after it."""
_ACCOUNT_DIGITS = 3


_pointed = re.compile(rf"[{''.join(sorted(POINTING))}]\ufe0f?\s{{0,2}}[@\w]")


def count_contacts(text: str, digits: int) -> int:
    """Ways to get in touch in a text of at most 513 code points, which has so many digits."""
    found = 0
    if "@" in text and "." in text:
        found += len(_mail.findall(text))
    if digits >= PHONE_DIGITS:
        found += len(_phone.findall(text)) + len(_wallet.findall(text))
    if "#" in text or "$" in text or "£" in text:
        found += len(_tag.findall(text))
    if not text.isascii():
        found += len(_pointed.findall(text))
        if digits >= _ACCOUNT_DIGITS and _han.search(text):
            found += len(_account.findall(text))
    return found

"""Letters drawn alike, for texts that mix scripts in order to be read but not matched.

NFKC already takes full-width, mathematical and enclosed letters back to plain ones; here is what it leaves.
"""

from __future__ import annotations


def _pairs(pairs: str) -> dict[int, str]:
    """`"аa вb"`: from the first letter of each pair to its second."""
    return {ord(pair[0]): pair[1] for pair in pairs.split()}


CYRILLIC_TO_LATIN = _pairs("аa вb еe ѕs іi јj кk ӏl мm нh оo рp сc ԛq тt уy ѵv хx ԝw һh ԁd ɡg ьb пn гr зe ёe иu яr")
"""Lower-case Cyrillic letters that pass for Latin ones, some of them only inside a word that is Latin otherwise."""

LATIN_TO_CYRILLIC = _pairs("aа bв cс eе hн iі kк mм oо pр tт xх yу uи nп gг")
"""The way back, for a word that can only be Cyrillic."""

GREEK_TO_LATIN = _pairs("αa βb γy εe ζz ηn ιi κk νv οo ρp σo τt υu χx ωw ϲc ϳj μu ѡw")
"""Lower-case Greek letters that pass for Latin ones."""

ONLY_CYRILLIC = frozenset("бгджзийлпфцчшщъыэюяєґўђљњћџ")
"""Letters that a forger of Latin words does not use: a word with one of them, mixed or not, is Cyrillic."""

_LOOKALIKES = {
    "a": "ɑᴀⲁꭺ", "b": "ʙᖯƅꮟ", "c": "ᴄⲥꮯↄ", "d": "ᴅꮷđ", "e": "ᴇꬲɇ℮", "f": "ꜰꬵƒẝ", "g": "ɢɡցᶃ", "h": "ʜհᏂꮒ", "i": "ɪıɩꭵ",
    "j": "ᴊյ", "k": "ᴋⲕĸꮶ", "l": "ʟǀŀł", "m": "ᴍⲙꮇ", "n": "ɴոռꞑ", "o": "ᴏօⲟဝⵔø", "p": "ᴘⲣᴩ", "q": "ꞯգզ", "r": "ʀꭇᴦꮁ",
    "s": "ꜱꮪƽ", "t": "ᴛⲧꭲŧ", "u": "ᴜսʋꞟ", "v": "ᴠᴗꮩ", "w": "ᴡꮃա", "x": "ⲭ᙮", "y": "ʏყꭹɏ", "z": "ᴢꮓƶ",
}  # fmt: skip

LOOKALIKES = {ord(odd): plain for plain, odds in _LOOKALIKES.items() for odd in odds}
"""Small capitals, phonetic, Coptic, Cherokee, Armenian and struck-through letters, and the Latin ones they resemble."""

LEET = _pairs("0o 1i 3e 4a 5s 7t 8b 9g @a $s !i |l +t €e £l")
"""Digits and signs in the place of letters."""

"""What the simulated people say: small word lists of ten languages, and the texts made of them.

Texts are kept as JSON fragments without their quotes, encoded once, so that an event is put together by string
formatting alone. A chat text is two fragments, a cheer, or a row of emotes, which gives millions of different
texts from some thousand fragments.
"""

# ruff: noqa: RUF001 - letters of other scripts that look like Latin ones are what these lists are for

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import attrs

LANGUAGES: dict[str, tuple[float, str, str]] = {
    # share of the rooms, what stands between two words, the words
    "en": (
        0.44,
        " ",
        (
            "that jump was clean how do you even aim from there my internet died what did I miss anyone else lagging "
            "this soundtrack slaps best round so far try the left door no wait behind you he is cooking today coffee "
            "break soon we need a replay of this first stream for me hi from Oslo greetings good luck everybody"
        ),
    ),
    "es": (
        0.12,
        " ",
        (
            "qué buena jugada saludos desde Lima vamos con todo se cayó el audio otra vez ese final fue increíble "
            "mañana juegas temprano cuidado por detrás la música está genial buenas tardes gente aguanta un poco más"
        ),
    ),
    "pt": (
        0.07,
        " ",
        (
            "boa tarde pessoal que jogada linda manda salve o som ficou baixo não acredito nisso vai dar certo "
            "chegando agora perdi muita coisa essa fase é difícil parabéns pelo canal abraço de Recife coração"
        ),
    ),
    "de": (
        0.06,
        " ",
        (
            "moin zusammen das war knapp mach mal lauter bitte grüße aus Kassel läuft heute richtig gut nochmal "
            "von vorne schöner Zug übrigens spielst du morgen wieder ich fasse es nicht weiter so"
        ),
    ),
    "ru": (
        0.08,
        " ",
        (
            "добрый вечер отличный ход звук пропал опять привет из Перми давай ещё один раунд как настроение "
            "сегодня красиво сыграно осторожно сзади музыка топ подписался недавно удачи всем"
        ),
    ),
    "zh": (
        0.09,
        "",
        "晚上好呀这把稳了声音有点小刚来错过什么再来一局这操作绝了从成都来看你背景音乐叫什么加油别急慢慢打",
    ),
    "ja": (0.05, "", "こんばんは今来ました音小さいかも今のうまいもう一回お願いします大阪から見てます次も楽しみですね"),
    "ko": (
        0.05,
        " ",
        "안녕하세요 방금 왔어요 소리가 작아요 그거 멋졌다 한 판 더 해요 부산에서 보고 있어요 조심해 뒤에 있어 힘내요",
    ),
    "ar": (0.02, " ", "مساء الخير لعبة رائعة الصوت منخفض أعد المحاولة تحياتي من عمان كم الساعة عندكم استمر هكذا"),
    "th": (0.02, "", "สวัสดีทุกคนเพิ่งมาเสียงเบาไปหน่อยเล่นอีกรอบได้ไหมจากเชียงใหม่เก่งมากเลย"),
}

CHEERS = (
    "GG",
    "gg",
    "W",
    "lol",
    "LOL",
    "haha",
    "no way",
    "wow",
    "hi",
    "hello",
    "666",
    "草",
    "ㅋㅋㅋㅋ",
    "kkkk",
    "nice",
    "😂",
    "🔥🔥",
    "❤️",
)
EMOTES = ("PogChamp", "KEKW", "LUL", "Kappa", "catJAM", "monkaS", "Sadge", "Clap", "EZ", "HeyGuys")
ADVERTS = (
    "cheap viewers and followers at {host} first 100 for free",
    "get 5000 coins today {host} code {code}",
    "she is live without clothes on {host}",
    "double your deposit in one hour {host} works for me",
    "selling ranked accounts fast delivery {host}",
)
HOSTS = ("fame-boost.example", "coin-rain.example", "try-luck.example", "vip-cam.example", "rank-shop.example")


def fragment(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


@attrs.frozen
class Phrasebook:
    """Ready text fragments of one language: `openings` and `endings` combine freely, `long` ones stand alone."""

    openings: tuple[str, ...]
    endings: tuple[str, ...]
    long: tuple[str, ...]


def phrasebook(language: str, rng: random.Random, size: int = 512) -> Phrasebook:
    """The fragments of a language; the same for the same state of `rng`. `size` must be a power of two."""
    _, joiner, text = LANGUAGES[language]
    words: Sequence[str] = text.split() if joiner else text
    per_fragment = 2 if joiner else 4

    def some(count: int) -> str:
        return joiner.join(rng.choice(words) for _ in range(count))

    def dressed(text: str) -> str:
        """One in eight is shouted, stretched or decorated: human, and no offence."""
        roll = rng.randrange(24)
        if roll == 0:
            return text.upper()
        if roll == 1:
            return text + text[-1] * rng.randint(3, 8)
        return text + " " + rng.choice(("😂", "👏", "🎉", "💀", "❤️")) if roll == 2 else text

    openings = tuple(fragment(some(rng.randint(1, per_fragment))) for _ in range(size))
    endings = tuple(fragment(dressed(some(rng.randint(1, per_fragment + 1)))) for _ in range(size))
    long = tuple(fragment(some(rng.randint(8, 22))) for _ in range(size))
    return Phrasebook(openings, endings, long)


def pick_language(rng: random.Random) -> str:
    """A language for a room, by share."""
    shares = [share for share, _, _ in LANGUAGES.values()]
    return rng.choices(list(LANGUAGES), shares)[0]


def advert(rng: random.Random) -> str:
    """One campaign's text: an offer with a link."""
    code = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(5))
    return rng.choice(ADVERTS).format(host=f"{rng.choice(HOSTS)}/{code.lower()}", code=code)


def obfuscate(text: str, rng: random.Random) -> str:
    """The same advert to a reader, another string to a program."""
    roll = rng.randrange(6)
    if roll == 0:
        return text.replace(".", " dot ")
    if roll == 1:
        at = rng.randrange(1, len(text))
        return text[:at] + "\u200b" + text[at:]
    if roll == 2:
        return text.translate(str.maketrans("aeocp", "аеоср"))
    if roll == 3:
        return text.replace("e", "3").replace("o", "0")
    if roll == 4:
        return "".join(chr(ord(char) + 0xFEE0) if "a" <= char <= "z" else char for char in text)
    return text.upper() + " " + "!" * rng.randint(1, 5)

"""What viewers are told, one module a language. `en` names every frame and reason; a test holds the others to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from roomguard.engine.reason_texts import ar, de, en, es, fr, hi, id_, ja, ko, pt, ru, tr, vi, zh
from roomguard.engine.reason_texts.language import Language, Unit

LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {module.LANGUAGE.tag: module.LANGUAGE for module in (en, es, pt, de, fr, ar, hi, id_, ja, ko, ru, tr, vi, zh)}
)

__all__ = ["LANGUAGES", "Language", "Unit"]

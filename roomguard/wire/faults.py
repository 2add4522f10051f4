"""The reasons msgspec gives, as stable codes and short details.

The words of the details follow msgspec ("expected int >= 1"); the codes and the field names are ours. A table of
cases in the tests pins both, so that an upgrade that changes them is noticed.
"""

from __future__ import annotations

import re

MAX_DETAIL = 200
"""Characters of a detail. The rest is cut: it may quote what the peer sent, and a log line is not a mirror."""

UNREADABLE = (ValueError, RecursionError)
"""All that decoding untrusted text raises: msgspec's errors and both Unicode errors are ValueErrors."""

_MISSING = re.compile(r"Object missing required field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
_AT = re.compile(r"^(.*) - at `(?:key in )?\$\.?([^`]*)`$", re.DOTALL)


def explain(error: BaseException) -> tuple[str, str, str]:
    """(code, detail, field) of what msgspec raised for one object; `field` is "" where it is no object at all."""
    if isinstance(error, RecursionError):
        return "bad_event", "nested too deeply", ""
    text = str(error)
    if (match := _MISSING.match(text)) is not None:
        field = f"{match[2]}.{match[1]}" if match[2] else match[1]
        return "missing_field", field[:MAX_DETAIL], field
    if (match := _AT.match(text)) is not None:
        return "bad_field", f"{match[2]}: {_plain(match[1])}"[:MAX_DETAIL], match[2]
    return "bad_event", _plain(text)[:MAX_DETAIL], ""


def explain_frame(error: BaseException) -> str:
    """The detail of a `bad_frame`."""
    if isinstance(error, UnicodeError):
        return "no valid Unicode text"
    code, detail, _ = explain(error)
    return f"{detail}: missing" if code == "missing_field" else detail


def _plain(text: str) -> str:
    text = text.replace("`", "")
    return text[:1].lower() + text[1:] if not text.startswith("JSON") else text

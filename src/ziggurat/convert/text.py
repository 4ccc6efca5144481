"""Figures and foreign text as people are shown them, on pages and terminals. Pure."""

import html
import math
import time
import unicodedata

SHORT = 400
"""Characters of a path or a message that are shown; the tables beside the page have all of them."""

NOTHING = "\u2013"
"""An en dash, where there is no figure."""

MINUS = "\u2212"
TIMES = "\u00d7"

_SHOWN = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}


def visible(text: str, limit: int = SHORT) -> str:
    """Foreign text with its control, direction and half characters made visible, and its middle cut if it is long."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]} … {text[-half:]}"
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if ord(char) in _SHOWN:
        return _SHOWN[ord(char)]
    # Cf holds the marks that turn the direction of text around, Cs halves of characters.
    return f"\\u{ord(char):04x}" if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else char


def escaped(text: object, limit: int = SHORT) -> str:
    """Foreign text for HTML, SVG and their quoted attributes."""
    return html.escape(visible(str(text), limit), quote=True)


def count(number: float) -> str:
    """Such as ``430,000``."""
    return f"{number:,.0f}"


def amount(number: float) -> str:
    """Three significant digits or so: ``0.0312``, ``4.27``, ``81.3``, ``1,204``."""
    if abs(number) >= 100:  # noqa: PLR2004 - from here on the digits before the point suffice
        return f"{number:,.0f}"
    if number == 0:
        return "0"
    return f"{number:.{min(6, max(0, 2 - math.floor(math.log10(abs(number)))))}f}"


def size(number: float) -> str:
    """Bytes in powers of 1000, such as ``7.23 TB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:  # noqa: PLR2004 - the step between units
            return f"{number:.0f} B" if unit == "B" else f"{amount(number)} {unit}"
        number /= 1000
    return f"{amount(number)} TB"


def percent(part: float, whole: float) -> str:
    """A share; one that is not all never reads as 100 %, nor one that is not nothing as 0 %."""
    if not whole:
        return NOTHING
    share = 100 * part / whole
    if share not in {0.0, 100.0}:
        share = min(max(share, 0.1), 99.9) if 0 < share < 100 else share  # noqa: PLR2004 - per cent
        return f"{share:.1f} %"
    return f"{share:.0f} %"


def reduction(before: float, after: float) -> str:
    """How much smaller, such as ``-73.1 %`` with a real minus; with a plus where it grew."""
    if not before:
        return NOTHING
    change = 100 * (after / before - 1)
    return f"{'+' if change > 0 else MINUS}{abs(change):.1f} %"


def decibels(value: float | None) -> str:
    """A PSNR."""
    if value is None:
        return NOTHING
    return "identical" if math.isinf(value) else f"{value:.1f} dB"


def score(value: float | None) -> str:
    """A SSIMULACRA2."""
    return NOTHING if value is None else f"{value:.1f}"


def moment(seconds: object) -> str:
    """A time of day in UTC."""
    if not isinstance(seconds, int | float) or not 0 <= seconds < 253402300800:  # noqa: PLR2004 - the year 10000
        return NOTHING
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def span(began: float | None, ended: float | None) -> str:
    """From one time to another; the day is not said twice."""
    first, last = moment(began), moment(ended)
    if NOTHING in {first, last}:
        return ""
    day, _, clock = last.partition(" ")
    return f"{first.removesuffix(' UTC')} to {clock if first.startswith(day) else last}"


def plural(number: int, one: str, many: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count(number)} {one if number == 1 else many}"


def duration(seconds: float) -> str:
    """Such as ``3 d 04 h``, ``2 h 05 min``, ``4 min 10 s`` or ``9 s``."""
    whole = round(seconds)
    for size, unit, small, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small:02d} {name}"
    return f"{whole} s"

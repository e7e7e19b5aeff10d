"""Numbers that are kept exactly as they are written, or not at all."""

import math
import sys
from decimal import Decimal
from typing import Any

# The longest integer that is kept exactly. CPython refuses to print one of over 4,300 digits.
INTEGER_DIGITS = 1_000


TOO_LARGE = 10**INTEGER_DIGITS


_SURELY_KEPT = sys.float_info.dig


class Unreadable:
    """Stands where a number was that JSON cannot hold or nobody could read back."""

    def __init__(self, text: str, fault: str = "is not a number that JSON can hold.") -> None:
        self.text = text
        self.fault = fault

    def __repr__(self) -> str:
        return self.text


def exact_integer(text: str) -> Any:
    return int(text) if len(text) <= INTEGER_DIGITS else Unreadable(text)


def exact_float(text: str) -> Any:
    """The number in ``text``, or what ``document_of`` refuses if it could not be kept as it is.

    Documents are read as floats by nearly everybody, and so are kept as such. A number with more
    digits than a float gives back, or one nearer to 0, would silently become another one.
    """
    if len(text) > INTEGER_DIGITS:
        return Unreadable(text, f"has more than {INTEGER_DIGITS} digits.")
    number = float(text)
    if not math.isfinite(number):
        return Unreadable(text)
    if _is_exact(text, number):
        return number
    return Unreadable(
        text, f"would be changed to {number!r}: write it so, or all its digits as text."
    )


def _is_exact(text: str, number: float) -> bool:
    """Whether ``number``, in the few digits in which it is written, has the value of ``text``."""
    mantissa, exponent, _ = text.lower().partition("e")
    # A float gives back 15 digits, whichever they are; a larger document has very many of these.
    if not exponent and len(mantissa) <= _SURELY_KEPT:
        return True
    if number == 0:
        return not mantissa.strip("+-0._")
    return Decimal(text) == Decimal(repr(number))


def shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"

"""Numbers that are stored exactly as they are written, or refused."""

import math
import sys
from decimal import Decimal
from typing import Any

INTEGER_DIGITS = 1_000
"""The longest integer that is stored. CPython refuses to print one of over 4,300 digits."""

TOO_LARGE = 10**INTEGER_DIGITS

# A float gives back so many digits, whichever they are.
_SAFE_DIGITS = sys.float_info.dig


class Unreadable:
    """Stands in a parsed document for a number that cannot be stored; ``problem`` says why.

    The parser cannot raise there, because it does not know where in the document it is.
    """

    def __init__(self, text: str, problem: str = "is not a number that JSON can hold.") -> None:
        self.text = text
        self.problem = problem

    def __repr__(self) -> str:
        return self.text


def exact_integer(text: str) -> Any:
    """Return the integer in ``text``, or Unreadable if it is too long."""
    return int(text) if len(text) <= INTEGER_DIGITS else Unreadable(text)


def exact_float(text: str) -> Any:
    """Return the float in ``text``, or Unreadable if a float cannot hold it exactly.

    Nearly all programs read such numbers as floats, and so they are stored as floats. One with
    more digits than a float gives back, or closer to 0, would silently become another number.
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
    """Whether ``number``, in its shortest form, has the value of ``text``."""
    mantissa, exponent, _ = text.lower().partition("e")
    # Nearly all numbers end here: a Decimal for each would cost more than all other parsing.
    if not exponent and len(mantissa) <= _SAFE_DIGITS:
        return True
    if number == 0:
        return not mantissa.strip("+-0._")
    return Decimal(text) == Decimal(repr(number))


def shortened(text: str) -> str:
    """Return ``text`` cut to 60 characters, for a message."""
    return text if len(text) <= 60 else text[:57] + "…"

"""Names that people would mistake for other names."""

import re
import unicodedata
from collections.abc import Iterable

# Characters by the Latin letter that they look like. Unicode's own table (UTS 39) is far larger;
# these are the letters with which somebody could imitate a whole name in another script.
_LOOKING_LIKE = {
    "a": "аαɑ",
    "b": "ьβъ",
    "c": "сϲ",
    "d": "ԁժ",
    "e": "еєεҽ",
    "g": "ɡց",
    "h": "һհ",
    "k": "кκ",
    "l": "iıіɩιӏ1|",
    "m": "мμ",
    "n": "пηո",
    "o": "оοօσ0",
    "p": "рρ",
    "q": "ԛգ",
    "r": "гѓ",
    "s": "ѕʂ",
    "t": "тτ",
    "u": "υսц",
    "v": "νѵ",
    "w": "ѡԝω",
    "x": "хχ",
    "y": "уγүʏ",
    "z": "ʐζ",
}
_AS_LATIN = str.maketrans(
    {letter: latin for latin, letters in _LOOKING_LIKE.items() for letter in letters}
)
_SEPARATORS = re.compile(r"[\s_.-]+")
# Chinese, Japanese and Korean are each written in several scripts at once.
_SCRIPT_GROUPS = {
    "HIRAGANA": "CJK",
    "KATAKANA": "CJK",
    "KATAKANA-HIRAGANA": "CJK",
    "HANGUL": "CJK",
    "BOPOMOFO": "CJK",
    "IDEOGRAPHIC": "CJK",
}


def outline(name: str) -> str:
    """Return what of ``name`` a reader notices; names with the same outline look alike.

    Case, accents, separators and letters that look alike make no difference to it.
    """
    # NFKD separates letters from their accents, which are then dropped.
    bare = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(letter for letter in bare if not unicodedata.combining(letter))
    latin = _SEPARATORS.sub("", letters.translate(_AS_LATIN))
    # These two pairs look like one letter in most fonts.
    return latin.replace("rn", "m").replace("vv", "w")


def find_lookalike(name: str, others: Iterable[str]) -> str | None:
    """Return the first of ``others`` that ``name`` looks like, or None."""
    own = outline(name)
    return next((other for other in others if outline(other) == own), None)


def spelling_problem(name: str) -> str | None:
    """Return why a reader cannot tell which letters ``name`` has, in a sentence, or None.

    ``name`` is in Unicode's composed form (NFC).
    """
    # NFKC replaces exactly the letters that are variants of plain ones.
    if unicodedata.normalize("NFKC", name) != name:
        return "A name has no letters of a special form, such as wide or mathematical ones."
    # Mixed scripts are how homograph attacks are made (UTS 39, single-script names).
    scripts = sorted({_script(letter) for letter in name if letter.isalpha()})
    if len(scripts) > 1:
        return f"The letters of a name must be of one script; these are {' and '.join(scripts)}."
    return None


def _script(letter: str) -> str:
    # Python has no script property; the names of letters begin with their script.
    first = unicodedata.name(letter, "UNKNOWN").split()[0]
    return _SCRIPT_GROUPS.get(first, first).capitalize()

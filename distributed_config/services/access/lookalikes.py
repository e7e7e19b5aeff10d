"""Names that people would take for other names."""

import re
import unicodedata
from collections.abc import Iterable

# Letters of other scripts, after those that they look like.
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
    {each: latin for latin, others in _LOOKING_LIKE.items() for each in others}
)
_SEPARATORS = re.compile(r"[\s_.-]+")
# These are written together: Chinese, Japanese and Korean in more than one script.
_TOGETHER = {
    "HIRAGANA": "CJK",
    "KATAKANA": "CJK",
    "KATAKANA-HIRAGANA": "CJK",
    "HANGUL": "CJK",
    "BOPOMOFO": "CJK",
    "IDEOGRAPHIC": "CJK",
}


def outline(name: str) -> str:
    """What is seen of ``name`` at a glance; names with the same outline are taken for each other.

    Upper and lower case, accents, separators and letters that look alike make no difference.
    """
    bare = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(each for each in bare if not unicodedata.combining(each))
    latin = _SEPARATORS.sub("", letters.translate(_AS_LATIN))
    return latin.replace("rn", "m").replace("vv", "w")


def alike(name: str, others: Iterable[str]) -> str | None:
    """The one of ``others`` that ``name`` would be taken for; None: there is none."""
    seen = outline(name)
    return next((each for each in others if outline(each) == seen), None)


def fault_of_spelling(name: str) -> str | None:
    """What makes it hard to see which letters ``name`` has; None: nothing.

    ``name`` is in Unicode's composed form.
    """
    if unicodedata.normalize("NFKC", name) != name:
        return "A name has no letters in a special form, such as wide or mathematical ones."
    scripts = sorted({_script(each) for each in name if each.isalpha()})
    if len(scripts) > 1:
        return f"The letters of a name are of one script; these are of {' and '.join(scripts)}."
    return None


def _script(letter: str) -> str:
    first = unicodedata.name(letter, "UNKNOWN").split()[0]
    return _TOGETHER.get(first, first).capitalize()

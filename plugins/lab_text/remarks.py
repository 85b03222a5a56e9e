"""Notes and warnings about texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["count_signs", "describe_signs", "languages_look_swapped", "remarks_on_specials"]

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_BREAKS = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"
_COMBINING = "\u0300\u0301\u0302\u0303\u0308\u0327\u030a\u030c"
_CONTROL = "".join(map(chr, [*range(1, 9), *range(0x0E, 0x1C), 0x1F, 0x7F]))
_KINDS = {
    "invisible characters (such as zero-width spaces)": _INVISIBLE,
    "line or page separators that are not line ends": _BREAKS,
    "combining accents (NFD; unicodedata.normalize('NFC', …) or iconv composes them)": _COMBINING,
    "control characters": _CONTROL,
    "replacement characters (U+FFFD: zero bytes, or text that was decoded with a wrong encoding)": "\ufffd",
    "sequences such as 'Ã©' (UTF-8 that was decoded as Latin-1)": ("Ã©", "Ã¨", "Ã¤", "Ã¶", "Ã¼", "â€™", "Â "),
}

_COMMON = {
    "en": ("the", "of", "and", "is", "are", "what", "you", "to", "this", "who", "when", "where"),
    "fr": ("le", "la", "les", "des", "est", "et", "vous", "une", "que", "qui", "dans", "quand"),
    "de": ("der", "die", "das", "und", "ist", "ein", "eine", "nicht", "sie", "auf", "mit", "wer"),
}


def count_signs(text: str) -> Counter[str]:
    """Count invisible characters and signs of a wrong encoding, by kind."""
    # Most chunks are ASCII: counting the other signs would cost a pass over the text for each.
    if text.isascii():
        kinds = {kind: signs for kind, signs in _KINDS.items() if kind == "control characters" or signs is _BREAKS}
    else:
        kinds = dict(_KINDS)
    counts = {kind: sum(text.count(sign) for sign in signs if sign in text) for kind, signs in kinds.items()}
    return Counter({kind: count for kind, count in counts.items() if count})


def describe_signs(counts: Mapping[str, int]) -> list[str]:
    """Return one sentence for each kind."""
    return [f"{count:,} {kind}" for kind, count in counts.items()]


def remarks_on_specials(side: str, words: Iterable[str], specials: Sequence[str]) -> Iterator[str]:
    """Yield a warning for words that are spelled like special tokens."""
    there = set(words).intersection(specials)
    found = [word for word in specials if word in there]
    if found:
        shown = ", ".join(f"'{word}'" for word in found)
        yield f"the {side} sentences contain {shown}, spelled like special tokens; they become unknown words"


def languages_look_swapped(source: Mapping[str, int], target: Mapping[str, int], languages: Sequence[str]) -> bool:
    """Return True if the common words of each language occur on the other side.

    Args:
        source, target: lower-case word → its frequency.
        languages: of source and target.
    """
    # Nothing is known about the common words of other languages.
    if languages[0] == languages[1] or not all(language in _COMMON for language in languages):
        return False
    own, other = _COMMON[languages[0]], _COMMON[languages[1]]
    as_told = _hits(source, own) + _hits(target, other)
    swapped = _hits(source, other) + _hits(target, own)
    # Both conditions: short corpora and mixed languages must not raise false alarms.
    return swapped >= 20 and swapped > 5 * as_told


def _hits(counts: Mapping[str, int], words: Iterable[str]) -> int:
    return sum(counts.get(word, 0) for word in words)

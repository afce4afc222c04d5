"""What the product search takes for a match, and how good a match is. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

# A match's cost: the place of the word decides first, then whether it is the word itself or its beginning, then how
# many words the product's name has ("Fish Oil" is more to the point than "Fish Oil with Vitamin D").
_PLACE_COST: Final = 1000
PREFIX_COST: Final = 500
_TYPO_COST: Final = 10_000
_MOST_NAME_WORDS: Final = 99
_MOST_WORDS: Final = 8  # of a query
_LONGEST: Final = 40  # characters of a word
_WORD: Final = re.compile(r"[^\W_]+")
_LITTLE: Final = frozenset({"a", "an", "and", "for", "in", "of", "or", "the", "to", "with"})
_LAST: Final = "\U0010ffff"  # sorts behind every continuation of a word
_NEXT: Final = "\x01"  # sorts before every continuation of a word


class Span(NamedTuple):
    """A range of words, in the order of code points, that answers one word of a query."""

    term: int  # which word of the query
    first: str
    behind: str  # the first word past the range
    cost: int  # of the range's first word; the others begin with it, or with its letter, and cost PREFIX_COST more


def words_of(text: str) -> list[str]:
    """Return the words of *text* as they are searched: lower case, without accents, in the singular."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(character for character in plain if not unicodedata.combining(character)).casefold()
    return [_singular(word[:_LONGEST]) for word in _WORD.findall(plain)]


def query_words(text: str) -> tuple[str, ...]:
    """Return the words a query asks for, each once, at most eight; little words count only when there is no other."""
    words = list(dict.fromkeys(words_of(text)))
    telling = [word for word in words if word not in _LITTLE]
    return tuple((telling or words)[:_MOST_WORDS])


def product_words(name: str, terms: Iterable[str], ingredients: Iterable[str]) -> dict[str, int]:
    """Return what each word of a product costs as a match: the name's words least, then the terms', then the rest."""
    named = words_of(name)
    size = min(len(named), _MOST_NAME_WORDS)
    costs: dict[str, int] = {}
    for place, texts in enumerate((named, _words(terms), _words(ingredients))):
        for word in texts:
            costs.setdefault(word, place * _PLACE_COST + size)
    return {word: cost for word, cost in costs.items() if word not in _LITTLE or cost < _PLACE_COST}


def spans_of(term: int, word: str) -> list[Span]:
    """Return what answers *word* as it stands: itself, and the words it begins.

    A number answers only itself ("3" is not "300"); a single letter begins only its numbers ("d" is also "d3").
    """
    if word.isdecimal():
        return [Span(term, word, word + _NEXT, 0)]
    if len(word) == 1:
        return [Span(term, word, word + ":", 0)]
    return [Span(term, word, word + _LAST, 0)]


def correctable(word: str) -> bool:
    """Return whether a slip in *word* would be forgiven."""
    return _forgiven(word) > 0


def corrections(term: int, word: str, candidates: Iterable[str]) -> list[Span]:
    """Return the nearest of *candidates* to a *word* that the catalogue does not know; none when all are too far.

    One slip is forgiven from four letters on, two from seven on. Two neighbours swapped are one slip.
    """
    allowed = _forgiven(word)
    near = [
        (slips, candidate)
        for candidate in candidates
        if abs(len(candidate) - len(word)) <= allowed and (slips := distance(word, candidate)) <= allowed
    ]
    least = min((slips for slips, _ in near), default=0)
    return [Span(term, candidate, candidate + _NEXT, slips * _TYPO_COST) for slips, candidate in near if slips == least]


def distance(left: str, right: str) -> int:
    """Return how many slips (a letter too many, missing, wrong, or two swapped) part two words.

    Source:
        Optimal string alignment distance.
    """
    before: Sequence[int] = ()
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        two_before, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, two_before[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _forgiven(word: str) -> int:
    if word.isdecimal() or len(word) < 4:
        return 0
    return 1 if len(word) < 7 else 2


def _words(texts: Iterable[str]) -> Iterable[str]:
    return (word for text in texts for word in words_of(text))


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word

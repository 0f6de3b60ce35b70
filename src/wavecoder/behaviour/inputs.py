"""Values to call a function with, made by program."""

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

from wavecoder.behaviour.shapes import Shape, ShapeKind
from wavecoder.languages import leaves

__all__ = ["Inputs", "guesses"]

K = ShapeKind
_INT, _FLOAT, _TEXT, _BOOL, _ANY = (Shape(one) for one in (K.INT, K.FLOAT, K.TEXT, K.BOOL, K.ANY))
_INTS, _TEXTS = Shape(K.LIST, (_INT,)), Shape(K.LIST, (_TEXT,))
_FLOATS, _GRID = Shape(K.LIST, (_FLOAT,)), Shape(K.LIST, (_INTS,))
_TABLE, _MIXED = Shape(K.MAP, (_TEXT, _INT)), Shape(K.LIST, (_ANY,))
# A text with numbers in it.
_DIGITS = Shape(K.TEXT, text="digits")

# What a parameter is, by its name, where nothing else says it; the first that fits is tried first.
_BY_NAME: tuple[tuple[str, tuple[Shape, ...]], ...] = (
    (r"(?:is|has|should|use|with)_\w+|flag|reversed?|strict|verbose|ascending", (_BOOL,)),
    (r"matrix|grid|board|table|mat|rows|lists|arrays|intervals|pairs|points", (_GRID, _INTS)),
    (r"words|strings|strs|names|lines|tokens|texts|keys|\w*_(?:words|strings|names)|planets?",
     (_TEXTS,)),
    (r"d|di?ct|map|mapping|obj|object|options|opts|config|record|counts|hash|\w*_dict", (_TABLE,)),
    (r"s\d?|t|st|str|strng|string|text|word|txt|sentence|line|char|ch|letter|pattern|substr\w*"
     r"|prefix|suffix|sep|delim\w*|path|url|key|date|time|msg|message|title|phrase|paragraph|name"
     r"|\w*_?(?:str|string|text|word|name)|\w*String|\w*Text|brackets|file\w*|song|music\w*",
     (_TEXT, _TEXTS)),
    (r"l\d?|ls|li|lst|list\w*|arr|array|nums?s|numbers|items|values|seq|sequence|data|elements|vec"
     r"|vector|xs|ys|\w*_?(?:list|array|nums|numbers|values)|\w*(?:List|Array)|interval\d?|operand"
     r"|game|guess|scores|weights|prices|coeffs?", (_INTS, _TEXTS, _FLOATS)),
    (r"price|rate|ratio|radius|weight|threshold|eps(?:ilon)?|alpha|beta|prob\w*|temperature",
     (_FLOAT, _INT)),
    (r"[a-zA-Z]\d?|num\w*|\w*_?(?:num|number|count|size|length|index|limit|id)|idx|start|end"
     r"|max\w*|min\w*|year|month|day|age|width|height|depth|level|base|exp\w*|power|steps?|total"
     r"|amount|target|value|val|int\w*|need|remaining|left|right|low|high|\w*_n|n_\w+",
     (_INT, _FLOAT)),
)  # fmt: skip
_ANYTHING = (_INTS, _TEXT, _INT, _TEXTS, _FLOAT, _TABLE, _GRID, _BOOL, _MIXED, _DIGITS)
_WORDS = ("apple", "Hello", "world", "the", "quick", "abc", "level", "Zebra", "x1", "aab", "Test")
_EDGE_TEXTS = (
    *("", "a", "abc", "Hello World", "racecar", "aAbB", " ", "12", "a1b2c3", "the cat sat", "3.5"),
    *("-7", "AAA", "hello, world!", "one two  three", "1/2", "10", "2021-03-04"),
)
_WIDE_TEXTS = ("é", "naïve café", "日本語")
_EDGE_INTS = (0, 1, 2, -1, 3, 5, 10, 7, -3, 12, 100, 4, 6, 15, 24)
_EDGE_FLOATS = (0.0, 1.0, -1.5, 0.5, 2.5, 3.75, 10.0, -0.25, 100.25, 2.0)
_BRACKETS = ("()", "[]", "{}", "<>")
_MOST_CONSTANTS = 40


# What is done with a parameter, as far as it says what it is; `{}` is its name.
_BY_USE: tuple[tuple[str, tuple[Shape, ...]], ...] = (
    (r"{}\.(?:split|lower|upper|strip|replace|isdigit|isalpha|startswith|endswith|encode|format"
     r"|toLowerCase|toUpperCase|charAt|charCodeAt|substring|substr|trim|downcase|upcase|chars|gsub"
     r"|scan|count)\b", (_TEXT, _DIGITS)),
    (r"str(?:len|toupper|tolower|rev|pos)\(\${}", (_TEXT,)),
    (r"{}\.(?:keys|items|values|get|has_key|each_pair)\b|Object\.(?:keys|entries)\({}\b",
     (_TABLE,)),
    (r"{}\.(?:append|extend|push|shift|sort|reduce|map|forEach|filter|each|inject|first|last|max"
     r"|min)\b|(?:sum|sorted|array_\w+)\(\$?{}\b", (_INTS, _TEXTS, _FLOATS, _GRID)),
    (r"range\((?:\w+, *)?{}\b|{} *%|{} \*\* |[<>]=? *{}\b(?!\[|\.)|{}\.times\b", (_INT, _FLOAT)),
    (r"len\({}\)|\bin {}\b|\bof {}\b|{}\.length\b|{}\[", (_INTS, _TEXT, _TEXTS, _GRID)),
)  # fmt: skip


def guesses(name: str, code: str) -> list[Shape]:
    """Return what a parameter without a type may be, the likeliest first.

    Args:
        name: The parameter's; of its letter case nothing is made where it has more than one.
        code: The function's text: what is done with the parameter says more than its name.
    """
    named: tuple[Shape, ...] = ()
    for use, shapes in _BY_USE:
        if re.search(use.replace("{}", rf"(?<![\w.]){re.escape(name)}"), code):
            named += shapes
            break
    for pattern, shapes in _BY_NAME:
        if re.fullmatch(pattern, name, re.IGNORECASE if len(name) > 1 else 0):
            both = [one for one in named if one in shapes]
            named = (*both, *named, *shapes)
            break
    return list(dict.fromkeys((*named, *_ANYTHING)))


class Inputs:
    """Makes values of shapes, from edge cases, chance, and the constants of the code."""

    def __init__(self, codes: Sequence[tuple[str, str]], rng: random.Random, *, wide: bool) -> None:
        """Read the constants.

        Args:
            codes: Texts with their languages.
            rng: All chance is drawn from it.
            wide: Letters beyond ASCII may be in texts.
        """
        self.rng, self.wide = rng, wide
        # Of a call: whether its texts and numbers are those of the code alone.
        self.known = False
        self.ints: list[int] = []
        self.floats: list[float] = []
        self.texts: list[str] = []
        for code, language in codes:
            self._read(code, language)
        letters = "".join(one for one in self.texts if len(one) <= 12)
        self.alphabet = sorted(set(letters))
        if not wide:
            self.alphabet = [one for one in self.alphabet if one.isascii()]
            self.texts = [one for one in self.texts if one.isascii()]

    def _read(self, code: str, language: str) -> None:
        """Take the literals of a text."""
        for leaf in leaves(code, language):
            text = leaf.text
            if leaf.is_comment or len(self.ints) + len(self.texts) > _MOST_CONSTANTS:
                continue
            if re.fullmatch(r"\d{1,10}(?:_?[iu](?:8|16|32|64|size))?|\d{1,9}[lL]", text):
                number = int(re.match(r"\d+", text)[0])  # type: ignore[index]
                self.ints += [
                    one for one in (number, number - 1, number + 1) if one not in self.ints
                ]
            elif re.fullmatch(r"\d+\.\d+", text):
                self.floats.append(float(text))
            elif len(text) > 2 and text[0] in "\"'`" and text[-1] == text[0] and "\n" not in text:
                made = _unescaped(text[1:-1])
                if 0 < len(made) <= 60 and made not in self.texts:
                    self.texts.append(made)

    def value(self, shape: Shape, depth: int = 0) -> Any:
        """Return a value by chance."""
        rng, kind = self.rng, shape.kind
        if kind is K.INT:
            return self._int(shape, depth)
        if kind is K.FLOAT:
            pool = (*_EDGE_FLOATS, *self.floats, *map(float, self.ints[:9]))
            return rng.choice(pool) if rng.random() < 0.7 else round(rng.uniform(-20, 50), 2)
        if kind is K.BOOL:
            return rng.random() < 0.5
        if kind is K.TEXT:
            return self._digits() if shape.text == "digits" else self._text(depth)
        if kind is K.CHAR:
            letters = [*self.alphabet, *"abcXYZ019 "]
            return rng.choice([one for one in letters if one.isascii()])
        if kind is K.TUPLE:
            return [self.value(part, depth + 1) for part in shape.parts]
        if kind is K.MAYBE:
            return None if rng.random() < 0.2 else self.value(shape.parts[0], depth)
        if kind is K.MAP:
            key, item = shape.parts or (_TEXT, _ANY)
            pairs = [
                (
                    self.value(_TEXT if key.kind is K.ANY else key, depth + 2),
                    self.value(item, depth + 1),
                )
                for _ in range(rng.choice((0, 1, 2, 2, 3)))
            ]
            return dict(pairs)
        if kind in (K.LIST, K.SET):
            return self._list(shape, depth)
        return self.value(rng.choice((_INT, _INT, _TEXT, _FLOAT, _INTS, _BOOL)), depth + 1)

    def _int(self, shape: Shape, depth: int) -> int:
        rng, chance = self.rng, self.rng.random()
        for _ in range(20):
            if self.known and self.ints and chance < 0.8:
                made = rng.choice(self.ints)
            elif chance < 0.3 or (depth and chance < 0.5):
                made = rng.randint(0, 10)
            elif chance < 0.55 and self.ints:
                made = rng.choice(self.ints)
            elif chance < 0.75:
                made = rng.randint(-20, 50)
            elif chance < 0.95:
                made = rng.choice(_EDGE_INTS)
            else:
                made = rng.randint(100, 2000)
            if shape.least <= made <= shape.most:
                return made
            chance = rng.random()
        return max(shape.least, 0)

    def _text(self, depth: int) -> str:
        rng, chance = self.rng, self.rng.random()
        if self.known and self.texts and chance < 0.8:
            made = rng.choice(self.texts)
        elif chance < 0.07:
            made = self._digits()
        elif chance < 0.25:
            made = rng.choice(_EDGE_TEXTS + (_WIDE_TEXTS if self.wide and depth == 0 else ()))
        elif chance < 0.4 and self.texts:
            made = rng.choice(self.texts)
        elif chance < 0.6 and self.texts:
            some = [rng.choice(self.texts) for _ in range(rng.randint(2, 4))]
            made = rng.choice(("", " ", " ", ", ")).join(some)
        elif chance < 0.8 and self.alphabet:
            made = self._lettered()
        elif chance < 0.9:
            made = " ".join(rng.choice(_WORDS) for _ in range(rng.randint(1, 4)))
        else:
            made = "".join(rng.choice("abcABC01 ") for _ in range(rng.randint(1, 9)))
        return made[:80]

    def _digits(self) -> str:
        """Return a number as text, or some with what the code has between them."""
        rng = self.rng
        pool = ("0", "1", "7", "12", "-3", "2.5", "-0.5", "100", "15.5", str(rng.randint(2, 99)))
        marks = [one for one in self.texts if len(one) < 3 and not one.isalnum()]
        if not marks or rng.random() < 0.4:
            return rng.choice(pool)
        count = rng.choice((2, 2, 2, 3))
        numbers = [rng.randint(1, 31) for _ in range(count)]
        if count == 3 and rng.random() < 0.7:
            numbers = [rng.randint(1, 12), *numbers[:1], rng.choice((1999, 2000, 2024))]
        width = rng.choice((1, 2))
        return rng.choice(marks).join(f"{one:0{width}}" for one in numbers)

    def _lettered(self) -> str:
        """Return a text of the letters that the code speaks of, brackets mostly in pairs."""
        rng = self.rng
        pairs = [one for one in _BRACKETS if set(one) <= set(self.alphabet)]
        if pairs and rng.random() < 0.7:
            made = ""
            opened: list[str] = []
            for _ in range(rng.randint(2, 8)):
                if opened and rng.random() < 0.5:
                    made += opened.pop()
                else:
                    pair = rng.choice(pairs)
                    made += pair[0]
                    opened.append(pair[1])
                if rng.random() < 0.1:
                    made += " "
            return made + ("".join(reversed(opened)) if rng.random() < 0.7 else "")
        more = "" if rng.random() < 0.5 else "aB1 "
        return "".join(rng.choice([*self.alphabet, *more]) for _ in range(rng.randint(1, 10)))

    def _list(self, shape: Shape, depth: int) -> list[Any]:
        rng = self.rng
        item = shape.parts[0] if shape.parts else _ANY
        longest = (0, 1, 2, 3, 3, 4, 5, 6, 8) if depth == 0 else (0, 1, 2, 3, 3)
        made = [self.value(item, depth + 1) for _ in range(rng.choice(longest))]
        mode = rng.random()
        if shape.kind is K.SET:
            return list({repr(one): one for one in made}.values())
        if made and mode < 0.2:
            made.append(rng.choice(made))
        elif mode < 0.4 and item.kind in (K.INT, K.FLOAT, K.TEXT):
            made.sort(reverse=mode < 0.27)
        elif made and mode < 0.47:
            made = made + made[-2::-1]
        elif made and mode < 0.57 and item.kind in (K.INT, K.FLOAT) and item.least < 0:
            made.insert(rng.randrange(len(made) + 1), -rng.choice(made))
        return made

    def edges(self, shape: Shape) -> list[Any]:
        """Return values that stand at an edge: empty, zero, one, equal ones."""
        kind = shape.kind
        if kind is K.INT:
            return [one for one in _EDGE_INTS if shape.least <= one <= shape.most]
        if kind is K.FLOAT:
            return list(_EDGE_FLOATS)
        if kind is K.BOOL:
            return [True, False]
        if kind is K.TEXT:
            return list(_EDGE_TEXTS[:8])
        if kind is K.MAYBE:
            return [None, *self.edges(shape.parts[0])]
        if kind in (K.LIST, K.SET):
            one = self.value(shape.parts[0] if shape.parts else _ANY, 1)
            more = [self.value(shape.parts[0] if shape.parts else _ANY, 1) for _ in range(4)]
            return [[], [one], more] if kind is K.SET else [[], [one], [one, one], more, more[::-1]]
        if kind is K.MAP:
            return [{}, self.value(shape), self.value(shape)]
        return [self.value(shape)]

    def calls(self, shapes: Sequence[Shape], count: int) -> list[list[Any]]:
        """Return argument lists: edge cases first, then by chance, some arguments akin to others.

        Args:
            shapes: Of the parameters, at least one.
            count: How many.
        """
        edges = [self.edges(one) for one in shapes]
        rng = self.rng
        made: list[list[Any]] = []
        for at in range(min(count // 3, max(map(len, edges)))):
            made.append(
                [pool[at] if at < len(pool) else self.value(shape)
                 for pool, shape in zip(edges, shapes, strict=True)]
            )  # fmt: skip
        while len(made) < count:
            self.known = rng.random() < 0.2
            made.append(self._akin(shapes, [self.value(one) for one in shapes]))
        self.known = False
        return made

    def _akin(self, shapes: Sequence[Shape], call: list[Any]) -> list[Any]:
        """Let an argument sometimes be made of the one before: a part, a place in it, as long."""
        rng = self.rng
        for at in range(1, len(call)):
            before, kind = call[at - 1], shapes[at].kind
            if rng.random() < 0.4:
                continue
            if kind is K.INT and isinstance(before, list | str) and before:
                call[at] = rng.randint(0, len(before)) if rng.random() < 0.8 else call[at]
            elif kind is K.TEXT and isinstance(before, str) and before:
                call[at] = self._part(before)
            elif (
                kind is K.LIST
                and shapes[at].parts == shapes[at - 1].parts
                and isinstance(before, list)
            ):
                item = shapes[at].parts[0]
                call[at] = [one if rng.random() < 0.5 else self.value(item, 1) for one in before]
            elif (
                kind is K.TEXT
                and isinstance(before, list)
                and before
                and isinstance(before[0], str)
            ):
                call[at] = self._part(rng.choice(before) or "a")
            elif kind is K.INT and isinstance(before, int) and not isinstance(before, bool):
                near = before + rng.choice((0, 1, 2, 5, 10, -1))
                call[at] = near if shapes[at].least <= near <= shapes[at].most else call[at]
        return call

    def _part(self, text: str) -> str:
        rng = self.rng
        start = rng.randrange(len(text))
        options: Iterable[str] = (
            text, text[start : start + rng.randint(1, 3)], text[::-1], text[:1],
            "".join(rng.sample(text, len(text))),
        )  # fmt: skip
        return rng.choice(list(options))


def _unescaped(text: str) -> str:
    named = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
    return re.sub(r"\\(.)", lambda one: named.get(one[1], one[1]), text)

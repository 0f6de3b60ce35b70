"""What values a declared type stands for, whatever the language."""

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Shape", "ShapeKind", "shape", "top_level"]


class ShapeKind(StrEnum):
    """What there is in every language, by one name."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TEXT = "text"
    CHAR = "char"
    LIST = "list"
    SET = "set"
    MAP = "map"
    TUPLE = "tuple"
    MAYBE = "maybe"
    """Its one part, or nothing."""
    ANY = "any"
    """Anything plain."""


@dataclass(frozen=True)
class Shape:
    """A type, understood."""

    kind: ShapeKind
    parts: tuple["Shape", ...] = ()
    """Of a list, set or maybe: the items'; of a map: key and value; of a tuple: each."""
    text: str = ""
    """As declared, references and qualifiers left out."""
    least: int = -(1 << 31)
    """Of an int: the smallest."""
    most: int = (1 << 31) - 1
    borrowed: str = ""
    """What stands before a value to make it an argument: `&`, `&mut `, `*`."""


_K = ShapeKind
# What a type parameter is taken for.
_STAND_INS = {"typescript": "number", "java": "Integer", "rust": "i32"}
_BITS = {8: (-128, 127), 16: (-(1 << 15), (1 << 15) - 1), 32: (-(1 << 31), (1 << 31) - 1),
         64: (-(1 << 63), (1 << 63) - 1)}  # fmt: skip
_WIDE = _BITS[64]


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Heads of types by kind. What differs between languages is told below.
_TEXTS = {
    "python": _words("str AnyStr Text"),
    "typescript": _words("string String"),
    "java": _words("String CharSequence"),
    "go": _words("string"),
    "cpp": _words("string string_view"),
    "rust": _words("String str"),
    "php": _words("string"),
}
_FLOATS = _words("float double Double Float f32 f64 float32 float64 long\xa0double Number")
_LISTS = {
    "python": _words("list List Sequence Iterable Collection MutableSequence Iterator"),
    "typescript": _words("Array ReadonlyArray Iterable"),
    "java": _words("List ArrayList Collection Iterable LinkedList Deque Queue ArrayDeque Vector"),
    "cpp": _words("vector list deque array"),
    "rust": _words("Vec VecDeque"),
    "php": _words("array iterable"),
}
_SETS = _words(
    "set Set frozenset FrozenSet AbstractSet MutableSet HashSet TreeSet LinkedHashSet BTreeSet "
    "unordered_set ReadonlySet"
)
_MAPS = _words(
    "dict Dict Mapping MutableMapping DefaultDict OrderedDict Map HashMap TreeMap LinkedHashMap "
    "BTreeMap map unordered_map Record ReadonlyMap SortedMap"
)
_ANYS = _words("Any object Object any unknown mixed interface{} boost::any")
_MAYBES = _words("Optional Option optional")
_JAVA_INTS = {"byte": 8, "Byte": 8, "short": 16, "Short": 16, "int": 32, "Integer": 32,
              "long": 64, "Long": 64}  # fmt: skip
_C_INTS = {
    "short": 16, "int": 32, "long": 64, "long long": 64, "int8_t": 8, "int16_t": 16,
    "int32_t": 32, "int64_t": 64, "ssize_t": 64, "ptrdiff_t": 64, "signed": 32, "long int": 64,
    "long long int": 64, "signed char": 8,
}  # fmt: skip
_C_UNSIGNED = {
    "unsigned": 32, "unsigned int": 32, "size_t": 64, "uint8_t": 8, "uint16_t": 16, "uint32_t": 32,
    "uint64_t": 64, "unsigned long": 64, "unsigned long long": 64, "unsigned short": 16,
    "unsigned char": 8, "unsigned long int": 64, "unsigned long long int": 64,
}  # fmt: skip


def shape(text: str, language: str, generic: tuple[str, ...] = ()) -> Shape | None:
    """Return what a type stands for; None where that is not known.

    Args:
        text: A type as written.
        language: A name from `wavecoder.languages`.
        generic: Names that stand for any type.
    """
    language = "cpp" if language == "c" else language
    for name in generic:
        text = re.sub(rf"\b{re.escape(name)}\b", _STAND_INS.get(language, "int"), text)
    return _Reader(language).type(" ".join(text.split()))


class _Reader:
    """Reads types of one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def type(self, text: str) -> Shape | None:
        """Return the shape of a type as written."""
        text = text.strip()
        if not text or len(text) > 300:
            return None
        special = getattr(self, f"_{self.language}", None)
        found: Shape | None = special(text) if special is not None else None
        return found if found is not None else self._common(text)

    def _common(self, text: str) -> Shape | None:
        head, arguments = _split(text, "[]" if self.language == "python" else "<>")
        head = re.sub(r"^(?:std|typing|t|collections\.abc|java\.util|std::collections)(?:::|\.)",
                      "", head)  # fmt: skip
        parts = [self.type(one) for one in arguments]
        if text in _ANYS or head in _ANYS:
            return Shape(_K.ANY, text=text)
        if head in _TEXTS.get(self.language, ()):
            return Shape(_K.TEXT, text=text)
        if head in _FLOATS or (head == "number" and self.language == "typescript"):
            return Shape(_K.FLOAT, text=text)
        if head in ("bool", "boolean", "Boolean"):
            return Shape(_K.BOOL, text=text)
        if head in _LISTS.get(self.language, ()):
            item = parts[0] if parts else self._untold()
            return Shape(_K.LIST, (item,), text) if item else None
        if head in _SETS:
            item = parts[0] if parts else self._untold()
            return Shape(_K.SET, (item,), text) if item and item.kind in _KEYS else None
        if head in _MAPS:
            key = parts[0] if len(parts) > 1 else Shape(_K.TEXT)
            value = parts[1] if len(parts) > 1 else self._untold()
            known = key is not None and value is not None and key.kind in _KEYS
            return Shape(_K.MAP, (key, value), text) if known and key and value else None
        if head in _MAYBES and parts and parts[0]:
            return Shape(_K.MAYBE, (parts[0],), text)
        return None

    def _untold(self) -> Shape | None:
        """Return what an item is where the type does not say."""
        return Shape(_K.ANY) if self.language in ("python", "typescript", "php", "java") else None

    def _python(self, text: str) -> Shape | None:
        text = text.strip("\"'")
        if text == "int":
            return Shape(_K.INT, text=text, least=_WIDE[0], most=_WIDE[1])
        head, arguments = _split(text, "[]")
        arms = top_level(text, "|")
        if head.rpartition(".")[2] == "Union":
            arms = arguments
        if len(arms) > 1:
            parts = [one for one in map(self.type, arms) if one is not None]
            if not parts:
                return None
            return Shape(_K.MAYBE, (parts[0],), text) if "None" in arms else parts[0]
        if head.rpartition(".")[2] in ("tuple", "Tuple"):
            if len(arguments) == 2 and arguments[1] == "...":
                item = self.type(arguments[0])
                return Shape(_K.LIST, (item,), "tuple") if item else None
            parts = [one for one in map(self.type, arguments) if one is not None]
            whole = len(parts) == len(arguments) and parts
            return Shape(_K.TUPLE, tuple(parts), text) if whole else None
        return None

    def _typescript(self, text: str) -> Shape | None:
        arms = top_level(text, "|")
        if len(arms) > 1:
            parts = [one for one in map(self.type, arms) if one is not None]
            if not parts:
                return None
            nothing = {"null", "undefined"} & set(arms)
            return Shape(_K.MAYBE, (parts[0],), text) if nothing else parts[0]
        text = text.removeprefix("readonly ")
        if text.endswith("[]"):
            item = self.type(text[:-2].strip().removeprefix("(").removesuffix(")"))
            return Shape(_K.LIST, (item,), text) if item else None
        if text.startswith("[") and text.endswith("]"):
            parts = [one for one in map(self.type, top_level(text[1:-1], ",")) if one is not None]
            return Shape(_K.TUPLE, tuple(parts), text) if parts else None
        return None

    def _php(self, text: str) -> Shape | None:
        arms = [one for one in top_level(text.lstrip("?"), "|") if one != "null"]
        part = Shape(_K.INT, least=_WIDE[0], most=_WIDE[1]) if arms[:1] == ["int"] else None
        if part is None and (len(arms) > 1 or text.startswith("?") or arms != [text]):
            part = self.type(arms[0]) if arms else None
        maybe = text.startswith("?") or "null" in text.split("|")
        return Shape(_K.MAYBE, (part,), text) if part and maybe else part

    def _java(self, text: str) -> Shape | None:
        if text in _JAVA_INTS:
            least, most = _BITS[_JAVA_INTS[text]]
            return Shape(_K.INT, text=text, least=least, most=most)
        if text in ("char", "Character"):
            return Shape(_K.CHAR, text=text)
        if text == "Number":
            return Shape(_K.FLOAT, text="Double")
        if text.endswith("[]"):
            item = self.type(text[:-2])
            return Shape(_K.LIST, (item,), text) if item else None
        return self.type(text.split(" ", 2)[2]) if text.startswith("? extends ") else None

    def _go(self, text: str) -> Shape | None:
        sized = re.fullmatch(r"(u?)int(8|16|32|64|)|byte|rune|uintptr", text)
        if sized:
            bits = {"byte": 8, "rune": 32}.get(text) or int(sized[2] or 64)
            least, most = _BITS[bits]
            unsigned = bool(sized[1]) or text == "byte"
            return Shape(_K.INT, text=text, least=0 if unsigned else least, most=most)
        if found := re.match(r"\[\d*\]", text):
            item = self.type(text[found.end() :])
            if item is None or found[0] == "[]":
                return Shape(_K.LIST, (item,), text) if item else None
            return _array(item, int(found[0][1:-1]), text)
        if text.startswith("map[") and (end := _closing(text, 3, "[]")):
            key, value = self.type(text[4:end]), self.type(text[end + 1 :])
            if key and value and key.kind in _KEYS:
                return Shape(_K.MAP, (key, value), text)
            if key and text[end + 1 :] == "struct{}":
                return Shape(_K.SET, (key,), text)
        if text in ("any", "interface{}"):
            return Shape(_K.ANY, text=text)
        if text.startswith("*") and (part := self.type(text[1:])):
            return Shape(_K.MAYBE, (part,), text)
        return None

    def _cpp(self, text: str) -> Shape | None:
        plain = re.sub(r"\b(?:const|volatile|struct|register|restrict)\b", " ", text)
        plain = " ".join(plain.replace("&&", " ").split())
        if re.fullmatch(r"char ?\*|char ?\[\]", plain) and "const" in text:
            return Shape(_K.TEXT, text="const char*")
        reference = plain.endswith("&")
        plain = plain.removesuffix("&").strip()
        if plain in _C_INTS or plain in _C_UNSIGNED:
            least, most = _BITS[(_C_INTS | _C_UNSIGNED)[plain]]
            return Shape(_K.INT, text=plain, least=least if plain in _C_INTS else 0, most=most)
        if plain == "char":
            return Shape(_K.CHAR, text=plain)
        if plain == "long double":
            return Shape(_K.FLOAT, text=plain)
        head, arguments = _split(plain, "<>")
        head = head.removeprefix("std::")
        if head in ("pair", "tuple"):
            parts = [one for one in map(self.type, arguments) if one is not None]
            whole = parts and len(parts) == len(arguments)
            return Shape(_K.TUPLE, tuple(parts), plain) if whole else None
        if head == "array":
            return None
        return self._common(plain) if reference or plain != text else None

    def _rust(self, text: str) -> Shape | None:
        if found := re.match(r"&(?:'\w+ )?(mut )?", text):
            inner = self.type(text[found.end() :])
            if inner is None or (found[1] and inner.borrowed):
                return None
            mark = "&mut " if found[1] else "&"
            return Shape(inner.kind, inner.parts, inner.text, inner.least, inner.most, mark)
        if found := re.fullmatch(r"([iu])(8|16|32|64|128|size)", text):
            least, most = _BITS[64 if found[2] in ("size", "128") else int(found[2])]
            return Shape(_K.INT, text=text, least=0 if found[1] == "u" else least, most=most)
        if text == "char":
            return Shape(_K.CHAR, text=text)
        if text.startswith("[") and text.endswith("]"):
            kind, _, size = text[1:-1].rpartition(";") if ";" in text else (text[1:-1], "", "")
            item = self.type(kind)
            if item is None or not size:
                return Shape(_K.LIST, (item,), text) if item else None
            return _array(item, int(size), text) if size.strip().isdecimal() else None
        if text.startswith("(") and text.endswith(")"):
            inside = top_level(text[1:-1], ",")
            parts = [one for one in map(self.type, inside) if one is not None]
            whole = parts and len(parts) == len(inside)
            return Shape(_K.TUPLE, tuple(parts), text) if whole else None
        if found := re.fullmatch(r"Box<(.*)>", text):
            return None
        if found := re.fullmatch(r"impl (?:Into<String>|AsRef<str>)", text):
            return Shape(_K.TEXT, text="String")
        return None


_KEYS = frozenset({_K.INT, _K.TEXT, _K.CHAR, _K.BOOL, _K.ANY})


def _array(item: Shape, size: int, text: str) -> Shape | None:
    """Return an array of a fixed number of items, which is a tuple; None for a long one."""
    return Shape(_K.TUPLE, (item,) * size, text) if 0 < size <= 16 else None


def _split(text: str, brackets: str) -> tuple[str, list[str]]:
    """Return a type's head and its arguments: `Map<String, List<X>>`."""
    start = text.find(brackets[0])
    if start <= 0 or not text.endswith(brackets[1]):
        return text, []
    return text[:start].strip(), top_level(text[start + 1 : -1], ",")


def top_level(text: str, mark: str = ",") -> list[str]:
    """Return the parts of a text between marks that stand in no bracket.

    Args:
        text: A list of types, say.
        mark: One character.
    """
    depth, start, parts = 0, 0, []
    for at, one in enumerate(text):
        depth += (one in "<[({") - (one in ">])}")
        if one == mark and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()] if text[start:].strip() else parts


def _closing(text: str, start: int, brackets: str) -> int:
    """Return where the bracket at `start` is closed, or 0."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == brackets[0]) - (text[at] == brackets[1])
        if depth == 0:
            return at
    return 0

"""What code imports, and what it would have to import: can that be had, and is it there?

Python's imports are read from its own tree. For the others a table says which names of the standard
library come by which import; a name that the code defines, or takes as a parameter, is its own.
Only what no compiler would take is told: a header may bring others with it, and then nothing is
said.
"""

import ast
import re
import sys
import warnings
from collections.abc import Mapping
from typing import NamedTuple

from wavecoder.languages.telling import bare

__all__ = ["KNOWN_PACKAGES", "Missing", "missing_import", "strange_import"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KNOWN_PACKAGES = _words(
    "PIL aiohttp attr attrs bs4 click cryptography cv2 dateutil django fastapi flask httpx "
    "hypothesis jinja2 lxml matplotlib more_itertools networkx numba numpy pandas psutil pydantic "
    "pytest pytz redis regex requests scipy seaborn setuptools six sklearn sortedcontainers "
    "sqlalchemy sympy tensorflow torch tqdm typing_extensions yaml"
)
"""Packages outside Python's standard library that a solution may import where nobody says else.

They are packages that most who write Python have met; a solution that needs others runs nowhere but
at home. Named as they are imported.
"""

# Gone from the standard library since 3.11, or new in it: the list must not hang on who runs this.
_STANDARD = sys.stdlib_module_names | _words(
    "__future__ annotationlib asynchat asyncore cgi compression crypt distutils imp pipes smtpd "
    "telnetlib tomllib"
)


class Missing(NamedTuple):
    """Something that code takes from outside and that is not to be had."""

    name: str
    line: int
    what: str
    """`it would need import "strings"`."""


def strange_import(
    code: str, language: str, packages: frozenset[str] = KNOWN_PACKAGES
) -> Missing | None:
    """Return the first import of what nobody else has, or None.

    Python: a module of neither the standard library nor `packages`, or one beside the file. Other
    languages: a file beside the file; which packages there are is not known.

    Args:
        code: Code.
        language: A name from `LANGUAGES`.
        packages: Packages that may be imported, by the name in the import.
    """
    if language == "python":
        return _strange_module(code, packages)
    pattern = _BESIDE.get(language)
    match = pattern.search(code) if pattern else None
    if match is None:
        return None
    line = code.count("\n", 0, match.start()) + 1
    return Missing(match["name"], line, "a file of its own project")


def missing_import(code: str, language: str) -> Missing | None:
    """Return the first name of a standard library that is used and not imported, or None.

    Go, Java, Rust, Ruby and C#: names that come by an import. C and C++: names of the library where
    no header is included at all; in C also where none of those that declare the name is.
    """
    text = bare(code, language)
    if language in ("c", "cpp"):
        return _missing_header(code, text, language)
    if language not in _PROVIDED:
        return None
    row = _PROVIDED[language]
    own = {name for match in row.own.finditer(text) for name in match.groups()}
    for match in row.uses.finditer(text):
        name = match["name"]
        needed = row.needed[name]
        imported = row.imported.replace("NAME", name).replace("HOME", re.escape(needed))
        if name not in own and not re.search(imported, code, re.MULTILINE):
            return Missing(name, _line(text, match), needed)
    return None


def _strange_module(code: str, packages: frozenset[str]) -> Missing | None:
    with warnings.catch_warnings(action="ignore"):
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    optional = {id(one) for node in tries for part in node.body for one in ast.walk(part)}
    for node in ast.walk(tree):
        # Where there is an `except` for it, it may be anything.
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in optional:
            for name in _modules(node):
                if name.startswith("."):
                    return Missing(name, node.lineno, "a module beside the file")
                if name not in _STANDARD and name not in packages:
                    what = "no module of the standard library or known package"
                    return Missing(name, node.lineno, what)
    return None


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the outermost packages of an import; a relative one begins with a dot."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if node.level:
        return ["." * node.level + (node.module or "")]
    return [(node.module or "").partition(".")[0]]


_SCRIPT_FILE = re.compile(
    r"^[ \t]*(?:import\b[^;\n]*?|(?:const|let|var)\b[^;\n]*?\brequire\s*\()\s*"
    r"""["'](?P<name>\.{1,2}/[^"']*)""",
    re.MULTILINE,
)
_C_FILE = re.compile(r"""^[ \t]*#[ \t]*include[ \t]*"(?P<name>[^"]+)""", re.MULTILINE)
_BESIDE: Mapping[str, re.Pattern[str]] = {
    "javascript": _SCRIPT_FILE,
    "typescript": _SCRIPT_FILE,
    "c": _C_FILE,
    "cpp": _C_FILE,
    "ruby": re.compile(r"""^[ \t]*require_relative\s+["'](?P<name>[^"']+)""", re.MULTILINE),
    "php": re.compile(
        r"""^[ \t]*(?:require|include)(?:_once)?\b[^;\n]*["'](?P<name>[^"']+\.php)""", re.MULTILINE
    ),
    "rust": re.compile(r"^[ \t]*use\s+(?P<name>(?:crate|super)::\w+)", re.MULTILINE),
}

_GO = {
    path: path.rsplit("/", 1)[-1]
    for path in _words(
        "bufio bytes container/heap container/list context crypto/md5 crypto/sha1 crypto/sha256 "
        "encoding/base64 encoding/binary encoding/hex encoding/json errors fmt io log math "
        "math/big math/bits math/rand net/http net/url os path path/filepath reflect regexp "
        "runtime slices sort strconv strings sync sync/atomic time unicode unicode/utf8"
    )
}
_JAVA = {
    "java.util": (
        "ArrayDeque ArrayList Arrays BitSet Collection Collections Comparator Deque EnumMap "
        "HashMap HashSet Iterator LinkedHashMap LinkedHashSet LinkedList List ListIterator Map "
        "NoSuchElementException Objects Optional PriorityQueue Queue Random Scanner Set "
        "SortedMap Stack StringJoiner StringTokenizer TreeMap TreeSet UUID"
    ),
    "java.util.stream": "Collectors IntStream LongStream Stream",
    "java.util.function": "BiFunction Function Predicate Supplier UnaryOperator BinaryOperator",
    "java.util.regex": "Matcher Pattern",
    "java.math": "BigDecimal BigInteger",
    "java.io": "BufferedReader File FileReader IOException InputStream InputStreamReader",
    "java.nio.file": "Files Paths",
    "java.time": "Duration Instant LocalDate LocalDateTime",
}
_RUST = {
    "std::collections": "BTreeMap BTreeSet BinaryHeap HashMap HashSet VecDeque",
    "std::rc": "Rc",
    "std::sync": "Arc Mutex RwLock",
    "std::cell": "RefCell",
    "std::str": "FromStr",
}
_RUBY = {
    "json": "JSON", "csv": "CSV", "yaml": "YAML", "bigdecimal": "BigDecimal",
    "date": "Date DateTime", "ostruct": "OpenStruct", "fileutils": "FileUtils",
    "securerandom": "SecureRandom",
    "digest": "Digest", "benchmark": "Benchmark", "matrix": "Matrix", "prime": "Prime",
    "tempfile": "Tempfile", "strscan": "StringScanner",
}  # fmt: skip
_SHARP = {"System.Text": "StringBuilder", "System.Text.RegularExpressions": "Regex"}


class _Provided(NamedTuple):
    """How a language speaks of what comes by an import."""

    needed: Mapping[str, str]
    """By name, what must be imported."""
    uses: re.Pattern[str]
    own: re.Pattern[str]
    """Groups are names that the code gives a meaning itself."""
    imported: str
    """A pattern of the import, with NAME and HOME for the two."""


_DEFINED = r"\b(?:class|interface|enum|record|struct|module|type|trait|mod)\s+(\w+)"


def _provided(homes: Mapping[str, str], uses: str, imported: str, own: str = _DEFINED) -> _Provided:
    """Return a row of the table, from names by what they need."""
    needed = {name: home for home, names in homes.items() for name in names.split()}
    names = f"(?P<name>{'|'.join(needed)})"
    return _Provided(
        needed, re.compile(uses.replace("NAMES", names)), re.compile(own, re.MULTILINE), imported
    )


_PROVIDED: Mapping[str, _Provided] = {
    "go": _provided(
        _GO,
        r"(?<![\w.])NAMES\.[A-Z]\w*",
        r'"(?:[\w./-]+/)?NAME(?:/v\d+)?"|^\s*(?:import\s+)?NAME\s+"',
        # A parameter, a variable, or another package under that name.
        own=(
            r"(?:[(,]|\bvar|\bfor|^)[ \t]*(\w+)[ \t]*(?:,[ \t]*\w+[ \t]*)*"
            r"(?::=|[ \t]+[\w*\[])"
        ),
    ),
    "java": _provided(
        _JAVA,
        r"(?<![\w.@])NAMES\b(?=\s*(?:[.<>\[(]|\w+\s*[=;,):]))",
        r"\bimport\s+(?:static\s+)?(?:[\w.]+\.NAME\b|HOME\.\*|(?!java\.)[\w.]+\.\*)",
        own=_DEFINED + r"|<\s*(\w+)\s*extends",
    ),
    "rust": _provided(_RUST, r"(?<![\w:])NAMES(?=\s*(?:<|::))", r"\buse\b[^;]*(?:\bNAME\b|\*)"),
    "ruby": _provided(_RUBY, r"(?<![\w:.])NAMES(?=[.:(])", r"""require\s*\(?["']HOME"""),
    "csharp": _provided(
        _SHARP, r"(?<![\w.])NAMES\b(?=\s*[.(]|\s+\w)", r"\busing\s+(?:\w+\s*=\s*)?HOME\b"
    ),
}

_HEADERS = {
    name: header
    for header, names in {
        "stdio.h": (
            "printf fprintf sprintf snprintf scanf sscanf fgets fopen fclose puts putchar getchar"
        ),
        "stdlib.h": "malloc calloc realloc free atoi strtol qsort abs exit rand",
        "string.h": (
            "strlen strcpy strncpy strcmp strncmp strcat strchr strrchr strstr strtok memcpy "
            "memset memcmp memmove"
        ),
        "ctype.h": "isdigit isalpha isalnum isspace isupper islower toupper tolower ispunct",
        "math.h": "sqrt pow floor ceil fabs",
    }.items()
    for name in names.split()
}
_C_CALL = re.compile(rf"(?<![\w.>:])(?P<name>{'|'.join(_HEADERS)})\s*\(")
_CPP_NAME = re.compile(
    r"(?P<name>\bstd::\w+)|"
    r"(?<![\w.>:])(?P<plain>vector|string|cout|unordered_map|unordered_set)"
    r"(?=\s*<|\s+\w+\s*[=;(,)])"
)
_INCLUDE = re.compile(r"^[ \t]*(?:#[ \t]*include|import)[ \t]*[<\"]?([\w./+-]+)", re.MULTILINE)
_C_HEADERS = _words(
    "assert.h ctype.h errno.h float.h inttypes.h limits.h locale.h math.h setjmp.h signal.h "
    "stdarg.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h time.h wchar.h"
)


def _missing_header(code: str, text: str, language: str) -> Missing | None:
    included = _INCLUDE.findall(code)
    found = _CPP_NAME.search(text) if language == "cpp" and not included else None
    if found:
        name = found["name"] or found["plain"]
        return Missing(name, _line(text, found), "an #include, and there is none")
    # A header of C++, or of somebody else, may bring anything with it.
    if included and (language == "cpp" or not _C_HEADERS.issuperset(included)):
        return None
    for match in _C_CALL.finditer(text):
        name, header = match["name"], _HEADERS[match["name"]]
        own = rf"#[ \t]*define[ \t]+{name}\b|(?!return\b)(?:\w+[ \t*]+)+{name}[ \t]*\("
        declared = rf"^[ \t]*(?:{own})"
        if header not in included and not re.search(declared, text, re.MULTILINE):
            return Missing(name, _line(text, match), f"#include <{header}>")
    return None


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1

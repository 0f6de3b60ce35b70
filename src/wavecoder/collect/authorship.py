"""Who wrote code: the marks of tools, of minifiers and of other people.

Sources look for them in files and folders (`sources/`), where a header says more than any function;
filters look for them in functions (`filters/authorship.py`), whatever source these are from.
"""

import re
from functools import lru_cache

__all__ = [
    "HEADER",
    "INSTALLED_FOLDERS",
    "VENDORED_FOLDERS",
    "generated_header",
    "generated_mark",
    "generated_name",
    "mean_line",
    "vendored_folder",
]

INSTALLED_FOLDERS = ("node_modules", "site-packages", "dist-packages")
"""Names of folders that package managers fill."""

VENDORED_FOLDERS = frozenset(
    {
        *("vendor", "_vendor", "vendors", "vendored", "_vendored", "third_party", "third-party"),
        *("thirdparty", "ThirdParty", "3rdparty", "3rd_party", "extern", "deps"),
        *("bower_components", "jspm_packages", "web_modules", "Pods", "Carthage", "Godeps"),
    }
)
"""Names of folders in which repositories keep other people's code, with its own licence and in as
many copies as there are repositories: those of GitHub linguist's lib/linguist/vendor.yml but for
names that mean other things elsewhere (`dist`, `cache`, `external`, `externals`: sympy and webpack
keep their own code there). As written here: `Vendor` is a word of shops."""

_OTHERS_FOLDERS = VENDORED_FOLDERS.union(INSTALLED_FOLDERS)

HEADER = 2_000
"""Characters of a file in which the mark of a tool counts for all of it."""

# Characters at the beginning of a function in which a mark counts: further down it may be in a text
# that the function writes.
_HEAD = 400
# A source yields a file's functions one after the other.
_PATHS = 256

_GENERATED_FILE = re.compile(
    r"""
    (?: _pb2(?:_grpc)?\.pyi? | _pb\.(?:js|ts|rb|php) | \.pb(?:\.\w+)?\.(?:go|cc|h|dart|swift)
      | [.-]min\.[cm]?js | [.-]bundle\.[cm]?js
      | \.g(?:\.i)?\.(?:cs|dart) | \.designer\.cs
      | [._-]generated\.\w+ | (?:^|/)zz_generated[^/]* | [._]gen\.(?:go|ts|cs|rs)
      | (?:^|/)(?:moc_|qrc_|ui_)[^/]*\.(?:cpp|cc|h) | (?:^|/)lex\.yy\.c | \.tab\.[ch]
      | _wrap\.c(?:xx|pp)? | (?:^|/)bindata\.go
      | (?:^|/)(?:__generated__|_?generated|generated-src|autogen|auto_generated)/.*
    ) \Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
# At the start of a comment: prose about generated things is no sign.
_GENERATED_HEADER = re.compile(
    r"^[ \t]*(?://+|#+|/?\*+|<!--)[ \t]*(?:@generated\b|"
    r"(?:this (?:file|code|module|class|is|was)\b[^.\n]{0,40})?"
    r"(?:\b(?:auto|automatically|machine)[- ]?generated\b|\bgenerated (?:by|from)\b)|"
    r"(?:code|file) generated (?:by|from)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_GENERATED_MARK = re.compile(
    r"""
    ^ [\s/*\#;-]* (?:
        @generated\b
      | (?:code|file|class|method|function) [ ] generated [ ] (?:by|from)\b
      | this [ ] (?:file|code|class|method|function) [ ] (?:is|was|has [ ] been) [ ]
        (?:auto-?|automatically[ ]|machine[- ])? generated\b
      | (?:auto|automatically|machine)[- ]?generated [ ]
        (?:by|from|code|file|class|do [ ] not)\b
      | generated [ ] by [ ] (?:the [ ])?
        (?:protocol [ ] buffer | protoc | swig | thrift | antlr | bison | flex)\b
      | \[ (?:global::)? [\w.:]* (?:GeneratedCode|CompilerGenerated)\b
      | @ [\w.]*Generated\s*\(
    )
    | do [ ] not [ ] modify [\s/]+ the [ ] contents [ ] of [ ] this [ ] method
    | \#\[automatically_derived\]
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)


@lru_cache(maxsize=_PATHS)
def vendored_folder(path: str) -> str | None:
    """Return the folder on a path that says that the code is other people's, or None."""
    *folders, _ = path.split("/")
    return next((name for name in folders if name in _OTHERS_FOLDERS), None)


@lru_cache(maxsize=_PATHS)
def generated_name(path: str) -> str | None:
    """Return the part of a path that says that a tool wrote the file, or None."""
    found = _GENERATED_FILE.search(path)
    return found[0].strip("/") if found else None


def generated_header(text: str) -> str | None:
    """Return the words at a file's beginning that say that a tool wrote it, or None."""
    begin = text[:HEADER]
    # The word first: to look for it is a hundred times as fast as to look for the comment.
    found = _GENERATED_HEADER.search(begin) if "generated" in begin.lower() else None
    return found[0].strip() if found else None


def generated_mark(text: str) -> str | None:
    """Return the words at a function's beginning that say that a tool wrote it, or None."""
    if not ("enerated" in text or "do not modify" in text or "automatically_der" in text):
        return None
    found = _GENERATED_MARK.search(text, 0, _HEAD)
    return found[0].strip() if found else None


def mean_line(text: str) -> float:
    """Return the mean number of characters of a line."""
    return len(text) / (text.count("\n") + 1)

"""Programming languages: one row each, and what a program can tell of code in them.

`table.py` holds the rows and their names in prose; `syntax.py` parses, checks and reads leaves;
`cutting.py` cuts functions out of files; `scope.py` says what code takes from outside itself.
"""

from wavecoder.languages.cutting import FunctionSpan, functions, statements
from wavecoder.languages.mutation import BUG_CLASSES, Mutant, mutants
from wavecoder.languages.scope import is_self_contained, outside_names
from wavecoder.languages.syntax import (
    Guard,
    Leaf,
    SlowParseError,
    SyntaxIssue,
    guarded,
    leaves,
    parse,
    parses,
    syntax_errors,
    tokens,
)
from wavecoder.languages.table import (
    LANGUAGES,
    Language,
    language,
    language_named,
    language_of,
    languages_of,
    names_language,
)

__all__ = [
    "BUG_CLASSES",
    "LANGUAGES",
    "FunctionSpan",
    "Guard",
    "Language",
    "Leaf",
    "Mutant",
    "SlowParseError",
    "SyntaxIssue",
    "functions",
    "guarded",
    "is_self_contained",
    "language",
    "language_named",
    "language_of",
    "languages_of",
    "leaves",
    "mutants",
    "names_language",
    "outside_names",
    "parse",
    "parses",
    "statements",
    "syntax_errors",
    "tokens",
]

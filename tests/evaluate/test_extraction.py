"""What is taken from answers: the programs in them, whatever stands around."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecoder.evaluate.extraction import candidate
from wavecoder.evaluate.prompts import Style
from wavecoder.languages import parse
from wavecoder.records import Problem

_DATA = Path(__file__).parents[3] / "shared" / "benchmarks"
_LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
_BRACED = _LANGUAGES[1:]

_COLUMNS = ("prompt", "entry_point", "test", "declaration", "docstring", "instruction")
_COLUMNS += ("buggy_solution", "bug_type")

needs_data = pytest.mark.usefixtures("benchmark_files")


@cache
def pack(language: str, benchmark: str = "humanevalfix") -> tuple[Problem, ...]:
    name = "js" if language == "javascript" else language
    lines = (_DATA / "humanevalpack" / f"{name}.jsonl").read_text("utf-8").splitlines()
    return tuple(
        Problem(
            id=row["task_id"],
            benchmark=f"{benchmark}-{language}",
            language=language,
            imports=row.get("import") or "",
            test_setup=row.get("test_setup") or "",
            # C++ 94 has lines of the tests here.
            canonical_solution=row["canonical_solution"].partition("#undef")[0],
            **{key: row[key] for key in _COLUMNS},
        )
        for row in map(json.loads, lines)
    )


@cache
def mbpp() -> tuple[Problem, ...]:
    rows = map(json.loads, (_DATA / "mbpp" / "mbpp.jsonl").read_text("utf-8").splitlines())
    return tuple(
        Problem(
            id=f"Mbpp/{row['task_id']}",
            benchmark="mbpp",
            language="python",
            prompt=row["text"],
            entry_point=_called(row["code"], row["test_list"][0]),
            canonical_solution=row["code"].replace("\r\n", "\n"),
            test="\n".join(row["test_list"]),
            test_setup=row["test_setup_code"].replace("\r\n", "\n"),
        )
        for row in rows
        if 11 <= row["task_id"] <= 510
    )


def _called(code: str, test: str) -> str:
    defined = re.findall(r"^def\s+(\w+)", code, re.MULTILINE)
    return next(name for name in re.findall(r"\w+", test) if name in defined)


def signature(problem: Problem) -> str:
    """The function's first line, alone."""
    if problem.id == "CPP/38":  # its declaration reaches into the body
        return "string decode_cyclic(string s){\n"
    text = problem.declaration.rstrip()
    if problem.language == "python":
        return text[text.rindex("def ") :] + "\n"
    return text.split("\n")[-1].strip() + "\n"


def name(problem: Problem) -> str:
    """What the function is called: some rows give another name as entry point."""
    if problem.benchmark == "mbpp":
        return problem.entry_point
    found = re.search(r"(?:const (\w+) =)|(\w+)\s*(?:<[^(]*>)?\(", signature(problem))
    return found[1] or found[2]


def function(problem: Problem) -> str:
    """The function alone: no import, no helper, no class."""
    if problem.benchmark == "mbpp":
        return problem.canonical_solution.rstrip() + "\n"
    body = problem.canonical_solution.rstrip() + "\n"
    if problem.language == "java":
        body = body.rstrip()[:-1].rstrip() + "\n"
    return signature(problem) + body


_USAGE = {
    "python": "result = {name}()\nprint(result)\nassert {name}(1) == 2\n"
    'if __name__ == "__main__":\n    import doctest\n    doctest.testmod()\n',
    "javascript": "console.log({name}());\nconst shown = {name}(1, 2);\n"
    "module.exports = {{ {name} }};\n",
    "java": "public class Main {{\n    public static void main(String[] args) {{\n"
    "        System.out.println(new Solution().{name}());\n    }}\n}}\n",
    "go": "func main() {{\n\tfmt.Println({name}())\n}}\n\nfunc TestMine(t *testing.T) {{\n"
    "\tt.Log({name}())\n}}\n",
    "cpp": '#include <iostream>\nint main(int argc, char** argv) {{\n    std::cout << "}}" << '
    "{name}();\n    return 0;\n}}\n",
    "rust": 'fn main() {{\n    println!("{{:?}}", {name}());\n}}\n\n#[cfg(test)]\nmod tests {{\n'
    "    use super::*;\n    #[test]\n    fn mine() {{ {name}(); }}\n}}\n",
}
_HELPER = {
    "python": "def extra_helper(x):\n    return [x, '}']\n",
    "javascript": "function extraHelper(x) {\n  return `${x + `}`} {` + /[{]'/.source;\n}\n",
    "java": "private static String extraHelper(int x) {\n    return \"}\" + '{' + x;\n}\n",
    "go": "func extraHelper(x map[string]interface{}) []interface{} {\n"
    "\treturn []interface{}{x, `}`, \"{\", '}'}\n}\n",
    "cpp": "template <typename T>\nstd::vector<T> extra_helper(const std::vector<T>& x)\n{\n"
    "    // a brace } in a comment\n    return x; /* } */\n}\n",
    "rust": "#[allow(dead_code)]\nfn extra_helper<'a>(x: &'a str) -> (char, &'a str) {\n"
    "    ('}', x)\n}\n",
}
_IMPORTS = {
    "python": "from __future__ import annotations\nimport math, re\nfrom typing import (\n"
    "    Any,\n    List,\n)\n",
    "javascript": "const { inspect } = require('util');\n",
    "java": "import java.util.*;\nimport java.util.stream.Collectors;\n",
    "go": "",
    "cpp": "#include <vector>\n#include <string>\nusing namespace std;\n",
    "rust": "use std::collections::{HashMap, HashSet};\nuse std::cmp::max;\n",
}
_FRAME = {"go": ('package main\n\nimport (\n\t"fmt"\n\t"testing"\n)\n\n', "")}
_PROSE = "To solve this (see below), I'd walk over the input; it doesn't take long.\n\n"
_AFTER = "\n\nThis works because the loop visits each item once. It's O(n) (I think)!\n"


def usage(problem: Problem) -> str:
    return _USAGE[problem.language].format(name=name(problem))


def fenced(code: str, tag: str = "") -> str:
    return f"```{tag}\n{code.rstrip()}\n```\n"


def as_class(problem: Problem, code: str) -> str:
    if problem.language != "java":
        return code
    inner = "".join(f"    {line}" for line in code.splitlines(keepends=True))
    return f"public class Solution {{\n{inner}}}\n"


def stub(problem: Problem) -> str:
    """The prompt, closed so that it is code that does nothing."""
    end = {"python": "    pass\n", "java": "    }\n}\n"}.get(problem.language, "}\n")
    return problem.prompt + end


SHAPES: dict[str, Callable[[Problem], str]] = {
    "whole function in a fence": lambda p: fenced(function(p), p.language),
    "prose around": lambda p: _PROSE + fenced(as_class(p, function(p)), p.language) + _AFTER,
    "tag unknown": lambda p: fenced(function(p)),
    "usage in a second block": lambda p: (
        fenced(function(p), p.language) + "\nUse it like this:\n\n" + fenced(usage(p), p.language)
    ),
    "usage below": lambda p: fenced(
        _FRAME.get(p.language, ("", ""))[0] + as_class(p, function(p)) + "\n" + usage(p), p.language
    ),
    "helper first": lambda p: fenced(
        as_class(p, _HELPER[p.language] + "\n" + function(p)), p.language
    ),
    "helper behind": lambda p: fenced(function(p) + "\n" + _HELPER[p.language], p.language),
    "imports": lambda p: fenced(_IMPORTS[p.language] + "\n" + as_class(p, function(p)), p.language),
    "no fence": lambda p: _PROSE + function(p) + _AFTER,
    "no fence, class and frame": lambda p: (
        _FRAME.get(p.language, ("", ""))[0] + as_class(p, function(p)) + "\n" + usage(p) + _AFTER
    ),
    "windows": lambda p: (_PROSE + fenced(function(p), p.language)).replace("\n", "\r\n"),
    "never closed": lambda p: f"{_PROSE}```{p.language}\n{function(p)}",
    "bash first": lambda p: (
        "First:\n```bash\npip install numpy\n```\nThen:\n" + fenced(function(p), p.language)
    ),
    "indented in a list": lambda p: (
        f"1. The code:\n\n   ```{p.language}\n"
        + "".join(f"   {line}" for line in function(p).splitlines(keepends=True))
        + "   ```\n2. Done.\n"
    ),
    "thoughts": lambda p: f"<think>Maybe\n```\n{usage(p)}```\n</think>\n" + fenced(function(p)),
    "end mark": lambda p: fenced(function(p), p.language) + "<|im_end|>\n" + fenced(usage(p)),
}
STUB_SHAPES: dict[str, Callable[[Problem], str]] = {
    "prompt repeated": lambda p: fenced(p.prompt + p.canonical_solution, p.language),
    "prompt repeated without fence": lambda p: p.prompt + p.canonical_solution + _AFTER,
    "stub in a first block": lambda p: (
        "You gave:\n" + fenced(stub(p), p.language) + "Mine:\n" + fenced(function(p), p.language)
    ),
    "body": lambda p: p.canonical_solution,
    "body in a fence": lambda p: fenced(p.canonical_solution, p.language),
    "body, stripped": lambda p: p.canonical_solution.strip(),
    "body at the edge": lambda p: fenced(dedent(p.canonical_solution).strip(), p.language),
    "body and prose": lambda p: _PROSE + p.canonical_solution.strip("\n") + _AFTER,
    "alpaca's prompt": lambda p: (
        "Below is an instruction.\n\n### Instruction:\nDo it.\n\n### Response:\n"
        + p.canonical_solution
        + "\n\n### Instruction:\nAnother.\n\n### Response:\nNo."
    ),
    "buggy first": lambda p: (
        "The code was:\n"
        + fenced(p.declaration + p.buggy_solution, p.language)
        + "It should be:\n"
        + fenced(function(p), p.language)
    ),
}
CONTINUED: dict[str, Callable[[Problem], str]] = {
    "body": lambda p: p.canonical_solution,
    "body, stripped": lambda p: p.canonical_solution.strip(),
    "body and more": lambda p: p.canonical_solution + "\n\n" + usage(p),
    "body and words": lambda p: p.canonical_solution.rstrip() + "\n\n# Now {something} else (\n",
}


def _cases(problem: Problem) -> dict[str, tuple[str, Style]]:
    shapes = dict(SHAPES)
    if problem.benchmark != "mbpp":
        shapes |= STUB_SHAPES
    found = {
        name: (make(problem), Style.ALPACA if "alpaca" in name else Style.CHAT)
        for name, make in shapes.items()
    }
    if problem.benchmark != "mbpp":
        for name, make in CONTINUED.items():
            found[f"completion: {name}"] = make(problem), Style.COMPLETION
    return found


_RUN = """
import json, math, sys, warnings
warnings.simplefilter("ignore")
failed = []
for at, program in json.load(sys.stdin):
    try:
        # HumanEvalPack's harness imports math for all; task 115 counts on it.
        exec(compile(program, "candidate", "exec"), {"__name__": "candidate", "math": math})
    except BaseException as error:
        failed.append((at, f"{type(error).__name__}: {error}"))
json.dump(failed, sys.__stdout__)
"""


def run(programs: list[str]) -> dict[int, str]:
    """Run programs in one process; those that fail, with the reason."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _RUN],
        input=json.dumps(list(enumerate(programs))),
        capture_output=True,
        text=True,
        check=True,
    )
    return {at: reason for at, reason in json.loads(done.stdout)}


@needs_data
@pytest.mark.parametrize("benchmark", ["humaneval", "mbpp"])
def test_python_programs_pass_their_tests_whatever_stands_around(benchmark: str) -> None:
    problems = mbpp() if benchmark == "mbpp" else pack("python")
    names: dict[str, list[str]] = {}
    for problem in problems:
        for name, (answer, style) in _cases(problem).items():
            program = candidate(problem, answer, style=style)
            whole = f"{program}\n{problem.test_setup}\n{problem.test}\n"
            names.setdefault(whole, []).append(f"{problem.id}: {name}")
    failed = run(list(names))
    shown = [f"{list(names.values())[at]}: {reason}" for at, reason in failed.items()]
    assert not shown, "\n".join(shown[:20])


@needs_data
@pytest.mark.parametrize("language", _BRACED)
def test_programs_parse_and_hold_the_body_once_whatever_stands_around(language: str) -> None:
    wrong = []
    for problem in pack(language):
        plain = parse(problem.prompt + problem.canonical_solution, language).root_node.has_error
        body = squeezed(problem.canonical_solution)
        for name, (answer, style) in _cases(problem).items():
            program = candidate(problem, answer, style=style)
            if squeezed(program).count(body) != 1:
                wrong.append(f"{problem.id}: {name}: body {squeezed(program).count(body)} times")
            elif parse(program, language).root_node.has_error and not plain:
                wrong.append(f"{problem.id}: {name}: no code")
            elif re.search(_FRAMES[language], program, re.MULTILINE):
                wrong.append(f"{problem.id}: {name}: a frame is left")
            elif "helper" in name and not re.search("extra_?[hH]elper", program):
                wrong.append(f"{problem.id}: {name}: the helper is lost")
    assert not wrong, "\n".join(wrong[:20])


_FRAMES = {
    "javascript": r"console\.log|module\.exports|shown",
    "java": r"class Main|public class|TestMine",
    "go": r"^package|func main|TestMine|\"testing\"|\"fmt\"\n[^\0]*\"fmt\"",
    "cpp": r"int main",
    "rust": r"mod tests|println|fn main[^\0]*fn main",
}


def squeezed(text: str) -> str:
    return "".join(text.split()).rstrip("};")


_FRAGMENTS = (
    *(
        "```\n",
        "```python\n",
        "~~~~\n",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        '"',
        "'",
        "`",
        "\n",
        " ",
        "\t",
    ),
    *(
        "def f(x):\n",
        "class A:\n",
        "fn add(x: i32) -> i32 {",
        "func F() {\n",
        "/*",
        "*/",
        "//",
        "#",
    ),
    *('"""', "\\", ";", "use a::{b, c as d};\n", 'import (\n"x"\n)\n', "import java.util.*;\n"),
    *(
        "public class Main {\n",
        "const f = (x) => {\n",
        "=/[",
        "${",
        'R"(',
        'r#"',
        "<think>",
        "</think>",
    ),
    *(
        "### Response:\n",
        "<|im_end|>",
        "return x\n",
        "    return x\n",
        "\ud800",
        "\0",
        "\r\n",
        "@x\n",
    ),
    *(
        "template <typename T>\n",
        "int f(int x)\n",
        "if x:\n",
        "else:\n",
        "The code is here.\n",
        "f(1)\n",
    ),
)
_ANY = st.text(st.characters(codec=None)) | st.lists(st.sampled_from(_FRAGMENTS)).map("".join)


def made_up(language: str, prompt: str = "") -> Problem:
    return Problem(
        id="X/1",
        benchmark="humaneval",
        language=language,
        prompt=prompt or _PROMPTS[language],
        entry_point="f",
        canonical_solution="",
        test="",
        buggy_solution="    return x\n",
    )


_PROMPTS = {
    "python": 'import re\n\n\ndef helper(x):\n    return x\n\n\ndef f(x):\n    """Doc."""\n',
    "javascript": "const helper = (x) => {\n  return x\n}\n\n/* Doc. */\nconst f = (x) => {\n",
    "java": "import java.util.*;\n\nclass Solution {\n    int helper(int x) {\n        return x;\n"
    "    }\n\n    /** Doc. */\n    public int f(int x) {\n",
    "go": 'import (\n    "math"\n    "sort"\n)\n\nfunc helper(x int) int {\n    return x\n}\n\n'
    "// Doc.\nfunc f(x int) int {\n",
    "cpp": "#include<vector>\nusing namespace std;\nint helper(int x){\n    return x;\n}\n"
    "/* Doc. */\nint f(int x){\n",
    "rust": "fn main(){}\n\nuse std::{cmp::{max, self}, collections::{HashMap, HashSet}};\n\n"
    "fn helper(x: i32) -> i32 {\n    x\n}\n\n/* Doc. */\nfn f(x: i32) -> i32 {\n\n",
}


@pytest.mark.parametrize("language", _LANGUAGES)
@given(answer=_ANY, style=st.sampled_from(Style))
@settings(max_examples=150, deadline=None)
def test_no_answer_is_refused_and_every_program_can_be_written(
    language: str, answer: str, style: Style
) -> None:
    program = candidate(made_up(language), answer, style=style)
    assert program.encode("utf-8")
    assert candidate(made_up(language), answer, style=style) == program


@pytest.mark.parametrize("language", _LANGUAGES)
@given(body=_ANY)
@settings(max_examples=60, deadline=None)
def test_a_whole_function_is_found_behind_any_block(language: str, body: str) -> None:
    """What a first, closed block of another language holds does not hide the second."""
    inner = "".join(body.replace("`", "").replace("~", "").replace("<", "").splitlines())
    own = {
        "python": "def f(x):\n    return helper(x) + 1\n",
        "javascript": "const f = (x) => {\n  return helper(x) + 1\n}\n",
        "java": "public int f(int x) {\n    return helper(x) + 1;\n}\n",
        "go": "func f(x int) int {\n\treturn helper(x) + 1\n}\n",
        "cpp": "int f(int x){\n    return helper(x) + 1;\n}\n",
        "rust": "fn f(x: i32) -> i32 {\n    helper(x) + 1\n}\n",
    }[language]
    answer = f"```text\n{inner}\n```\n\n```{language}\n{own}```\n"
    program = candidate(made_up(language), answer, style=Style.CHAT)
    assert program.count("helper(x) + 1") == 1
    assert not parse(program, language).root_node.has_error


@pytest.mark.parametrize("language", _LANGUAGES)
@pytest.mark.parametrize(
    "piece",
    [*_FRAGMENTS, "a<", "/", "word ", "# x\n", "x = 1; ", "if x:  ", "f = lambda x:\n", "a::"],
)
def test_time_grows_with_the_length_alone(language: str, piece: str) -> None:
    """Counted in calls, not seconds: four times the text takes about four times the calls."""
    counts = []
    for size in (3_000, 12_000):
        answer = piece * (size // len(piece))
        counts.append(_calls(made_up(language), answer))
    assert counts[1] < 6 * counts[0] + 1_000


def _calls(problem: Problem, answer: str) -> int:
    seen = 0

    def see(frame: object, event: str, argument: object) -> None:
        nonlocal seen
        seen += 1

    sys.setprofile(see)
    try:
        candidate(problem, answer, style=Style.CHAT)
    finally:
        sys.setprofile(None)
    return seen


def test_a_long_answer_of_fences_or_brackets_is_read() -> None:
    for piece in ("```\n", "{", "```python\nx\n```\n", "(", '"""'):
        candidate(made_up("python"), piece * (200_000 // len(piece)), style=Style.CHAT)
        candidate(made_up("cpp"), piece * (200_000 // len(piece)), style=Style.CHAT)


def taken(language: str, answer: str, style: Style = Style.CHAT) -> str:
    return candidate(made_up(language), answer, style=style)


def test_an_answer_keeps_its_own_version_of_a_helper_and_gets_the_prompts_where_it_has_none() -> (
    None
):
    own = "fn helper(x: i32) -> i32 {\n    2 * x\n}\n\nfn f(x: i32) -> i32 {\n    helper(x)\n}\n"
    assert taken("rust", own).count("fn helper") == 1
    assert "2 * x" in taken("rust", own)
    assert taken("rust", own[own.index("fn f") :]).count("fn helper") == 1


def test_a_helper_that_the_answer_only_hints_at_is_the_prompts() -> None:
    answer = "def helper(x):\n    ...  # as before\n\n\ndef f(x):\n    return helper(x)\n"
    assert taken("python", answer).count("def helper") == 1
    assert "as before" not in taken("python", answer)


def test_a_helper_in_a_block_of_its_own_comes_along_and_an_alternative_does_not() -> None:
    answer = (
        fenced("def f(x):\n    return twice(x)\n", "python")
        + fenced("import os\n\n\ndef twice(x):\n    return 2 * x\n", "python")
        + fenced("def f(x):\n    return x + x\n", "python")
    )
    program = taken("python", answer)
    assert "def twice" in program
    assert "x + x" not in program


def test_rust_names_are_brought_in_once() -> None:
    answer = "use std::collections::HashMap;\nuse std::cmp;\n\nfn f(x: i32) -> i32 {\n    x\n}\n"
    program = taken("rust", answer)
    assert "use std::cmp::max;\nuse std::collections::HashSet;\n" in program
    assert program.count("HashMap") == 1


def test_go_imports_are_said_once_and_only_where_they_are_used() -> None:
    answer = (
        'package main\n\nimport (\n\t"fmt"\n\t"math"\n\t"os"\n)\n\nfunc f(x int) int {\n'
        "\treturn int(math.Abs(float64(x))) // sort.Ints\n}\n\n"
        'func main() {\n\tfmt.Println("sort.x")\n}\n'
    )
    program = taken("go", fenced(answer, "go"))
    # "os" is the answer's own fault; "fmt" went with main, "sort" is the prompt's.
    assert program.startswith('import (\n\t"math"\n\t"os"\n)\n')


def test_a_java_class_of_any_name_is_the_prompts_class_and_none_is_public() -> None:
    answer = (
        "import java.util.stream.*;\n\npublic class Answer {\n    private int k;\n\n"
        "    Answer() {\n        k = 1;\n    }\n\n    public int f(int x) {\n"
        "        return new Answer().k + helper(x);\n    }\n}\n\npublic interface Other {\n}\n"
    )
    program = taken("java", fenced(answer, "java"))
    assert "class Solution {" in program
    assert "Answer" not in program
    assert "public class" not in program
    assert "public interface" not in program
    assert program.count("int helper(int x)") == 1
    assert program.index("import java.util.stream.*;") < program.index("class")


def test_javascript_that_is_packed_as_a_module_is_unpacked() -> None:
    answer = "export default function f(x) {\n  return helper(x)\n}\n\nmodule.exports = f;\nf(1);\n"
    program = taken("javascript", fenced(answer, "js"))
    assert "export" not in program
    assert "f(1)" not in program


def test_cpp_keeps_globals_and_types_and_loses_main() -> None:
    answer = (
        "#include <map>\nconst int kMod = 7;\nstd::map<int, int> memo;\n"
        "struct Node {\n    int x;\n};\n"
        "int f(int x)\n{\n    return memo[x] + kMod;\n}\nint main()\n{\n    return f(1);\n}\n"
    )
    program = taken("cpp", fenced(answer, "cpp"))
    for kept in ("#include <map>", "kMod = 7", "memo;", "struct Node", "int helper"):
        assert kept in program
    assert "main" not in program


def test_python_keeps_values_and_set_up_and_loses_examples() -> None:
    answer = (
        "import sys\nsys.setrecursionlimit(10**6)\nMEMO = {}\nA, B = 1, 2\n\n\n@staticmethod\n"
        "def twice(x):\n    return x\n\n\n# The answer.\n"
        "def f(x):\n# at the edge\n    return x\n\n\n"
        "for x in [1, 2]:\n    print(f(x))\nn = int(input())\nresult = f(n)\nf(2)\n"
        "try:\n    f(3)\nexcept ValueError:\n    pass\n"
    )
    program = taken("python", fenced(answer, "python"))
    for kept in ("setrecursionlimit", "MEMO = {}", "A, B = 1, 2", "@staticmethod", "# at the edge"):
        assert kept in program
    for lost in ("print", "input", "result", "f(2)", "f(3)", "except"):
        assert lost not in program


@pytest.mark.parametrize(
    "body",
    [
        "    y = x\n    return y",
        "y = x\n    return y",
        "y = x\nreturn y",
        "  y = x\n  return y",
        "\ty = x\n\treturn y",
        "   y = x\n    return y",
        "```python\n        y = x\n        return y\n```",
    ],
)
def test_a_python_body_gets_the_stubs_indent(body: str) -> None:
    assert taken("python", body).endswith('    """Doc."""\n    y = x\n    return y\n')


def test_a_body_whose_first_line_opens_a_block_keeps_its_shape() -> None:
    deep = "for y in x:\n        if y:\n            return y\n    return 0"
    shallow = "for y in x:\n    if y:\n        return y\nreturn 0"
    expected = "    for y in x:\n        if y:\n            return y\n    return 0\n"
    assert taken("python", deep).endswith(expected)
    assert taken("python", shallow).endswith(expected)


def test_strings_over_lines_are_not_moved() -> None:
    answer = 'y = """\nat the edge\n  two\n"""\n    return y'
    assert '"""\nat the edge\n  two\n"""\n    return y' in taken("python", answer)


def test_a_completion_ends_at_its_stop_words_but_not_in_front_of_a_whole_function() -> None:
    run_on = "    return x\n\n\ndef other(x):\n    return f(x)\n"
    assert "other" not in taken("python", run_on, Style.COMPLETION)
    whole = "import re\n\n\ndef f(x):\n    return 7\n"
    assert taken("python", fenced(whole, "python"), Style.COMPLETION).count("def f") == 1


def test_a_completion_keeps_the_helpers_it_uses() -> None:
    run_on = (
        "    return other(x)\n}\n\nfunc other(x int) int {\n    return x\n}\n\nfunc unused() {\n}\n"
    )
    program = taken("go", run_on, Style.COMPLETION)
    assert "func other" in program
    assert "unused" not in program


def test_words_alone_make_a_program_that_has_only_the_stub() -> None:
    for language in _LANGUAGES:
        program = taken(language, "I am sorry, but I cannot help with that.")
        assert (
            "sorry"
            not in program.replace("I am sorry, but I cannot help with that.", "sorry", 0)[:10]
        )
        assert "helper" in program


def test_a_fence_inside_a_docstring_closes_nothing() -> None:
    code = 'def f(x):\n    """Doc.\n\n    ```\n    f(1)\n    ```\n    """\n    return 7\n'
    answer = f"```python\n{code}```\n"
    assert "return 7" in taken("python", answer)

import itertools
from collections import Counter

import pytest

from wavecoder.languages import BUG_CLASSES, LANGUAGES, Mutant, mutants, parses

FUNCTIONS = {
    "python": "def f(items, n=2):\n    # keep 1\n    total = 0\n    for one in items:\n"
    "        if one > n and not one == 7:\n            total += one\n        else:\n"
    "            items.append(1)\n    return total\n",
    "java": "int f(int[] items, int n) {\n    int total = 0;\n    for (int one : items) {\n"
    "        if (one > n && !(one == 7)) {\n            total += one;\n        } else {\n"
    "            list.add(1);\n        }\n    }\n    return Math.max(total, n);\n}\n",
    "javascript": "function f(items, n) {\n  let total = 0;\n  for (const one of items) {\n"
    "    if (one > n && !(one === 7)) {\n      total += one;\n    } else {\n"
    "      list.push(1);\n    }\n  }\n  return Math.max(total, n);\n}\n",
    "typescript": "function f(items: number[], n: number): number {\n  let total = 0;\n"
    "  for (const one of items) {\n    if (one > n && !(one === 7)) {\n      total += one;\n"
    "    } else {\n      list.push(1);\n    }\n  }\n  return Math.max(total, n);\n}\n",
    "php": "function f($items, $n) {\n    $total = 0;\n    foreach ($items as $one) {\n"
    "        if ($one > $n && !($one == 7)) {\n            $total += $one;\n        } else {\n"
    "            $this->push(1);\n        }\n    }\n    return max($total, $n);\n}\n",
    "go": "func f(items []int, n int) int {\n\ttotal := 0\n\tfor _, one := range items {\n"
    "\t\tif one > n && !(one == 7) {\n\t\t\ttotal += one\n\t\t} else {\n\t\t\tg(1)\n\t\t}\n\t}\n"
    "\treturn max(total, n)\n}\n",
    "ruby": "def f(items, n)\n  total = 0\n  items.each do |one|\n    if one > n && !(one == 7)\n"
    "      total += one\n    else\n      list.push(1)\n    end\n  end\n  [total, n].max\nend\n",
    "c": "int f(int *items, int n) {\n    int total = 0;\n    for (int i = 0; i < n; i++) {\n"
    "        if (items[i] > n && !(items[i] == 7)) {\n            total += items[i];\n"
    "        } else {\n            g(1);\n        }\n    }\n    return max(total, n);\n}\n",
    "cpp": "int f(const std::vector<int>& items, int n) {\n    int total = 0;\n"
    "    for (auto one : items) {\n        if (one > n && !(one == 7)) {\n"
    "            total += one;\n        } else {\n            list.push_back(1);\n        }\n"
    "    }\n    return std::max(total, n);\n}\n",
    "rust": "fn f(items: &[i32], n: i32) -> i32 {\n    let mut total = 0;\n"
    "    for &one in items {\n        if one > n && !(one == 7) {\n            total += one;\n"
    "        } else {\n            list.push(1);\n        }\n    }\n    total.max(n)\n}\n",
    "csharp": "int F(int[] items, int n) {\n    int total = 0;\n    foreach (int one in items) {\n"
    "        if (one > n && !(one == 7)) {\n            total += one;\n        } else {\n"
    "            list.Add(1);\n        }\n    }\n    return Math.Max(total, n);\n}\n",
}


def lines_of(found: list[Mutant], code: str) -> set[tuple[str, str]]:
    """Class and changed line of each mutant."""
    right = code.splitlines()
    made = set()
    for one in found:
        wrong = one.code.splitlines()
        made |= {(one.kind, line.strip()) for line in wrong if line not in right}
    return made


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_mutant_is_other_code_that_parses(language: str):
    code = FUNCTIONS[language]
    found = list(mutants(code, language))
    assert len({one.code for one in found}) == len(found)
    for one in found:
        assert one.code != code
        assert parses(one.code, language)
    assert found == list(mutants(code, language))
    assert [one for one in found if one.certain] == list(mutants(code, language, certain=True))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_class_of_bugs(language: str):
    kinds = Counter(one.kind for one in mutants(FUNCTIONS[language], language))
    few = {"function misuse"} if language == "python" else set()
    assert set(kinds) >= set(BUG_CLASSES) - few


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_mutant_tells_where_it_is(language: str):
    code = (
        FUNCTIONS[language].replace("total", "größe")
        if language == "python"
        else (FUNCTIONS[language])
    )
    data = code.encode()
    for one in mutants(code, language):
        wrong = one.code.encode()
        assert wrong.startswith(data[: one.start])
        assert wrong.endswith(data[one.end :])
        assert one.line == data.count(b"\n", 0, one.start) + 1


@pytest.mark.parametrize(
    ("language", "code", "kind", "wrong"),
    [
        # values
        ("python", "def f(x):\n    return x + 5", "value misuse", "return x + 6"),
        ("python", "def f(x):\n    return x + 5", "value misuse", "return x + 4"),
        ("python", "def f(x):\n    return x + 0.5", "value misuse", "return x + 1.5"),
        ("python", "def f():\n    return True", "value misuse", "return False"),
        ("python", "def f():\n    return ''", "value misuse", "return ' '"),
        ("python", "def f():\n    return 'YES'", "value misuse", "return ''"),
        ("python", "def f():\n    return b'YES'", "value misuse", "return b'YE'"),
        ("java", "boolean f() {\n    return false;\n}", "value misuse", "return true;"),
        ("java", "char f() {\n    return 'a';\n}", "value misuse", "return 'b';"),
        ("rust", "fn f() -> u8 {\n    3u8\n}", "value misuse", "4u8"),
        ("php", "function f() {\n    return TRUE;\n}", "value misuse", "return FALSE;"),
        # operators
        ("python", "def f(a, b):\n    return a < b", "operator misuse", "return a <= b"),
        ("python", "def f(a, b):\n    return a < b", "operator misuse", "return a >= b"),
        ("python", "def f(a, b):\n    return a not in b", "operator misuse", "return a in b"),
        ("python", "def f(a, b):\n    return a is b", "operator misuse", "return a is not b"),
        ("python", "def f(a, b):\n    return a and b", "operator misuse", "return a or b"),
        ("python", "def f(a, b):\n    a //= b\n    return a", "operator misuse", "a *= b"),
        ("c", "int f(int a) {\n    return a & 7;\n}", "operator misuse", "return a | 7;"),
        ("c", "int f(int a) {\n    a <<= 2;\n    return a;\n}", "operator misuse", "a >>= 2;"),
        ("go", "func f(a int) int {\n\ta++\n\treturn a\n}", "operator misuse", "a--"),
        ("ruby", "def f(a)\n  a =~ /x/\nend", "operator misuse", "a !~ /x/"),
        # variables
        ("python", "def f(a, b):\n    return a", "variable misuse", "return b"),
        ("python", "def f(a, b):\n    return a - b", "variable misuse", "return b - a"),
        ("java", "int f(int a, int b) {\n    return a;\n}", "variable misuse", "return b;"),
        ("rust", "fn f(a: i32, b: i32) -> i32 {\n    a\n}", "variable misuse", "b"),
        ("php", "function f($a, $b) {\n    return $a;\n}", "variable misuse", "return $b;"),
        # functions
        ("python", "def f(x):\n    return min(x)", "function misuse", "return max(x)"),
        ("ruby", "def f(x)\n  x.upcase\nend", "function misuse", "x.downcase"),
        ("go", "func f(s string) bool {\n\treturn strings.HasPrefix(s, \"a\")\n}",
         "function misuse", "return strings.HasSuffix(s, \"a\")"),
        ("python", "def f(self, x, y):\n    self.start(x)\n    self.stop(y)",
         "function misuse", "self.stop(x)"),
        # missing
        ("python", "def f(a):\n    return not a", "missing logic", "return a"),
        ("python", "def f(a, i):\n    return a[i + 1]", "missing logic", "return a[i]"),
        ("python", "def f(a, b):\n    return a and b", "missing logic", "return a"),
        ("python", "def f(a):\n    return a[1:]", "missing logic", "return a"),
        ("python", "def f(a):\n    return sorted(a)", "missing logic", "return a"),
        ("python", "def f(a):\n    if a:\n        a.x()\n", "missing logic", "pass"),
        ("ruby", "def f(a)\n  unless a\n    g\n  end\n  a\nend", "missing logic", "if a"),
        ("rust", "fn f(a: bool) -> bool {\n    !a\n}", "missing logic", "a"),
        # excess
        ("java", "int f(int a) {\n    return a;\n}", "excess logic", "return a + 1;"),
        ("java", "boolean f(boolean a) {\n    return a;\n}", "excess logic", "return !a;"),
        ("python", "def f(a):\n    if a:\n        return 1", "excess logic", "if not a:"),
        ("python", "def f(a, b):\n    if a:\n        return 1", "excess logic", "if a and b:"),
    ],
)  # fmt: skip
def test_edits(language: str, code: str, kind: str, wrong: str):
    assert (kind, wrong) in lines_of(list(mutants(code, language)), code)


def test_statements_and_branches_go_as_a_whole():
    code = (
        "def f(a):\n    n = 0\n    if not a:\n        return 1\n    for x in a:\n"
        "        if x:\n            # the rest\n            n += x\n            a.g(x)\n"
        "        else:\n            n -= 1\n    return n\n"
    )
    made = {one.code for one in mutants(code, "python")}
    assert code.replace("    if not a:\n        return 1\n", "") in made
    assert code.replace("            a.g(x)\n", "") in made
    assert code.replace("\n        else:\n            n -= 1", "") in made
    assert code.replace("    return n\n", "") in made
    assert code.replace("            n += x\n", "            n += x\n            n += x\n") in made
    assert code.replace("n -= 1\n", "n -= 1\n        break\n") in made
    assert code.replace("n -= 1\n", "n -= 1\n        return n\n") in made
    alone = "def f(a):\n    if a:\n        a.g()\n        a.h()\n    return a.x\n"
    bare = "def f(a):\n    a.g()\n    a.h()\n    return a.x\n"
    assert bare in {one.code for one in mutants(alone, "python")}


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", 'def f(x):\n    "Add 1."\n    # not x == 1\n    return x'),
        ("python", "def f(x: Literal[1] = None) -> Literal['a']:\n    return x"),
        ("python", "def f(x):\n    logger.info('x %d', 1)\n    assert x == 1, 'no'\n    return x"),
        ("python", "def f(x):\n    raise ValueError('%d' % 1)"),
        ("python", "def f(x):\n    while True:\n        yield"),
        ("python", "def f(x):\n    return x\n    y = 1"),
        ("python", "def f():\n    n = 1\n    return g()"),
        ("java", "List<String> f(List<String> a) {\n    // not > 1\n    return a;\n}"),
        ("java", '@Size(1)\nObject f(Object a) {\n    throw new E("no" + 1);\n}'),
        ("rust", 'fn f(a: [u8; 4]) {\n    println!("{}", 1);\n}'),
        ("typescript", "function f(b: X<1>) {\n  return b!.c;\n}"),
        ("javascript", "function f(b) {\n  console.log(b + 1);\n  return b;\n}"),
        ("c", "void f(void) {\n    char a[4];\n    g(a);\n}"),
        ("php", "function f($b) {\n    throw new E('no');\n}"),
    ],
)
def test_what_is_left_alone(language: str, code: str):
    found = lines_of(list(mutants(code, language)), code)
    kinds = {"value misuse", "operator misuse", "variable misuse", "function misuse"}
    assert not {kind for kind, _ in found} & kinds


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("def f(x):\n    return x + 0", "return x"),
        ("def f(x):\n    return x + 0", "return x - 0"),
        ("def f(x):\n    return x * 1", "return x"),
        ("def f(x):\n    return -0", "return 0"),
        ("def f():\n    return 2 + 2", "return 2 * 2"),
        ("def f(x):\n    return x[:]", "return x"),
        ("def f(x):\n    return 'a' + x", "return 'a' - x"),
        ("def f(x):\n    for a in x:\n        g(a)\n        continue", "g(a)"),
    ],
)
def test_what_changes_nothing_is_not_made(code: str, wrong: str):
    assert wrong not in {line for _, line in lines_of(list(mutants(code, "python")), code)}
    assert all(
        one.code.count("continue") == code.count("continue") for one in mutants(code, "python")
    )


def test_go_is_left_without_unused_variables():
    code = "func f(a int) int {\n\tb := a + 1\n\tc := a + 2\n\tg(c)\n\treturn b\n}\n"
    made = {one.code for one in mutants(code, "go")}
    assert code.replace("\tg(c)\n", "") not in made
    assert code.replace("return b", "return c") not in made
    code = "func f(a int) int {\n\tb := g(a)\n\treturn a + b\n}\n"
    assert code.replace(" + b", "") not in {one.code for one in mutants(code, "go")}


CERTAIN = [
    # what is returned
    ("def f(n):\n    return n == 3", "n != 3"),
    ("def f(n):\n    return n == 3", "n == 4"),
    ("def f(n):\n    return not n", "return n"),
    ("def f(n):\n    return n + 1", "n - 1"),
    ("def f(n):\n    return [n, 1]", "[n, 2]"),
    ("def f(n):\n    return 'yes' if n > 3 else 'no'", "n <= 3"),
    ("def f(n):\n    return 'yes' if n > 3 else 'no'", "'ye'"),
    ("def f(n):\n    m = n + 2\n    return m", "n + 3"),
    ("def f(n):\n    return [i for i in range(n) if i > 1]", "i <= 1"),
    ("def f(n):\n    return sum(i * 2 for i in range(n))", "i + 2"),
    ("def f(n):\n    return len([i for i in range(n) if i > 1])", "i <= 1"),
    ("def f(n):\n    return max(n, 2)", "min(n, 2)"),
    ("def f(n):\n    return 1 < n < 5", ""),
    # ways
    ("def f(n):\n    if n < 2:\n        return 1\n    return n * n", "n >= 2"),
    ("def f(n):\n    if n < 2:\n        raise ValueError\n    return n", "n >= 2"),
    ("def f(n):\n    if n < 2 and n != 0:\n        return 5\n    return n", "n < 2 or n"),
    ("def f(n):\n    k = n\n    if n < 2:\n        k = 7\n    return k", "n >= 2"),
    # totals
    ("def f(n):\n    t = 0\n    for i in range(n):\n        t += i\n    return t", "t -= i"),
    ("def f(n):\n    t = 0\n    for i in range(n):\n        t += i\n    return t", "t = 1"),
    ("def f(n):\n    t = 0\n    for i in range(n):\n        t += 2\n    return t", "t += 3"),
    ("def f(n):\n    t = []\n    for i in range(n):\n        t.append(i)\n    return t", "pass"),
    ("def f(n):\n    t = []\n    for i in range(n):\n        t.append(i)\n    return t", "break"),
    ("def f(n):\n    t = []\n    for i in range(n):\n        if i % 2 == 0:\n"
     "            t.append(i)\n    return t", "!= 0"),
    # flags
    ("def f(n):\n    ok = True\n    if n > 3:\n        ok = False\n    return ok", "if n <= 3"),
    ("def f(n):\n    ok = True\n    if n > 3:\n        ok = False\n    return ok",
     "        ok = True"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "wrong"), CERTAIN)
def test_what_is_certain(code: str, wrong: str):
    found = [one for one in mutants(code, "python") if wrong and wrong in one.code]
    assert any(one.certain for one in found) == bool(wrong)


@pytest.mark.parametrize("code", sorted({code for code, _ in CERTAIN}))
def test_what_is_certain_shows_on_some_input(code: str):
    for one in mutants(code, "python", certain=True):
        assert any(outcome(code, n) != outcome(one.code, n) for n in range(-2, 9)), (
            f"{one.code} does what {code} does"
        )


def outcome(code: str, n: int) -> object:
    """What a function gives for a number, or how it fails."""
    space: dict[str, object] = {}
    exec(code, space)
    try:
        return repr(space["f"](n))  # type: ignore[operator]
    except (ValueError, TypeError, ZeroDivisionError, IndexError) as error:
        return type(error)


@pytest.mark.parametrize(
    ("language", "code", "wrong"),
    [
        # nobody can say whether the boundary is ever met, or matters
        ("python", "def f(a, b):\n    return a if a > b else b", "a >= b"),
        # the parts of a condition may say the same
        ("python", "def f(a):\n    if a and a > 0:\n        return 1\n    return 0", "if a:"),
        ("python", "def f(a):\n    if not a or a < 0:\n        return 1\n    return g(a)", " and "),
        # what a function of others does with it is not known
        ("python", "def f(a):\n    return g(a + 1)", "a - 1"),
        # nor what is done with what an inner function gives back
        ("python", "def f(a):\n    def h(x):\n        return 1\n    a.each(h)", "return 2"),
        ("javascript", "function f(a) {\n  a.forEach((x) => { return 1; });\n}", "return 2"),
        ("python", "def f(a):\n    return len([x + 1 for x in a])", "x - 1"),
        # a remainder is never negative here
        ("python", "def f(a):\n    return abs(a % 10)", "return a % 10"),
        # the last value is not the only one
        ("python", "def f(a):\n    t = 0\n    for x in a:\n        t += x\n        t = g(t)\n"
         "    return t", "t -= x"),
        # it is read in between
        ("python", "def f(a):\n    t = 0\n    for x in a:\n        t += 1\n        if t > 3:\n"
         "            break\n    return t", "t -= 1"),
        # a loop that only writes its own variable may tidy up what does no harm
        ("python", "def f(a):\n    while a.startswith('0'):\n        a = a[1:]\n"
         "    return int(a)", "not a.startswith"),
        # one way may only be the faster one
        ("python", "def f(a):\n    if fast_path(a):\n        return g(a)\n    return h(a)",
         "not fast_path"),
        # thrown, and caught here
        ("python", "def f(a):\n    try:\n        if a == 1:\n            raise E\n    except E:\n"
         "        pass\n    return a", "a != 1"),
        ("python", "def f(a):\n    try:\n        return 1\n    finally:\n        return a",
         "return 2"),
        # what stands beside an error is not looked at
        ("go", "func f(a int) (int, error) {\n\treturn 0, g(a)\n}", "return 1"),
        # where they are equal it is all the same which
        ("python", "def f(a, b):\n    if a == b:\n        return a\n    return 3", "return b"),
        # the round ends anyway, and so does the function
        ("python", "def f(a):\n    for x in a:\n        g(x)\n        if x == 1:\n"
         "            continue", "x != 1"),
        ("python", "def f(a):\n    g(a)\n    if a == 1:\n        return", "a != 1"),
        # nothing rests on b: the first value of a comma is given up
        ("javascript", "function f(x) {\n  let b = 1;\n  if (x > b) { b = x; }\n"
         "  return (b, x);\n}", "x <= b"),
        # any number but 0 is true
        ("cpp", "bool f(int a) {\n    return 1;\n}", "return 2"),
        # a set has each thing once
        ("python", "def f(a):\n    t = set()\n    for x in a:\n        t.add(x)\n    return t",
         "t.add(x)\n        t.add(x)"),
    ],
)  # fmt: skip
def test_what_nobody_can_say(language: str, code: str, wrong: str):
    found = [one for one in mutants(code, language) if wrong in one.code]
    assert found
    assert not any(one.certain for one in found)


@pytest.mark.parametrize(
    ("language", "code", "wrong"),
    [
        ("java", "int f(int a) {\n    return a * 2;\n}", "return (a * 2) + 1;"),
        ("java", "void f(int a) {\n    this.a = a + 1;\n}", "a - 1"),
        ("java", "void f(int a) {\n    total = 3;\n}", "total = 4"),
        ("go", "func f(a int) (int, error) {\n\tif a < 0 {\n\t\treturn 0, e\n\t}\n"
         "\treturn a, nil\n}", "a >= 0"),
        ("rust", "fn f(a: i32) -> Option<i32> {\n    if a > 1 {\n        return None;\n    }\n"
         "    Some(a + 1)\n}", "a - 1"),
        ("rust", "fn f(a: &str) -> bool {\n    a == \"x\"\n}", "a != "),
        ("ruby", "def f(a)\n  a == 1\nend", "a != 1"),
        ("ruby", "def f(a)\n  @a = 1\nend", "@a = 2"),
        ("php", "function f($a) {\n    if ($a < 1) {\n        throw new E();\n    }\n"
         "    return $a;\n}", "$a >= 1"),
        ("c", "int f(int *a, int n) {\n    int t = 0;\n    for (int i = 0; i < n; i++) {\n"
         "        t += a[i];\n    }\n    return t;\n}", "t -= a[i]"),
        ("cpp", "int f(std::vector<int> a) {\n    int t = 0;\n    for (auto x : a) {\n"
         "        t++;\n    }\n    return t;\n}", "t--"),
        ("csharp", "bool F(int a) {\n    return a == 3;\n}", "a != 3"),
        ("javascript", "const f = (a) => a + 1;", "a - 1"),
        ("typescript", "function f(a: number): boolean {\n  return a > 1;\n}", "a <= 1"),
        ("javascript", "function f(a) {\n  while (a.next()) {\n    a.b();\n  }\n}", "!a.next()"),
    ],
)  # fmt: skip
def test_what_is_certain_elsewhere(language: str, code: str, wrong: str):
    found = [one for one in mutants(code, language) if wrong in one.code]
    assert any(one.certain for one in found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_without_a_function_has_no_mutants(language: str):
    assert list(mutants("", language)) == []
    assert list(mutants("x = 1\n", language)) == []


def test_deep_and_long_functions_are_no_trouble():
    deep = "def f(x):\n    return " + "(" * 200 + "x" + " + 1)" * 200
    assert list(itertools.islice(mutants(deep, "python"), 5))
    chain = "def f(x):\n" + "".join(f"    a{i + 1} = a{i} + 1\n" for i in range(300))
    chain = chain.replace("a0", "x") + "    return a300\n"
    assert next(mutants(chain, "python", certain=True)).certain

import pytest

from wavecoder.languages import (
    LANGUAGES,
    leaves,
    parse,
    parses,
    syntax_errors,
    tokens,
)

# Each is legal in these languages and in no others.
SNIPPETS = {
    "def add(a, b):\n    return a + b": {"python"},
    "@property\ndef name(self):\n    for x in self.items:\n        yield x": {"python"},
    "@Override\npublic List<String> names(Map<String, Integer> m) throws IOException {\n"
    "    for (String k : m.keySet()) { out.add(k); }\n    return out;\n}": {"java"},
    "public static int add(int a, int b) {\n    return a + b;\n}": {"java", "csharp"},
    "function add(a, b) {\n  const total = a + b;\n  return total;\n}": {
        "javascript",
        "typescript",
    },
    "async load(url) {\n  const r = await fetch(url);\n  return r.json();\n}": {
        "javascript",
        "typescript",
    },
    "const add = (a, b) => a + b;": {"javascript", "typescript"},
    "private async load(url: string): Promise<T[]> {\n  return this.http.get<T>(url);\n}": {
        "typescript"
    },
    "const x = <string>y;": {"typescript"},
    "const render = (x: number) => <div>{x}</div>;": {"typescript"},
    "function add(int $a): int {\n    return $a + 1;\n}": {"php"},
    "<?php\nfunction add($a) { return $a; }": {"php"},
    "public static function add($a) {\n    return self::$x[$a] . '<?php';\n}": {"php"},
    "func (s *Server) Get(k string) (string, error) {\n\treturn s.m[k], nil\n}": {"go"},
    "def self.names(items)\n  items.map { |x| x.name }.reject(&:nil?)\nend": {"ruby"},
    "static char *copy(const char *s) {\n    if (!s) return NULL;\n    return strdup(s);\n}": {
        "c",
        "cpp",
    },
    "template <typename T>\nT add(const T& a, const T& b) {\n    return a + b;\n}": {"cpp"},
    "explicit Point(int x) : x_(x) {}": {"cpp"},
    "fn push(&mut self, x: T) -> Result<(), E> {\n    self.v.push(x);\n    Ok(())\n}": {"rust"},
    "public Point(int x) : base(x) { this.x = x; }": {"csharp"},
    "public int Add(int a) => a + 1;": {"csharp"},
    "fun add(a: Int, b: Int): Int {\n    val total = a + b\n    return total\n}": set(),
    "SELECT a FROM t WHERE b = 1;": set(),
    "for f in *.txt; do\n  echo $f\ndone": set(),
    "def f():\n": set(),
    "": set(),
    "# only a comment\n": {"c", "cpp"},  # a directive, to the preprocessor
    "// only a comment\n": set(),
}

PROSE = (
    "This function adds two numbers and returns the total.",
    "Adds two numbers",
    "Sort the list, then print it",
    "The answer is yes",
    "Here is the code:\n\nThe function takes a list and returns the sum of it",
    "Write a function that returns the largest number in a list; it takes one argument.",
    "Hello",
    "1. Sort\n2. Print",
    "- first item\n- second item",
    "The function `add` takes (a, b) and returns a + b",
)


@pytest.mark.parametrize("code", SNIPPETS)
def test_code_parses_in_its_own_languages_only(code):
    assert {name for name in LANGUAGES if parses(code, name)} == SNIPPETS[code]


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_code_in_no_language(text):
    assert not [name for name in LANGUAGES if parses(text, name)]


def test_an_issue_tells_line_column_and_what():
    (issue,) = syntax_errors("int f() {\n  return 1\n}", "c")
    assert issue == (2, 11, "missing ;")
    issue = syntax_errors("def f(:\n    pass", "python")[0]
    assert issue.line == 1
    # A method that is wrong: the class put around it does not shift the lines.
    issue = syntax_errors("public int f() {\n  int é = 1; return = 2;\n}", "csharp")[0]
    assert issue.line == 2


def test_hostile_text_is_read_and_refused_quickly():
    for name in LANGUAGES:
        for text in ("(" * 5_000, "{[" * 2_500, "@#$ ( { foo ]" * 500, "\"'`)" * 500):
            assert not parses(text, name)
            assert len(syntax_errors(text, name)) <= 20
        assert not parses("a\ud800b \x00", name)


def test_code_may_nest_as_deep_as_it_likes():
    deep = "x = " + "(" * 50_000 + "1" + ")" * 50_000
    assert parses(deep, "python")
    assert len(tokens(deep, "python")) == 100_003


def test_tokens_leave_comments_out_and_keep_strings_whole():
    assert tokens("x = 'a b'  # c\n", "python") == ["x", "=", "'a b'"]
    assert tokens("return `a b` + 1; // c", "javascript") == ["return", "`a b`", "+", "1", ";"]
    assert tokens('f("a" /* b */);', "c") == ["f", "(", '"a"', ")", ";"]
    # What is inside an interpolation is code.
    assert "total" in tokens("f'{total} in all'", "python")
    # A method alone is read inside a class, which is not part of it.
    assert tokens("public function f() {}", "php")[:2] == ["public", "function"]


def test_leaves_tell_where_they_stand():
    code = "é = 1  # one\nif é < 2: pass"
    found = {leaf.text: leaf for leaf in leaves(code, "python")}
    data = code.encode()
    for leaf in found.values():
        assert data[leaf.start : leaf.end].decode() == leaf.text
    assert found["# one"].is_comment
    assert found["<"].in_expression and found["<"].line == 2
    generic = [leaf for leaf in leaves("List<String> a;", "java") if leaf.text == "<"]
    assert not generic[0].in_expression
    # Offsets are those of the text where a class had to be put around it.
    method = "explicit A(int x) : x_(x) { x_ += 1; }"
    for leaf in leaves(method, "cpp"):
        assert method[leaf.start : leaf.end] == leaf.text


def test_a_tree_is_that_of_the_text_as_it_stands():
    assert parse("x = 1", "python").root_node.end_byte == 5
    assert parse("def f(", "python").root_node.has_error

import pytest

from wavecoder.behaviour import Signature, Subject, functions_in, signature
from wavecoder.behaviour.shapes import ShapeKind, shape


@pytest.mark.parametrize(
    ("code", "language", "expected"),
    [
        ("def f(a, b: int, /, c=1, *rest, d=2) -> str: pass", "python",
         (("a", ""), ("b", "int"), ("c", ""))),
        ("const f = async (a, b = 1, ...c) => a", "javascript", (("a", ""), ("b", ""))),
        ("const f = x => x", "javascript", (("x", ""),)),
        ("function f(a: number, b?: string[]): void {}", "typescript",
         (("a", "number"), ("b", "string[]"))),
        ("func f(a, b int, c map[string]bool) (int, error) { return 0, nil }", "go",
         (("a", "int"), ("b", "int"), ("c", "map[string]bool"))),
        ("int f(const vector<int>& v, unsigned n = 3, char s[]) { return 0; }", "cpp",
         (("v", "const vector<int>&"), ("n", "unsigned"), ("s", "char []"))),
        ("int f(void) { return 0; }", "c", ()),
        ("fn f(mut a: &[i32], b: Option<char>) {}", "rust",
         (("a", "&[i32]"), ("b", "Option<char>"))),
        ("function f(?int $a, $b = 3) {}", "php", (("a", "?int"), ("b", ""))),
        ("def f(a, b = 1, *c) a end", "ruby", (("a", ""), ("b", ""))),
        ("static int f(final int a, int b[]) { return 0; }", "java",
         (("a", "int"), ("b", "int[]"))),
    ],
)  # fmt: skip
def test_parameters(code, language, expected):
    found = signature(Subject(code, language, "f"))
    assert isinstance(found, Signature)
    assert found.parameters == expected


def test_what_must_be_given_by_name_cannot_be_told():
    assert signature(Subject("def f(a, *, b): pass", "python", "f")) is None
    assert signature(Subject("def f(a, k:) a end", "ruby", "f")) is None
    assert signature(Subject("def f(a, *, b=1): pass", "python", "f")) is not None


def test_public_functions_come_first_and_the_last_before_the_first():
    code = "def a(): pass\ndef _b(): pass\ndef c():\n    def inner(): pass\n"
    assert functions_in(code, "python") == ["c", "a", "_b"]
    assert functions_in("func a() {}\nfunc B() {}\nfunc c() {}", "go") == ["B", "c", "a"]
    assert functions_in("x = 1", "python") == []
    assert functions_in("", "rust") == []


@pytest.mark.parametrize(
    ("text", "language", "kinds"),
    [
        ("list[dict[str, int]]", "python", "list map text int"),
        ("Optional[List[float]]", "python", "maybe list float"),
        ("int | None", "python", "maybe int"),
        ("Tuple[int, str]", "python", "tuple int text"),
        ("tuple[int, ...]", "python", "list int"),
        ("ReadonlyArray<string | null>", "typescript", "list maybe text"),
        ("[number, boolean]", "typescript", "tuple float bool"),
        ("Map<String, List<Integer>>", "java", "map text list int"),
        ("int[][]", "java", "list list int"),
        ("[]map[string][]float64", "go", "list map text list float"),
        ("const std::vector<std::pair<int, char>> &", "cpp", "list tuple int char"),
        ("unsigned long long", "cpp", "int"),
        ("&mut Vec<Option<String>>", "rust", "list maybe text"),
        ("&[(u8, char)]", "rust", "list tuple int char"),
        ("[2]int", "go", "tuple int int"),
        ("&[u8; 2]", "rust", "tuple int int"),
        ("?int", "php", "maybe int"),
    ],
)
def test_types_are_understood_alike(text, language, kinds):
    pending, found = [shape(text, language)], []
    while pending:
        one = pending.pop(0)
        assert one is not None
        found.append(one.kind.value)
        pending = [*one.parts, *pending]
    assert " ".join(found) == kinds


@pytest.mark.parametrize(
    ("text", "language"),
    [("Widget", "java"), ("*Node", "go"), ("int*", "cpp"), ("Box<dyn Any>", "rust"),
     ("np.ndarray", "python"), ("", "python"), ("Callable[[int], int]", "python")],
)  # fmt: skip
def test_a_type_that_is_not_known_is_not_guessed(text, language):
    assert shape(text, language) is None


def test_an_unsigned_number_has_no_negatives():
    assert shape("u8", "rust") is not None
    assert (shape("u8", "rust").least, shape("byte", "go").most) == (0, 127)
    assert shape("int", "python").kind is ShapeKind.INT

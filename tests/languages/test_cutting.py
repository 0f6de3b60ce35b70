from textwrap import dedent

import pytest

from wavecoder.languages import LANGUAGES, functions, parses, statements

# A file each: what is cut out as (name, first line, last line, docstring, code).
SAMPLES = {
    "python": (
        '''\
        """Module."""
        import os

        # not a docstring
        @cached
        async def load(path):
            # why
            """Load it.

            In full.
            """
            # then
            with open(path) as file:
                def inner():
                    return file
                return inner()


        class A(B):
            """Class."""

            @property
            def size(self):
                r"""Size \\d."""

            def one(self): "One."; return 1

            class In:
                def two(self):
                    return """a
                b"""

        if os.name == "nt":
            def three(): return 3
        ''',
        [
            (
                "load",
                5,
                16,
                "Load it.\n\nIn full.",
                "@cached\nasync def load(path):\n    # why\n    # then\n"
                "    with open(path) as file:\n        def inner():\n            return file\n"
                "        return inner()",
            ),
            ("A.size", 22, 24, "Size \\d.", "@property\ndef size(self):\n    pass"),
            ("A.one", 26, 26, "One.", "def one(self): return 1"),
            ("A.In.two", 29, 31, None, 'def two(self):\n    return """a\nb"""'),
            ("three", 34, 34, None, "def three(): return 3"),
        ],
    ),
    "java": (
        """\
        package a;
        /** Class. */
        public class Stack<T> extends Base {
            private int size;

            /** Makes it. */
            public Stack(int size) { this.size = size; }

            /**
             * Push an item.
             *
             * @param item the item
             */
            @Override
            public <X> void push(T item) {
                items.add(item);
            }

            abstract int none();

            // Not a doc of it.

            int peek() { return new Object() { int f() { return 1; } }.f(); }

            enum Kind { A; int code() { return 1; } }
        }
        """,
        [
            ("Stack.Stack", 7, 7, "Makes it.", "public Stack(int size) { this.size = size; }"),
            (
                "Stack.push",
                14,
                17,
                "Push an item.\n\n@param item the item",
                "@Override\npublic <X> void push(T item) {\n    items.add(item);\n}",
            ),
            (
                "Stack.peek",
                23,
                23,
                None,
                "int peek() { return new Object() { int f() { return 1; } }.f(); }",
            ),
            ("Stack.Kind.code", 25, 25, None, "int code() { return 1; }"),
        ],
    ),
    "javascript": (
        """\
        /**
         * Adds.
         */
        export function add(a, b) {
          function inner() { return a; }
          return inner() + b;
        }

        // eslint-disable-next-line
        // Doubles
        // a number.
        const double = (x) => x * 2;
        const a = 1, triple = function (x) { return x * 3; };
        module.exports.four = () => 4;

        class Set extends Base {
          constructor() { super(); }
          /* Size. */
          get size() { return 2; }
          static async load(url) { return url; }
          #hidden() { return 3; }
          arrow = () => { return 5; };
        }

        (function () {
          function wrapped() { return 6; }
        })();
        const api = { get(key) { return key; } };
        """,
        [
            (
                "add",
                4,
                7,
                "Adds.",
                "function add(a, b) {\n  function inner() { return a; }\n  return inner() + b;\n}",
            ),
            ("double", 12, 12, "Doubles\na number.", "const double = (x) => x * 2;"),
            ("triple", 13, 13, None, "triple = function (x) { return x * 3; }"),
            ("module.exports.four", 14, 14, None, "module.exports.four = () => 4;"),
            ("Set.constructor", 17, 17, None, "constructor() { super(); }"),
            ("Set.size", 19, 19, "Size.", "get size() { return 2; }"),
            ("Set.load", 20, 20, None, "static async load(url) { return url; }"),
            ("Set.#hidden", 21, 21, None, "#hidden() { return 3; }"),
            ("Set.arrow", 22, 22, None, "arrow = () => { return 5; }"),
            ("wrapped", 26, 26, None, "function wrapped() { return 6; }"),
            ("get", 28, 28, None, "get(key) { return key; }"),
        ],
    ),
    "typescript": (
        """\
        export const double = (x: number): number => x * 2;

        function over(a: string): void;
        /** Any. */
        function over(a: any): void { return; }

        abstract class Box<T> {
          /** Get it. */
          @Get("/")
          @Log
          public get(@Arg() key: string): T {
            return <T>this.items[key];
          }
          abstract none(): void;
          private arrow = (): number => 1;
        }
        interface Shape { area(): number; }
        namespace N { export function inside(): number { return 1; } }
        """,
        [
            ("double", 1, 1, None, "const double = (x: number): number => x * 2;"),
            ("over", 5, 5, "Any.", "function over(a: any): void { return; }"),
            (
                "Box.get",
                9,
                13,
                "Get it.",
                '@Get("/")\n@Log\npublic get(@Arg() key: string): T {\n'
                "  return <T>this.items[key];\n}",
            ),
            ("Box.arrow", 15, 15, None, "private arrow = (): number => 1"),
            ("inside", 18, 18, None, "function inside(): number { return 1; }"),
        ],
    ),
    "php": (
        """\
        <html><?php
        /**
         * Adds.
         */
        function add(int $a): int { return $a + 1; }

        final class Box extends Base {
            public function __construct(private int $x) {}
            /** Get it. */
            #[Pure]
            public static function get($key) {
                return self::$items[$key];
            }
            abstract function none();
        }
        trait T { function shared() { return 1; } }
        """,
        [
            ("add", 5, 5, "Adds.", "function add(int $a): int { return $a + 1; }"),
            (
                "Box.__construct",
                8,
                8,
                None,
                "public function __construct(private int $x) {}",
            ),
            (
                "Box.get",
                10,
                13,
                "Get it.",
                "#[Pure]\npublic static function get($key) {\n    return self::$items[$key];\n}",
            ),
            ("T.shared", 16, 16, None, "function shared() { return 1; }"),
        ],
    ),
    "go": (
        """\
        package main

        // Add returns a + b,
        // as ever.
        //
        //go:noinline
        func Add(a, b int) int {
        \treturn func() int { return a + b }()
        }

        /* Get gets. */
        func (s *Server[T]) Get(key string) T { return s.items[key] }

        func (Server) Name() string {
        \treturn "x"
        }

        func external(a int) int
        """,
        [
            (
                "Add",
                7,
                9,
                "Add returns a + b,\nas ever.",
                "func Add(a, b int) int {\n\treturn func() int { return a + b }()\n}",
            ),
            (
                "Server.Get",
                12,
                12,
                "Get gets.",
                "func (s *Server[T]) Get(key string) T { return s.items[key] }",
            ),
            ("Server.Name", 14, 16, None, 'func (Server) Name() string {\n\treturn "x"\n}'),
        ],
    ),
    "ruby": (
        """\
        # frozen_string_literal: true

        module Shop
          ##
          # A cart.
          #
          # Empty at first.
          class Cart < Base::Thing
            # Makes it.
            def initialize(items)
              @items = items
            end

            def self.double(a) = a * 2

            def empty; end

            def each
              yield @items
            rescue Error
              nil
            end
          end
        end
        """,
        [
            (
                "Shop.Cart.initialize",
                10,
                12,
                "Makes it.",
                "def initialize(items)\n  @items = items\nend",
            ),
            ("Shop.Cart.double", 14, 14, None, "def self.double(a) = a * 2"),
            ("Shop.Cart.empty", 16, 16, None, "def empty; end"),
            (
                "Shop.Cart.each",
                18,
                22,
                None,
                "def each\n  yield @items\nrescue Error\n  nil\nend",
            ),
        ],
    ),
    "c": (
        """\
        #include <stdio.h>
        int prototype(int);
        /* Copies a string,
         * with care. */
        static char *copy(const char *s)
        {
            return strdup(s);
        }
        #ifdef X
        int (*choose(int a))(int) { return table[a]; }
        #endif
        """,
        [
            (
                "copy",
                5,
                8,
                "Copies a string,\nwith care.",
                "static char *copy(const char *s)\n{\n    return strdup(s);\n}",
            ),
            ("choose", 10, 10, None, "int (*choose(int a))(int) { return table[a]; }"),
        ],
    ),
    "cpp": (
        """\
        namespace shop {
        /// Adds.
        template <typename T>
        T add(const T& a) {
            return a + 1;
        }
        class Box : public Base {
         public:
            Box(int a) : a_(a) {}
            ~Box() { release(); }
            Box(const Box&) = delete;
            virtual int get() const override { return a_; }
            bool operator==(const Box& o) const { return a_ == o.a_; }
            operator bool() const { return true; }
            int declared();
        };
        int Box::declared() { return 1; }
        template <class T> int& List<T>::at(int i) { return items[i]; }
        }
        """,
        [
            (
                "add",
                3,
                6,
                "Adds.",
                "template <typename T>\nT add(const T& a) {\n    return a + 1;\n}",
            ),
            ("Box.Box", 9, 9, None, "Box(int a) : a_(a) {}"),
            ("Box.~Box", 10, 10, None, "~Box() { release(); }"),
            ("Box.get", 12, 12, None, "virtual int get() const override { return a_; }"),
            (
                "Box.operator==",
                13,
                13,
                None,
                "bool operator==(const Box& o) const { return a_ == o.a_; }",
            ),
            ("Box.operator bool", 14, 14, None, "operator bool() const { return true; }"),
            ("Box.declared", 17, 17, None, "int Box::declared() { return 1; }"),
            (
                "List.at",
                18,
                18,
                None,
                "template <class T> int& List<T>::at(int i) { return items[i]; }",
            ),
        ],
    ),
    "rust": (
        """\
        //! Module.

        /// Adds,
        /// with care.
        #[inline]
        #[must_use]
        pub fn add(a: i32) -> i32 {
            a + 1
        }
        #[derive(Debug)] struct Point;
        fn lone() -> i32 { 1 }

        impl<T> Stack<T> {
            /** Push. */
            pub fn push(&mut self, x: T) {
                self.items.push(x);
            }
        }
        impl fmt::Display for Point {
            fn fmt(&self) -> R { Ok(()) }
        }
        trait Shape { fn area(&self) -> f64; fn twice(&self) -> f64 { self.area() * 2.0 } }
        """,
        [
            (
                "add",
                5,
                9,
                "Adds,\nwith care.",
                "#[inline]\n#[must_use]\npub fn add(a: i32) -> i32 {\n    a + 1\n}",
            ),
            ("lone", 11, 11, None, "fn lone() -> i32 { 1 }"),
            (
                "Stack.push",
                15,
                17,
                "Push.",
                "pub fn push(&mut self, x: T) {\n    self.items.push(x);\n}",
            ),
            ("Point.fmt", 20, 20, None, "fn fmt(&self) -> R { Ok(()) }"),
            ("Shape.twice", 22, 22, None, "fn twice(&self) -> f64 { self.area() * 2.0 }"),
        ],
    ),
    "csharp": (
        """\
        namespace Shop {
            /// <summary>A box.</summary>
            public class Box<T> : Base {
                public Box(int a) : base(a) { this.a = a; }

                /// <summary>Gets it.</summary>
                /// <returns>The item.</returns>
                [Pure]
                public T Get(string key) {
                    return items[key];
                }

                public int Double(int a) => a * 2;
                public abstract void None();
                public int Size { get { return 1; } }
            }
            struct Point { int X() { return 1; } }
        }
        """,
        [
            ("Box.Box", 4, 4, None, "public Box(int a) : base(a) { this.a = a; }"),
            (
                "Box.Get",
                8,
                11,
                "<summary>Gets it.</summary>\n<returns>The item.</returns>",
                "[Pure]\npublic T Get(string key) {\n    return items[key];\n}",
            ),
            ("Box.Double", 13, 13, None, "public int Double(int a) => a * 2;"),
            ("Point.X", 17, 17, None, "int X() { return 1; }"),
        ],
    ),
}


def test_every_language_has_a_sample():
    assert set(SAMPLES) == set(LANGUAGES)


@pytest.mark.parametrize("name", SAMPLES)
def test_functions_are_cut_with_name_lines_docstring_and_code(name):
    text, expected = SAMPLES[name]
    spans = list(functions(dedent(text), name))
    found = [(s.name, s.start_line, s.end_line, s.docstring, s.code) for s in spans]
    assert found == expected
    assert all(span.issue is None for span in spans)


@pytest.mark.parametrize("name", SAMPLES)
def test_code_cut_out_parses_alone_and_bytes_hold_it(name):
    text = dedent(SAMPLES[name][0])
    for span in functions(text, name):
        assert parses(span.code, name)
        held = text.encode()[span.start_byte : span.end_byte].decode()
        assert held.split()[0] == span.code.split()[0]


def test_a_broken_function_is_marked_and_its_neighbours_are_not():
    text = "int a(void) { return 1; }\nint b(void) { return 1 +; }\nint c(void) { return 2; }\n"
    spans = list(functions(text, "c"))
    assert [(span.name, span.issue is None) for span in spans] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]
    assert spans[1].issue.line == 2


def test_a_comment_behind_code_or_a_blank_line_away_is_no_doc_comment():
    text = "int x; // of x\nint a(void) { return 1; }\n\n// far\n\nint b(void) { return 1; }\n"
    assert [span.docstring for span in functions(text, "c")] == [None, None]


def test_a_line_of_rules_and_an_empty_comment_are_no_doc_comment():
    text = "// --------\nint a(void) { return 1; }\n/***/\nint b(void) { return 1; }\n"
    assert [span.docstring for span in functions(text, "c")] == [None, None]


def test_tabs_and_less_indented_lines_survive_the_move_to_the_left():
    text = 'class A:\n\tdef f(self):\n\t\tx = """\nleft\n"""\n\t\treturn x\n'
    (span,) = functions(text, "python")
    assert span.code == 'def f(self):\n\tx = """\nleft\n"""\n\treturn x'


def test_the_statements_of_a_body_are_told_apart():
    assert statements("def f(a):\n    # why\n    x = 1; return x", "python") == [
        "x = 1",
        "return x",
    ]
    assert statements("func f() int {\n\tx := 1 // why\n\treturn x\n}", "go") == [
        "x := 1",
        "return x",
    ]
    assert statements("public int f() { /* none */ }", "java") == []
    assert statements("const f = (x) => x + 1;", "javascript") == ["x + 1"]
    assert statements("def f(a) = a + 1", "ruby") == ["a + 1"]
    assert statements("def f; end", "ruby") == []
    assert statements("fn f() -> i32 { g(); 1 }", "rust") == ["g();", "1"]
    assert statements("public function f() { return 1; }", "php") == ["return 1;"]
    assert statements("x = 1", "python") == []


def test_deep_nesting_is_walked_without_recursion():
    deep = "(" * 50_000 + "1" + ")" * 50_000
    (span,) = functions(f"def f():\n    return {deep}\n", "python")
    assert span.issue is None and span.end_line == 2
    assert not list(functions(f"x = {deep}\n", "python"))
    assert not list(functions("class A{" * 20_000, "java"))
    nested = "class A { " * 2_000 + "int f() { return 1; }" + "}" * 2_000
    (span,) = functions(nested, "java")
    assert span.name.endswith(".A.f") and len(span.name) < 50

"""A syntax tree as the edits see it: parts with parents and roles, the same for all languages.

Comments are left out. What no edit may touch is marked: types, annotations, messages of errors and
of logs, labels of cases, docstrings.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from types import MappingProxyType

from tree_sitter import TreeCursor

from wavecoder.languages.syntax import read
from wavecoder.languages.table import LANGUAGES, Language

__all__ = ["ADDERS", "Part", "Source", "source", "word_set"]


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


ADDERS = word_set("append push push_back add Add extend insert appendleft emplace_back")
"""Methods that put something into a collection."""


def _roles(**types: str) -> MappingProxyType[str, str]:
    return MappingProxyType({one: role for role, words in types.items() for one in words.split()})


# Types of named nodes, of all grammars together: no two give one a different meaning.
_ROLES = _roles(
    binary="binary_expression binary binary_operator comparison_operator boolean_operator",
    unary="unary_expression unary unary_operator not_operator unary_op_expression "
    "prefix_unary_expression update_expression postfix_unary_expression inc_statement "
    "dec_statement postfix_expression",
    paren="parenthesized_expression parenthesized_statements condition_clause",
    if_="if_statement if_expression if unless if_modifier unless_modifier elif_clause elsif "
    "else_if_clause",
    ternary="conditional_expression ternary_expression conditional",
    loop="for_statement while_statement do_statement enhanced_for_statement for_in_statement "
    "foreach_statement for_range_loop for_expression while_expression loop_expression while until "
    "for while_modifier until_modifier",
    return_="return_statement return_expression return",
    yield_="yield yield_expression yield_statement",
    raise_="raise_statement throw_statement throw_expression",
    assert_="assert_statement",
    break_="break_statement break_expression break",
    continue_="continue_statement continue_expression next",
    try_="try_statement try_with_resources_statement begin",
    assign="assignment assignment_expression assignment_statement augmented_assignment "
    "augmented_assignment_expression operator_assignment compound_assignment_expr",
    declare="variable_declarator init_declarator let_declaration short_var_declaration var_spec",
    call="call call_expression method_invocation function_call_expression member_call_expression "
    "scoped_call_expression nullsafe_member_call_expression invocation_expression",
    macro="macro_invocation",
    member="attribute member_expression field_access field_expression selector_expression "
    "member_access_expression instance_variable",
    index="subscript subscript_expression array_access index_expression element_reference "
    "element_access_expression",
    int_="integer decimal_integer_literal number int_literal number_literal integer_literal",
    float_="float decimal_floating_point_literal float_literal real_literal",
    bool_="true false boolean_literal boolean",
    none="none null nil null_literal nullptr undefined",
    name="identifier variable_name shorthand_property_identifier",
    list_="list tuple array array_literal array_creation_expression array_expression "
    "tuple_expression dictionary set object hash expression_list pattern_list set_comprehension",
    each="list_comprehension generator_expression dictionary_comprehension",
    function="function_definition lambda method_declaration constructor_declaration "
    "compact_constructor_declaration lambda_expression function_declaration function_expression "
    "generator_function generator_function_declaration method_definition arrow_function "
    "anonymous_function anonymous_function_creation_expression func_literal method "
    "singleton_method do_block block_argument closure_expression function_item "
    "local_function_statement anonymous_method_expression class_declaration class_definition",
)
_CLOSED = word_set(
    "decorator annotation marker_annotation modifiers attribute_item inner_attribute_item "
    "attribute_list attribute_declaration import_statement import_from_statement using_directive "
    "import_declaration use_declaration preproc_include preproc_def preproc_function_def "
    "preproc_call switch_label match_pattern case_pattern constant_pattern pattern "
    "tuple_struct_pattern template_parameter_list template_argument_list where_clause "
    "array_declarator nonlocal_statement constraint attribute_specifier "
    "static_assert_declaration asm_statement gnu_asm_expression preproc_if preproc_ifdef "
    "type_parameters jsx_element jsx_self_closing_element regex"
)
_CLOSED_FIELDS = frozenset({"type", "return_type", "result", "size", "dimensions"})
_CASES = frozenset({"case_statement", "switch_case", "expression_case", "when", "case"})
_IS_TYPE = re.compile(r"(?:^|_)types?(?:_|$)(?!.*expression$)")
_TEXT = re.compile(r"content|fragment|escape|string_start|string_end|^character$")
_LOG = re.compile(
    r"(?i)(?:^|[^a-z])(?:log|logs|logger|logging|warn|warning|warnings|debug|trace|console|syslog|"
    r"slog|glog|logf|printk|eprintln|perror|stderr|deprecate|deprecated)(?:$|[^a-z])|"
    r"^(?:log|warn|debug|trace)[A-Z]"
)
_ASSERTS = re.compile(r"(?i)^(?:std::)?(?:static_)?(?:debug_)?assert\w*!?$")
_RAISERS = {"go": {"panic"}, "ruby": {"raise", "fail"}, "rust": {"panic!", "unreachable!", "bail!"}}


class Part:
    """A node of the tree."""

    __slots__ = ("end", "field", "kids", "named", "open", "parent", "role", "start", "type")

    def __init__(
        self, kind: str, role: str, field: str | None, start: int, end: int, named: bool
    ) -> None:
        self.type = kind
        self.role = role
        """One of a few words that mean the same in all languages, or empty."""
        self.field = field
        self.start = start
        """First byte in the text as it was given; below 0 for a class put around it."""
        self.end = end
        self.named = named
        self.parent: Part | None = None
        self.kids: list[Part] = []
        self.open = True
        """Edits may touch it."""

    def one(self, field: str) -> "Part | None":
        """Return the first child in that field, or None."""
        return next((kid for kid in self.kids if kid.field == field), None)

    def first(self, *fields: str) -> "Part | None":
        """Return the child in the first of the fields that has one, or None."""
        return next((kid for field in fields if (kid := self.one(field))), None)

    @property
    def inner(self) -> "list[Part]":
        """Children that are no punctuation."""
        return [kid for kid in self.kids if kid.named]

    def walk(self) -> "Iterator[Part]":
        """Yield this part and all below it, in order."""
        pending = [self]
        while pending:
            part = pending.pop()
            yield part
            pending.extend(reversed(part.kids))

    def above(self) -> "Iterator[Part]":
        """Yield the parts around it, the nearest first."""
        part = self.parent
        while part is not None:
            yield part
            part = part.parent


class Source:
    """A text and its parts."""

    def __init__(self, data: bytes, row: Language, root: Part) -> None:
        self.data = data
        """The text as it was given, in UTF-8."""
        self.row = row
        self.root = root

    def text(self, part: Part) -> str:
        """Return the text of a part."""
        return self.data[part.start : part.end].decode("utf-8", "replace")

    def operator(self, part: Part) -> str:
        """Return the operator of an operation or assignment: `==`, `not in`, `+=`."""
        found = self.operator_part(part)
        return " ".join(self.text(found).split()) if found else ""

    def operator_part(self, part: Part) -> Part | None:
        """Return the part that is the operator of an operation or assignment."""
        for kid in part.kids:
            if kid.field in ("operator", "operators"):
                return kid
        return next((kid for kid in part.kids if not kid.named and kid.type not in "()"), None)

    def callee(self, call: Part) -> tuple[str, Part | None]:
        """Return the last name of what a call calls, and the part of it."""
        named = call.first("method", "name") or call.one("function") or call.one("macro")
        if call.role == "macro" and named:
            return self.text(named) + "!", named
        while named is not None and named.role in ("member", "") and named.kids:
            last = named.first("attribute", "property", "field", "name")
            if last is None:
                break
            named = last
        return (self.text(named), named) if named else ("", None)

    def raises(self, part: Part) -> bool:
        """Say whether a statement throws an error."""
        while part.role != "raise_" and part.type == "expression_statement" and part.inner:
            part = part.inner[0]
        if part.role == "raise_":
            return True
        return part.role in ("call", "macro") and (
            self.callee(part)[0] in _RAISERS.get(self.row.name, ())
        )


def source(code: str, language: str) -> Source:
    """Return the parts of a text."""
    reading = read(code, language)
    row = LANGUAGES[language]
    data = reading.data[reading.start : reading.end]
    root = _built(reading.tree.walk(), row, reading.start)
    found = Source(data, row, root)
    _close(found)
    return found


def _built(cursor: TreeCursor, row: Language, shift: int) -> Part:
    root: Part | None = None
    around: Part | None = None
    while True:
        node = cursor.node
        assert node is not None  # a cursor is always somewhere
        kind = node.type
        named = node.is_named
        whole = False
        if kind not in row.comments:
            role = _ROLES.get(kind, "") if named else ""
            part = Part(
                kind, role, cursor.field_name, node.start_byte - shift, node.end_byte - shift, named
            )
            part.parent = around
            if around is None:
                root = part
            else:
                around.kids.append(part)
                part.open = around.open and not _is_closed(part, around)
            if kind in row.strings and all(_TEXT.search(kid.type) for kid in node.named_children):
                part.role = "string"
                whole = True
            whole = whole or kind in ("variable_name", "token_tree", "char_literal")
            if not whole and cursor.goto_first_child():
                around = part
                continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                assert root is not None  # a root is no comment
                return root
            assert around is not None  # so deep as the cursor
            around = around.parent


def _is_closed(part: Part, parent: Part) -> bool:
    if part.field in _CLOSED_FIELDS:
        return True
    if part.field in ("value", "pattern") and parent.type in _CASES:
        return True
    return part.named and _closed_type(part.type)


@lru_cache(maxsize=4096)
def _closed_type(kind: str) -> bool:
    return kind in _CLOSED or (_IS_TYPE.search(kind) is not None and kind != "type_conversion")


def _close(found: Source) -> None:
    """Close what speaks to a reader, not to a program."""
    for part in found.root.walk():
        if not part.open:
            continue
        shut = part.role in ("assert_", "raise_")
        if part.role in ("call", "macro"):
            head = part.first("function", "method", "name", "macro")
            around = part.first("object", "receiver", "scope")
            words = found.text(head) if head else ""
            if around is not None and around.role in ("name", "member", ""):
                words = f"{found.text(around)}.{words}"
            shut = (
                (len(words) < 80 and _LOG.search(words) is not None)
                or _ASSERTS.match(words) is not None
                or part.role == "macro"
                or found.raises(part)
            )
        # A text that stands alone is a docstring.
        alone = part.role == "string" and part.parent and part.parent.type == "expression_statement"
        if shut or alone:
            for one in part.walk():
                one.open = False

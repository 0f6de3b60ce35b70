"""Java: a class of calls beside the subject's, and a driver that was compiled before."""

import re
from functools import cache
from pathlib import Path

from wavecoder.behaviour.drivers.edits import spliced
from wavecoder.behaviour.drivers.plan import Plan, UnfitError, harness, resumed
from wavecoder.behaviour.signatures import of_subject
from wavecoder.behaviour.subjects import Subject, Unrunnable
from wavecoder.grading.prepared import prepared, run
from wavecoder.grading.toolchain import Toolchain, find_command
from wavecoder.languages import parse
from wavecoder.sandbox import Job, Limits, Step

__all__ = ["job", "toolchain"]

_COMPILE_SECONDS = 25.0
_LIMITS = Limits(memory=3 << 30, processes=256)
_BOX = "/java-behaviour"
_FRUGAL = ("-XX:+UseSerialGC", "-XX:ActiveProcessorCount=2", "-XX:-UsePerfData", "-Xshare:auto",
           "-XX:TieredStopAtLevel=1")  # fmt: skip
_ENV = {"MALLOC_ARENA_MAX": "2"}
_LONE = "SubjectClass"
_USUAL = (
    "import java.util.*;\nimport java.util.function.*;\nimport java.util.stream.*;\n"
    "import java.math.*;\nimport java.io.*;\nimport java.nio.charset.*;\n"
)
_CLASSES = ("class_declaration", "interface_declaration", "enum_declaration", "record_declaration")


@cache
def toolchain() -> Toolchain:
    """Return the compiler, the machine and the folder of our compiled class.

    Raises:
        ConfigError: Something is not installed.
    """
    package = "default-jdk-headless"
    java = find_command("java", language="Java", package=package)
    javac = find_command("javac", language="Java", package=package)
    text = harness("java/Driver.java")

    def make(folder: Path) -> None:
        (folder / "Driver.java").write_text(text, "utf-8")
        run([javac, "-proc:none", "-d", ".", "Driver.java"], cwd=folder)

    version = run([javac, "-version"], cwd=Path("/"))
    folder = prepared("java-behaviour", [version, text], make)
    return Toolchain(
        name="java", commands={"java": java, "javac": javac}, folders={_BOX: str(folder)}
    )


def job(plan: Plan) -> Job:
    """Return what makes the calls of a plan.

    Raises:
        ConfigError: Java is not installed.
        UnfitError: The method needs an object that cannot be made.
    """
    tools = toolchain()
    code, owner, static = _reachable(plan)
    quick = [f"-J{one}" for one in (*_FRUGAL, "-Xmx512m")]
    # A file has its public class's name.
    public = re.search(r"^\s*public\s+(?:(?:final|abstract|strictfp)\s+)*"
                       r"(?:class|interface|enum|record)\s+(\w+)", code, re.MULTILINE)  # fmt: skip
    file = f"{public[1] if public else 'Subject'}.java"
    argv = [tools.commands["javac"], *quick, "-proc:none", "-nowarn", "-Xlint:none", "-cp",
            f"{_BOX}:.", file, "WavecoderCalls.java"]  # fmt: skip
    command = " ".join([tools.commands["java"], *_FRUGAL, "-Xmx1g", "-Xss4m", "-cp", f"{_BOX}:.",
                        "wavecoder.Driver", plan.mark, str(plan.room),
                        f"{plan.seconds * 1000:.0f}"])  # fmt: skip
    steps = [
        Step(
            argv=argv,
            compiles=True,
            cpu_seconds=_COMPILE_SECONDS,
            wall_seconds=3 * _COMPILE_SECONDS,
            env=_ENV,
        ),
        Step(
            argv=resumed(plan, command),
            cpu_seconds=20 + (plan.most_lost + 1) * plan.seconds + len(plan.calls),
            wall_seconds=60 + plan.most_lost * 4 * plan.seconds + len(plan.calls) * plan.seconds,
            env=_ENV,
        ),
    ]
    files = {file: code, "WavecoderCalls.java": _calls(plan, owner, static=static)}
    return Job(steps=steps, files=files, limits=_LIMITS, folders=tools.folders, proc=True)


def _reachable(plan: Plan) -> tuple[str, str, bool]:
    """Return the text with the method made reachable, its class, and whether it is static.

    Raises:
        UnfitError: The method needs an object that cannot be made.
    """
    subject, found = plan.subject, plan.found
    data = subject.code.encode("utf-8", "replace")
    end = found.body[0] if found.body else found.end
    head = data[found.start : end].decode("utf-8", "replace")
    opened = re.sub(r"\b(?:private|protected)\b", "", head)
    code = spliced(subject.code, found.start, end, opened)
    code = re.sub(r"^\s*package\s+[\w.]+\s*;", "", code, count=1, flags=re.MULTILINE)
    owner, static = plan.signature.owner, plan.signature.static
    if not owner:
        imports = "\n".join(re.findall(r"^\s*import\s+[^;]+;", code, re.MULTILINE))
        rest = re.sub(r"^\s*import\s+[^;]+;", "", code, flags=re.MULTILINE)
        return f"{_USUAL}{imports}\nclass {_LONE} {{\n{rest}\n}}\n", _LONE, bool(_static(head))
    if not re.search(r"^\s*import\s", code, re.MULTILINE):
        code = _USUAL + code
    if not static and (why := _unmade(code, owner)):
        raise UnfitError(Unrunnable("method_of_a_class", why))
    return code, _path(subject, owner), static


def _static(head: str) -> bool:
    return re.search(r"\bstatic\b", head) is not None


def _path(subject: Subject, owner: str) -> str:
    """Return a class's name, with those that it stands in."""
    found = of_subject(subject)
    start = found.start if found else 0
    names: list[str] = []
    node = parse(subject.code, "java").root_node.descendant_for_byte_range(start, start + 1)
    while node is not None:
        name = node.child_by_field_name("name")
        if node.type in _CLASSES and name is not None and name.text:
            names.append(name.text.decode())
        node = node.parent
    return ".".join(reversed(names)) or owner


def _unmade(code: str, owner: str) -> str:
    """Return why no object of a class can be made, or ""."""
    pending = [parse(code, "java").root_node]
    while pending:
        node = pending.pop()
        name = node.child_by_field_name("name")
        if node.type in _CLASSES and name is not None and name.text == owner.encode():
            if node.type != "class_declaration":
                return f"{owner} is no class that objects are made of."
            words = (node.text or b"").partition(b"{")[0]
            body = node.child_by_field_name("body")
            if b"abstract" in words or body is None:
                return f"{owner} is abstract."
            for child in body.named_children:
                if child.type == "constructor_declaration":
                    listed = child.child_by_field_name("parameters")
                    if listed is not None and listed.named_child_count:
                        return f"An object of {owner} is made of what is not known."
                kind = (child.text or b"").partition(b"=")[0]
                if child.type == "field_declaration" and b"static" not in kind:
                    return f"{owner} has fields that its methods may read."
            return ""
        pending.extend(node.named_children)
    return f"There is no class {owner}."


def _calls(plan: Plan, owner: str, *, static: bool) -> str:
    """Return a class that makes the calls."""
    target = owner if static else f"new {owner}()"
    returns = plan.signature.returns
    made = []
    for _, given in plan.calls:
        kinds = [
            _declared(written, plan.signature.generic)
            for (_, written), _ in zip(plan.signature.parameters, given, strict=False)
        ]
        handed = ", ".join(f"({kind}) given[{at}]" for at, kind in enumerate(kinds))
        call = f"{target}.{plan.subject.function}({handed})"
        run = f"{call}; return null;" if returns == "void" else f"return {call};"
        made.append(
            "new wavecoder.Driver.Call() {\n"
            "public Object[] given() throws Throwable { "
            f"return new Object[] {{{', '.join(given)}}}; }}\n"
            f"public Object run(Object[] given) throws Throwable {{ {run} }}\n"
            f"public boolean isVoid() {{ return {str(returns == 'void').lower()}; }}\n}}"
        )
    numbers = ", ".join(str(number) for number, _ in plan.calls)
    return (
        f'{_USUAL}\n@SuppressWarnings({{"unchecked", "rawtypes"}})\n'
        f"public class WavecoderCalls {{\npublic static final int[] NUMBERS = {{{numbers}}};\n"
        "public static final wavecoder.Driver.Call[] CALLS = {\n" + ",\n".join(made) + "};\n}\n"
    )


def _declared(written: str, generic: tuple[str, ...]) -> str:
    for name in generic:
        written = re.sub(rf"\b{re.escape(name)}\b", "Integer", written)
    return written

import os
import sys
from pathlib import Path

import pytest

from wavecoder.collect.sources import Directory, Package
from wavecoder.errors import ConfigError
from wavecoder.records import RawCode, Rejected

CODE = "def add(a, b):\n    return a + b\n"


def directory(path, **options):
    return Directory(Directory.Config(directory=path, **options))


def package(name, **options):
    return Package(Package.Config(package=name, **options))


def write(path, content=CODE):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")
    return path


def outcomes(source):
    """Return {path: reason or names of functions}."""
    found = {}
    for record in source.read():
        if isinstance(record, RawCode):
            found.setdefault(record.path, []).append(record.name)
        else:
            where = record.detail.split(":")[1].partition("/")[2]
            found[where] = record.reason
    return found


def test_a_record_says_where_its_function_is(tmp_path):
    write(
        tmp_path / "src/pkg/a.py",
        "x = 1\n\nclass A:\n    def f(self):\n        '''Doc.'''\n" + 8 * " " + "return 1\n",
    )
    (record,) = directory(tmp_path / "src").read()
    assert record.source == "directory:src" and record.path == "pkg/a.py"
    assert (record.start_line, record.end_line) == (4, 6)
    assert (record.name, record.language, record.docstring) == ("A.f", "python", "Doc.")
    assert record.code == "def f(self):\n    return 1"


def test_files_come_in_order_of_path_whatever_the_folder_says(tmp_path):
    for name in ("b/a.py", "a.py", "a/z.py", "C.py", "a-b.py"):
        write(tmp_path / name)
    paths = [record.path for record in directory(tmp_path).read()]
    assert paths == sorted(paths) and len(paths) == 5


def test_the_same_files_elsewhere_are_the_same_records(tmp_path):
    for place in ("one/src", "two/src"):
        write(tmp_path / place / "a.py")
    one, two = directory(tmp_path / "one/src"), directory(tmp_path / "two/src")
    assert list(one.read()) == list(two.read())
    assert one.identity() == two.identity()
    write(tmp_path / "two/src/a.py", CODE + "\n")
    assert directory(tmp_path / "two/src").identity() != one.identity()


def test_a_single_file_is_collected(tmp_path):
    path = write(tmp_path / "src/a.py")
    write(tmp_path / "src/b.py")
    (record,) = directory(path).read()
    assert (record.source, record.path) == ("directory:src", "a.py")


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"Cannot collect from .*nope: No such file or directory"):
        directory(tmp_path / "nope")


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ConfigError, match="Cannot collect from"):
        directory(tmp_path / "loop")


def test_a_single_file_of_no_known_language_is_refused(tmp_path):
    path = write(tmp_path / "notes.txt", "hello")
    with pytest.raises(ConfigError, match=r"\.txt is of no language known here"):
        directory(path)


def test_a_folder_without_source_code_is_refused(tmp_path):
    source = directory(tmp_path)
    with pytest.raises(
        ConfigError, match=r"has no file with a suffix of .*files of other kinds: 0"
    ):
        list(source.read())
    write(tmp_path / "a.png", b"\x89PNG\0")
    with pytest.raises(ConfigError, match="files of other kinds: 1"):
        directory(tmp_path).identity()


def test_a_folder_without_a_wanted_language_is_refused(tmp_path):
    write(tmp_path / "a.py")
    with pytest.raises(ConfigError, match=r"has no file with a suffix of Go, Java; "):
        directory(tmp_path, languages=("java", "go")).identity()


def test_only_wanted_languages_are_read(tmp_path):
    write(tmp_path / "a.py")
    write(tmp_path / "a.go", "package a\nfunc f() { g() }\n")
    write(tmp_path / "c.h", "int f(void) { return g(); }\n")
    write(tmp_path / "cpp.h", "namespace a {\nint f() { return g(); }\n}\n")
    assert outcomes(directory(tmp_path, languages=("go", "cpp"))) == {
        "a.go": ["f"],
        "c.h": "other_language",
        "cpp.h": ["f"],
    }


def test_a_binary_file_is_rejected(tmp_path):
    write(tmp_path / "a.py", b"\x7fELF\0\0\0")
    (record,) = directory(tmp_path).read()
    assert (record.reason, record.detail.split(": ")[1]) == ("binary", "byte 4 is zero")


def test_a_file_that_is_not_utf8_is_rejected_and_the_byte_is_named(tmp_path):
    write(tmp_path / "a.py", 'def f():\n    return "é"\n'.encode("latin-1"))
    (record,) = directory(tmp_path).read()
    assert record.reason == "not_utf8" and "byte 0xe9 in position 21" in record.detail


def test_a_python_file_is_read_in_the_encoding_it_declares(tmp_path):
    text = '# -*- coding: latin-1 -*-\ndef f():\n    return "é"\n'
    write(tmp_path / "a.py", text.encode("latin-1"))
    write(tmp_path / "b.py", text.replace("latin-1", "rot13"))
    write(tmp_path / "c.py", text.replace("latin-1", "no-such"))
    write(tmp_path / "d.py", '# coding: unicode_escape\ndef f():\n    return "\\ud800"\n')
    found = {
        record.path: record for record in directory(tmp_path).read() if isinstance(record, RawCode)
    }
    assert "é" in found["a.py"].code and "é" in found["c.py"].code
    assert sorted(found) == ["a.py", "c.py"]
    assert {r.reason for r in directory(tmp_path).read() if isinstance(r, Rejected)} == {"not_utf8"}


def test_a_byte_order_mark_and_other_line_ends_are_left_out(tmp_path):
    for name, line_end in (("a.py", "\r\n"), ("b.py", "\r")):
        write(tmp_path / name, b"\xef\xbb\xbf" + CODE.replace("\n", line_end).encode())
    for record in directory(tmp_path).read():
        assert record.code == CODE.rstrip() and record.end_line == 2


def test_a_file_of_50_megabytes_is_not_even_opened(tmp_path):
    with (tmp_path / "a.js").open("wb") as file:
        file.truncate(50_000_000)
    opened = []
    watching = True
    sys.addaudithook(
        lambda event, args: opened.append(str(args[0])) if watching and event == "open" else None
    )
    (record,) = directory(tmp_path).read()
    watching = False  # a hook stays for good
    assert not [path for path in opened if path.endswith("a.js")]
    assert record.reason == "file_too_large"
    assert record.detail.endswith("50,000,000 bytes, the most is 1,000,000")


def test_the_largest_file_can_be_set(tmp_path):
    write(tmp_path / "a.py")
    assert outcomes(directory(tmp_path, largest_file=10)) == {"a.py": "file_too_large"}


def test_a_file_without_functions_is_rejected(tmp_path):
    write(tmp_path / "a.py", "x = 1\n")
    write(tmp_path / "b.py", "")
    assert outcomes(directory(tmp_path)) == {"a.py": "no_functions", "b.py": "no_functions"}


def test_broken_functions_are_rejected_and_good_ones_in_the_file_kept(tmp_path):
    write(tmp_path / "a.c", "int a(void) { return 1; }\nint b(void) { return 1 +; }\n")
    good, bad = directory(tmp_path).read()
    assert good.name == "a"
    assert bad.reason == "syntax_error"
    assert bad.detail.endswith("/a.c:2 b: line 2, missing identifier")


def test_a_file_that_is_broken_all_over_is_rejected(tmp_path):
    write(tmp_path / "a.py", "((( this is no code\n")
    assert outcomes(directory(tmp_path)) == {"a.py": "syntax_error"}


def test_a_function_that_is_code_only_in_its_file_is_rejected(tmp_path):
    # To C's grammar this is a function `b` that returns a `namespace`.
    write(tmp_path / "a.c", "  int x; namespace b { int y; }\n")
    (record,) = directory(tmp_path).read()
    assert record.reason == "syntax_error" and "by itself it is no C" in record.detail


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.go", "// Code generated by protoc. DO NOT EDIT.\n\npackage a\nfunc f() { g() }\n"),
        ("a.py", "# This file is automatically generated.\n" + CODE),
        ("a.java", "/*\n * @generated\n */\nclass A { int f() { return g(); } }\n"),
        ("a.min.js", "function f(a){return g(a)}" * 200),
    ],
)
def test_generated_files_are_rejected(tmp_path, name, text):
    write(tmp_path / name, text)
    assert outcomes(directory(tmp_path)) == {name: "generated"}


def test_prose_about_generated_things_is_no_sign(tmp_path):
    write(tmp_path / "a.py", '"""Reads files generated by b."""\n# for autogenerated ids\n' + CODE)
    assert outcomes(directory(tmp_path)) == {"a.py": ["add"]}


def test_links_are_not_followed_and_loops_end(tmp_path):
    write(tmp_path / "root/a.py")
    write(tmp_path / "outside/b.py")
    (tmp_path / "root/loop").symlink_to(tmp_path / "root", target_is_directory=True)
    (tmp_path / "root/out").symlink_to(tmp_path / "outside", target_is_directory=True)
    (tmp_path / "root/again.py").symlink_to("a.py")
    (tmp_path / "root/dangling.py").symlink_to("nowhere.py")
    assert outcomes(directory(tmp_path / "root")) == {
        "a.py": ["add"],
        "again.py": "symlink",
        "dangling.py": "symlink",
    }


def test_a_root_that_is_a_link_is_followed(tmp_path):
    write(tmp_path / "real/a.py")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (record,) = directory(tmp_path / "link").read()
    assert record.source == "directory:real"


def test_what_is_no_regular_file_is_unreadable(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    write(tmp_path / "folder.py/a.py")
    assert outcomes(directory(tmp_path)) == {"pipe.py": "unreadable", "folder.py/a.py": ["add"]}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_files_and_folders_without_permission_are_unreadable(tmp_path):
    write(tmp_path / "a.py").chmod(0)
    write(tmp_path / "b/c.py").parent.chmod(0)
    try:
        assert outcomes(directory(tmp_path)) == {"a.py": "unreadable", "b": "unreadable"}
    finally:
        (tmp_path / "b").chmod(0o700)


def test_a_file_that_vanishes_is_unreadable(tmp_path):
    path = write(tmp_path / "a.py")
    source = directory(tmp_path)
    source.identity()
    path.unlink()
    assert outcomes(source) == {"a.py": "unreadable"}


def test_other_peoples_code_is_passed_by_below_the_root_only(tmp_path):
    root = tmp_path / "node_modules/thing"
    write(root / "a.py")
    for folder in ("node_modules/b", ".git", "__pycache__", ".venv/lib", "site-packages"):
        write(root / folder / "a.py")
    assert outcomes(directory(root)) == {"a.py": ["add"]}


def test_a_file_name_of_any_bytes_makes_a_record(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.py")).write_text(CODE)
    (record,) = directory(tmp_path).read()
    assert record.path == "\\xe9.py"
    record.model_dump_json()


def test_a_folder_name_of_any_bytes_makes_a_record(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/src\xe9"))
    write(folder / "a.py")
    source = directory(folder)
    (record,) = source.read()
    assert record.source == source.identity()["source"] == "directory:src\\xe9"
    record.model_dump_json()


def test_a_package_is_found_and_never_imported(tmp_path, monkeypatch):
    write(tmp_path / "boom/__init__.py", "raise SystemExit('imported')\n" + CODE)
    write(tmp_path / "boom/inner/deep.py")
    write(tmp_path / "single.py")
    (tmp_path / "spaces/part").mkdir(parents=True)
    write(tmp_path / "spaces/part/a.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert outcomes(package("boom")) == {"__init__.py": ["add"], "inner/deep.py": ["add"]}
    assert outcomes(package("boom.inner")) == {"deep.py": ["add"]}
    assert outcomes(package("boom.inner.deep")) == {"deep.py": ["add"]}
    assert outcomes(package("single")) == {"single.py": ["add"]}
    assert outcomes(package("spaces.part")) == {"a.py": ["add"]}
    (record,) = package("single").read()
    assert record.source == "package:single"
    assert not {"boom", "single", "spaces"} & set(sys.modules)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jsonn", r"no Python package 'jsonn' here\. Did you mean 'json'\?"),
        ("./src", r"is no import name .* `directory: \./src`"),
        ("sys", "not there as source: it is compiled or built in"),
        ("json.nope", "not there as source: json holds no nope"),
        ("__main__", "no Python package '__main__' here"),
    ],
)
def test_a_package_that_is_not_there_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        package(name)

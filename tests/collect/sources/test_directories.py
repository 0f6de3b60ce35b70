import os
import subprocess
import sys
from pathlib import Path
from pickle import dumps, loads

import pytest

from wavecoder.collect.filters.authorship import Vendored
from wavecoder.collect.sources.directories import Directory, Package
from wavecoder.errors import ConfigError
from wavecoder.records import RawCode

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


def records(source):
    """Read all pieces, each as another process would get it."""
    return [record for piece in source.pieces() for record in source.read(loads(dumps(piece)))]


def outcomes(source):
    """Return {path: reason or names of functions}."""
    found = {}
    for record in records(source):
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
    (record,) = records(directory(tmp_path / "src"))
    assert record.source == "directory:src" and record.path == "pkg/a.py"
    assert (record.start_line, record.end_line) == (4, 6)
    assert (record.name, record.language, record.docstring) == ("A.f", "python", "Doc.")
    assert record.code == "def f(self):\n    return 1"


def test_files_come_in_order_of_path_whatever_the_folder_says(tmp_path):
    for name in ("b/a.py", "a.py", "a/z.py", "C.py", "a-b.py"):
        write(tmp_path / name)
    paths = [record.path for record in records(directory(tmp_path))]
    assert paths == sorted(paths) and len(paths) == 5


def test_the_same_files_elsewhere_are_the_same_records(tmp_path):
    for place in ("one/src", "two/src"):
        write(tmp_path / place / "a.py")
    one, two = directory(tmp_path / "one/src"), directory(tmp_path / "two/src")
    assert records(one) == records(two)
    assert one.identity() == two.identity()
    write(tmp_path / "two/src/a.py", CODE + "\n")
    assert directory(tmp_path / "two/src").identity() != one.identity()


def test_a_single_file_is_collected(tmp_path):
    path = write(tmp_path / "src/a.py")
    write(tmp_path / "src/b.py")
    (record,) = records(directory(path))
    assert (record.source, record.path) == ("directory:src", "a.py")


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"Cannot collect from .*nope: No such file or directory"):
        directory(tmp_path / "nope")


@pytest.mark.parametrize("given", ["", " ", ["src", ""]])
def test_an_empty_path_is_not_the_folder_one_is_in(given, tmp_path, monkeypatch):
    write(tmp_path / "src/a.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"One of the paths is ' ?'\. Write `\.`"):
        directory(given)


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
        records(source)
    write(tmp_path / "a.png", b"\x89PNG\0")
    with pytest.raises(ConfigError, match="files of other kinds: 1"):
        directory(tmp_path).identity()


def test_a_folder_without_a_wanted_language_is_refused(tmp_path):
    write(tmp_path / "a.py")
    with pytest.raises(ConfigError, match=r"has no file with a suffix of Go, Java; "):
        directory(tmp_path, languages=("java", "go")).identity()


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
    (record,) = records(directory(tmp_path / "link"))
    assert record.source == "directory:real"


def test_other_peoples_code_is_passed_by_below_the_root_only(tmp_path):
    root = tmp_path / "node_modules/thing"
    write(root / "a.py")
    for folder in ("node_modules/b", ".git", "__pycache__", ".venv/lib", "site-packages"):
        write(root / folder / "a.py")
    assert outcomes(directory(root)) == {"a.py": ["add"]}


def test_a_folder_name_of_any_bytes_makes_a_record(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/src\xe9"))
    write(folder / "a.py")
    source = directory(folder)
    (record,) = records(source)
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
    (record,) = records(package("single"))
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


def test_a_walk_gives_batches_that_hold_no_content(tmp_path):
    for number in range(600):
        write(tmp_path / f"{number % 7}/{number}.py")
    write(tmp_path / "z1.py", "x = 1\n" * 150_000)
    write(tmp_path / "z2.py", "y = 2\n" * 250_000)
    source = directory(tmp_path, largest_file=1_400_000)
    sizes = [len(piece.files) for piece in source.pieces()]
    assert sizes == [256, 256, 90]  # z2.py is too large, and adds no bytes
    source = directory(tmp_path, largest_file=1_600_000)
    assert [len(piece.files) for piece in source.pieces()] == [256, 256, 89, 1]
    assert all(len(dumps(piece)) < 20_000 for piece in source.pieces())
    found = records(source)
    assert len(found) == 602 and len({record.id for record in found}) == 602


def test_a_folder_of_more_names_than_are_held_is_walked_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("wavecoder.collect.sources.folders._NAMES_HELD", 3)
    names = ["a.py", "a-b.py", "b.py", "c/d.py", "c.py", "e.py", "f.py"]
    for name in names:
        write(tmp_path / name)
    assert [record.path for record in records(directory(tmp_path))] == sorted(names)


def test_vendored_folders_are_named_once_and_not_walked(tmp_path):
    write(tmp_path / "src/a.py")
    write(tmp_path / "src/third_party/deep/b.py")
    write(tmp_path / "vendor/c.py")
    write(tmp_path / "Vendor/d.py")
    found = records(directory(tmp_path))
    assert {r.detail.split(": ")[0].partition("/")[2]: r.reason for r in found[2:]} == {
        "src/third_party": "vendored",
        "vendor": "vendored",
    }
    assert {r.path for r in found[:2]} == {"src/a.py", "Vendor/d.py"}
    assert len(records(directory(tmp_path, vendored=True))) == 4
    # The filter of the same name takes the same folders for others' code.
    rule = Vendored(Vendored.Config())
    refused = [r.path for r in records(directory(tmp_path, vendored=True)) if rule.check(r)]
    assert refused == ["src/third_party/deep/b.py", "vendor/c.py"]
    assert outcomes(directory(tmp_path / "vendor")) == {"c.py": ["add"]}
    kept, passed = (directory(tmp_path, vendored=choice).identity() for choice in (True, False))
    assert kept != passed


def test_many_folders_are_repositories_of_their_own(tmp_path):
    for place in ("one/src", "two/src", "three/empty"):
        (tmp_path / place).mkdir(parents=True)
    write(tmp_path / "one/src/a.py")
    write(tmp_path / "two/src/a.py")
    write(tmp_path / "one/notes.txt", "hello")
    source = directory([tmp_path / "one/src", tmp_path / "t*/*"])
    one, empty, two = records(source)
    assert (one.source, two.source, source.label) == ("directory:src",) * 2 + ("directory:*",)
    assert one.repository == "src" and one.path == two.path and one.id != two.id
    assert empty.reason == "no_source_files"
    assert empty.detail.startswith("directory:empty: it has no file with a suffix of C, C++")
    # What others are there decides nothing.
    (alone,) = records(directory([tmp_path / "one/src", tmp_path / "three/../one/src"]))
    assert alone.id == records(directory(tmp_path / "one/src"))[0].id
    assert one.id == records(directory([tmp_path / "one/src", tmp_path / "three/empty"]))[0].id


def test_a_pattern_without_a_match_and_folders_inside_each_other_are_refused(tmp_path):
    write(tmp_path / "a/b/c.py")
    with pytest.raises(ConfigError, match=r"Nothing matches .*nope"):
        directory(tmp_path / "nope*")
    with pytest.raises(ConfigError, match=r"lies in .* would be collected twice"):
        directory([tmp_path / "a", tmp_path / "a/b"])


def test_a_name_that_looks_like_a_pattern_is_taken_as_it_is(tmp_path):
    write(tmp_path / "[x]/a.py")
    assert outcomes(directory(tmp_path / "[x]")) == {"a.py": ["add"]}


def git(folder, *arguments):
    names = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    done = subprocess.run(
        ["git", *names, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    write(tmp_path / "repo/src/a.py")
    write(tmp_path / "repo/LICENSE", "MIT License\n")
    git(tmp_path / "repo", "init", "-q")
    git(tmp_path / "repo", "add", "-A")
    git(tmp_path / "repo", "commit", "-q", "-m", "first")
    return tmp_path / "repo"


def test_a_checkout_tells_its_address_and_commit(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    (record,) = records(directory(checkout))
    assert (record.repository, record.commit, record.license) == ("repo", commit, "MIT")
    git(checkout, "remote", "add", "origin", "https://me:secret@example.com/owner/name.git")
    before = directory(checkout).identity()
    for place in (checkout, checkout / "src", checkout / "src/a.py"):
        (record,) = records(directory(place))
        assert record.repository == "https://example.com/owner/name.git"
        assert (record.commit, record.license) == (commit, "MIT")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    assert directory(checkout).identity() != before
    git(checkout, "pack-refs", "--all")
    assert records(directory(checkout))[0].commit == git(checkout, "rev-parse", "HEAD")
    git(checkout, "checkout", "-q", "--detach", commit)
    assert records(directory(checkout))[0].commit == commit


def test_a_linked_work_tree_and_a_checkout_inside_another(checkout, tmp_path):
    git(checkout, "remote", "add", "origin", "git@example.com:owner/name.git")
    git(checkout, "worktree", "add", "-q", "-b", "side", tmp_path / "side")
    git(tmp_path / "side", "commit", "-q", "--allow-empty", "-m", "aside")
    (record,) = records(directory(tmp_path / "side"))
    assert record.repository == "example.com:owner/name.git"
    assert record.commit == git(tmp_path / "side", "rev-parse", "HEAD")
    inner = checkout / "lib/inner"
    write(inner / "b.py")
    git(inner, "init", "-q")
    git(inner, "remote", "add", "origin", "ssh://git@example.com:22/other/inner")
    b, a = records(directory(checkout))
    assert (a.license, a.repository) == ("MIT", "example.com:owner/name.git")
    assert (b.license, b.commit) == (None, None)
    assert b.repository == "ssh://example.com:22/other/inner"


def test_what_lies_in_node_modules_is_no_part_of_the_checkout_around_it(checkout):
    write(checkout / "node_modules/thing/a.js", "function f() { return g() }\n")
    (record,) = records(directory(checkout / "node_modules/thing"))
    assert (record.repository, record.commit, record.license) == ("thing", None, None)


@pytest.mark.parametrize(
    ("config", "repository"),
    [
        ('[remote "origin"]\n\turl = https://tok%40en@h.org/o/n?a=b # c\n', "https://h.org/o/n"),
        ('[remote "origin"]\n\turl = /home/me/secret/n.git\n', "n"),
        ('[remote "origin"]\n\turl = file:///home/me/n.git\n', "n"),
        ('[remote "other"]\n\turl = https://h.org/o/n\n', "repo"),
        ('[remote "origin"] url = https://h.org/o/n\n', "https://h.org/o/n"),
        ("", "repo"),
    ],
)
def test_addresses_are_read_without_secrets_and_places(tmp_path, config, repository):
    write(tmp_path / "repo/a.py")
    write(tmp_path / "repo/.git/HEAD", "ref: refs/heads/none\n")
    write(tmp_path / "repo/.git/config", config)
    (record,) = records(directory(tmp_path / "repo"))
    assert (record.repository, record.commit) == (repository, None)


@pytest.mark.parametrize("head", ["", "ref: ../../../etc/passwd", "ref: HEAD", "x" * 40])
def test_a_head_that_is_none_gives_no_commit(tmp_path, head):
    write(tmp_path / "repo/a.py")
    write(tmp_path / "repo/.git/HEAD", head)
    assert records(directory(tmp_path / "repo"))[0].commit is None


def test_a_package_tells_its_version_and_licence():
    record = next(r for r in records(package("iniconfig")) if isinstance(r, RawCode))
    assert record.repository.startswith("iniconfig-") and record.license == "MIT"
    several = package(["iniconfig", "pluggy"])
    assert {r.source for r in records(several) if isinstance(r, RawCode)} >= {
        "package:iniconfig",
        "package:pluggy",
    }
    assert several.label == "package:*"


def test_the_standard_library_has_its_version_and_licence():
    source = package("stdlib")
    found = list(source.read(next(iter(source.pieces()))))
    record = next(r for r in found if isinstance(r, RawCode) and r.path == "abc.py")
    assert record.repository.startswith("cpython-3.") and record.license == "PSF-2.0"
    with pytest.raises(ConfigError, match="line of its own"):
        package(["stdlib", "json"])

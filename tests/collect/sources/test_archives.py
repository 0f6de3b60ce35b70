import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
from pickle import dumps, loads

import pyarrow as pa
import pytest

from wavecoder.collect.sources.archives import Archive
from wavecoder.errors import ConfigError
from wavecoder.records import RawCode

CODE = "def add(a, b):\n    return a + b\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MIT = "SPDX-License-Identifier: MIT\n"
ZIPS, TARS = (".zip",), (".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


def archive(path, **options):
    return Archive(Archive.Config(archive=path, **options))


def records(source):
    """Read all pieces, each as another process would get it."""
    return [record for piece in source.pieces() for record in source.read(loads(dumps(piece)))]


def outcomes(source):
    """Return {path: reason or names of functions}, the archive itself under its label."""
    found = {}
    for record in records(source):
        if isinstance(record, RawCode):
            found.setdefault(record.path, []).append(record.name)
        else:
            where = record.detail.split(": ")[0]
            found[where.partition("/")[2] or where] = record.reason
    return found


def pack(path, members, comment=None):
    """Write an archive of {name: content}, of the kind its name tells."""
    members = {
        name: text.encode() if isinstance(text, str) else text for name, text in members.items()
    }
    if path.suffix in (".zip", ".whl"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.comment = (comment or "").encode()
            for name, data in members.items():
                file.writestr(name, data)
        return path
    path.write_bytes(compressed(path.name, tarred(members, comment)))
    return path


def tarred(members, comment=None):
    buffer = io.BytesIO()
    headers = {"comment": comment} if comment else {}
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers
    ) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def compressed(name, data):
    kinds = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    }
    return kinds.get(name.rpartition(".")[2], bytes)(data)


@pytest.mark.parametrize("suffix", ZIPS + TARS)
def test_members_are_read_like_files(tmp_path, suffix):
    members = {
        "pkg-1.0/": b"",
        "pkg-1.0/LICENSE": MIT,
        "pkg-1.0/a.py": CODE,
        "pkg-1.0/sub/b.c": "int f(void) { return 1 +; }\n",
        "pkg-1.0/sub/c.py": "x = 1\n",
        "pkg-1.0/sub/d.py": b"\0",
        "pkg-1.0/sub/e.py": b"\xff",
        "pkg-1.0/sub/f.py": "#" * 2_000,
        "pkg-1.0/.git/g.py": CODE,
        "pkg-1.0/vendor/x/h.py": CODE,
        "pkg-1.0/vendor/x/i.py": CODE,
        "pkg-1.0/notes.txt": "hello",
    }
    del members["pkg-1.0/"]
    path = pack(tmp_path / f"it{suffix}", members, comment=COMMIT)
    source = archive(path, largest_file=1_000)
    assert outcomes(source) == {
        "a.py": ["add"],
        "sub/b.c:1 f": "syntax_error",
        "sub/c.py": "no_functions",
        "sub/d.py": "binary",
        "sub/e.py": "not_utf8",
        "sub/f.py": "file_too_large",
        "vendor": "vendored",
    }
    record = next(record for record in records(source) if isinstance(record, RawCode))
    assert (record.repository, record.commit) == ("pkg-1.0", COMMIT)
    assert (record.license, record.license_source) == ("MIT", "license_file")
    assert record.source == source.label == f"archive:it{suffix}"
    assert len(records(archive(path, vendored=True))) == 9 - 1


@pytest.mark.parametrize("suffix", ZIPS + TARS)
def test_names_are_made_safe_and_namesakes_kept_apart(tmp_path, suffix):
    members = {"../../etc/a.py": CODE, "/b.py": CODE, "C:\\x\\c.py": CODE, "./d/./e.py": CODE}
    found = records(archive(pack(tmp_path / f"it{suffix}", members)))
    assert [record.path for record in found] == ["etc/a.py", "b.py", "x/c.py", "d/e.py"]
    assert found[0].repository == "it" and found[0].license is None


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_have_ids_of_their_own(tmp_path):
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as file:
        file.writestr("a.py", CODE)
        file.writestr("a.py", CODE)
    one, two = records(archive(tmp_path / "it.zip"))
    assert one.path == two.path and one.id != two.id


@pytest.mark.parametrize("suffix", TARS)
def test_a_truncated_tar_gives_what_lies_before(tmp_path, suffix):
    path = tmp_path / f"it{suffix}"
    tar = tarred({"a.py": CODE.encode(), "b.py": CODE.encode() * 90_000, "c.py": CODE.encode()})
    # Compressed, this is too short to be cut anywhere but in the tar itself.
    path.write_bytes(compressed(suffix, tar[:9000]))
    found = outcomes(archive(path, largest_file=9_000_000))
    assert found == {"a.py": ["add"], f"archive:it{suffix}": "damaged_archive"}


def test_a_truncated_gzip_gives_what_lies_before(tmp_path):
    noise = random.Random(0).randbytes(300_000)
    path = pack(tmp_path / "it.tar.gz", {"a.py": CODE, "b.bin": noise, "c.py": CODE})
    path.write_bytes(path.read_bytes()[:200_000])
    (good, bad) = records(archive(path))
    assert good.path == "a.py" and bad.reason == "damaged_archive"
    assert "end-of-stream" in bad.detail


def test_a_broken_header_in_the_middle_is_said(tmp_path):
    tar = bytearray(tarred({"a.py": CODE.encode(), "b.py": CODE.encode(), "c.py": CODE.encode()}))
    tar[1024 + 150] ^= 1  # in the checksum of the second member's header
    (tmp_path / "it.tar").write_bytes(tar)
    assert outcomes(archive(tmp_path / "it.tar")) == {
        "a.py": ["add"],
        "archive:it.tar": "damaged_archive",
    }


def test_what_is_no_archive_is_rejected_and_the_next_read(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "b.tar").write_bytes(b"no archive at all" * 100)
    (tmp_path / "c.tgz").write_bytes(b"")
    pack(tmp_path / "d.zip", {"d.py": CODE})
    source = archive(tmp_path)
    assert outcomes(source) == {
        "archive:a.zip": "damaged_archive",
        "archive:b.tar": "damaged_archive",
        "archive:c.tgz": "damaged_archive",
        "d.py": ["add"],
    }
    assert source.label == "archive:*" and source.identity()["archives"] == 4


def test_a_jar_that_starts_by_itself_is_a_zip(tmp_path):
    packed = pack(tmp_path / "a.zip", {"a.py": CODE})
    path = tmp_path / "a.jar"
    path.write_bytes(b"#!/bin/sh\nexec java -jar $0\n" + packed.read_bytes())
    assert outcomes(archive(path)) == {"a.py": ["add"]}


def test_a_zip_cut_short_is_rejected(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.py": CODE, "b.py": CODE})
    path.write_bytes(path.read_bytes()[:-30])
    assert outcomes(archive(path)) == {"archive:a.zip": "damaged_archive"}


def patched(path, name, *, flags=0, method=None, size=None, flip=False):
    """Change what a zip file's own list, and the member's header, say of a member."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        local = file.getinfo(name).header_offset
        packed = file.getinfo(name).compress_size
    central = data.index(b"PK\1\2")
    while data[central + 46 : central + 46 + len(name)] != name.encode():
        central = data.index(b"PK\1\2", central + 4)
    for place in (central + 8, local + 6):
        data[place] |= flags
    if method is not None:
        for place in (central + 10, local + 8):
            struct.pack_into("<H", data, place, method)
    if size is not None:
        for place in (central + 24, local + 22):
            struct.pack_into("<I", data, place, size)
    if flip:
        data[local + 30 + len(name) + packed // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"flags": 1}, "encrypted", "it is encrypted"),
        ({"flip": True}, "damaged_member", "it is damaged, "),
        ({"method": 12}, "unreadable", "its compression, bzip2, is not read here"),
        ({"method": 77}, "unreadable", "its compression, an unknown one, is not read here"),
        ({"size": 10}, "damaged_member", "Bad CRC-32"),
        ({"size": 9_000_000}, "file_too_large", "it has 9,000,000 bytes"),
    ],
)
def test_what_is_wrong_with_a_zip_member_is_its_own_matter(tmp_path, change, reason, detail):
    path = pack(tmp_path / "it.zip", {"a.py": CODE * 9, "b.py": CODE})
    patched(path, "a.py", **change)
    bad, good = records(archive(path))
    assert (bad.reason, good.path) == (reason, "b.py")
    assert detail in bad.detail and bad.detail.startswith("archive:it.zip/a.py: ")


@pytest.mark.parametrize("suffix", (*ZIPS, ".tar.gz"))
def test_a_bomb_is_not_unpacked(tmp_path, suffix):
    path = pack(tmp_path / f"it{suffix}", {"a.py": bytes(50_000_000), "b.py": CODE})
    assert path.stat().st_size < 60_000
    assert outcomes(archive(path)) == {"a.py": "file_too_large", "b.py": ["add"]}


def test_a_bomb_in_a_tar_header_is_not_held_in_memory(tmp_path):
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1_000_000_000
    (tmp_path / "it.tar").write_bytes(name.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    (record,) = records(archive(tmp_path / "it.tar"))
    assert record.reason == "damaged_archive" and "1,000,000,000 bytes" in record.detail


def test_links_in_archives_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name, kind in (("s.py", tarfile.SYMTYPE), ("h.py", tarfile.LNKTYPE), ("p.py", b"6")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            file.addfile(info)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        info = zipfile.ZipInfo("s.py")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    assert outcomes(archive(tmp_path / "a.tar")) == {
        "s.py": "symlink",
        "h.py": "symlink",
        "p.py": "unreadable",
    }
    assert outcomes(archive(tmp_path / "b.zip")) == {"s.py": "symlink"}


def test_a_large_zip_is_read_in_ranges(tmp_path, monkeypatch):
    members = {f"top/{n}.py": CODE for n in range(25)} | {"top/LICENSE": MIT}
    for n in range(5):
        members[f"top/third_party/{n}.py"] = CODE
    path = pack(tmp_path / "it.zip", members)
    whole = records(archive(path))
    monkeypatch.setattr("wavecoder.collect.sources.archives.PIECE_FILES", 4)
    source = archive(path)
    assert len(list(source.pieces())) == 8
    assert records(source) == whole and len({record.id for record in whole}) == 26
    assert {record.license for record in whole if isinstance(record, RawCode)} == {"MIT"}


def test_the_licence_nearest_to_a_member_counts_wherever_it_stands(tmp_path):
    members = {
        "a.py": CODE,
        "x/b.py": CODE,
        "x/c.py": "# SPDX-License-Identifier: 0BSD\n" + CODE,
        "x/LICENSE": "SPDX-License-Identifier: GPL-2.0-only",
        "x/y/d.py": CODE,
        "package.json": '{"license": "ISC"}',
        "z/package.json": '{"license": "UNLICENSED", "private": true}',
        "z/e.js": "function e() { return f() }\n",
    }
    for suffix in (".zip", ".tar.gz"):
        found = records(archive(pack(tmp_path / f"it{suffix}", members)))
        assert {r.path: (r.license, r.license_source.value) for r in found} == {
            "a.py": ("ISC", "package_metadata"),
            "x/b.py": ("GPL-2.0-only", "license_file"),
            "x/c.py": ("0BSD", "file_header"),
            "x/y/d.py": ("GPL-2.0-only", "license_file"),
            "z/e.js": (None, "unknown"),
        }


def test_a_wheel_is_a_package(tmp_path):
    members = {
        "thing/a.py": CODE,
        "thing-1.5.dist-info/METADATA": "Name: thing\nLicense-Expression: MIT\n\nText\n",
        "thing-1.5.dist-info/licenses/LICENSE": MIT,
    }
    (record,) = records(archive(pack(tmp_path / "thing-1.5-py3-none-any.whl", members)))
    assert (record.repository, record.license) == ("thing-1.5", "MIT")


def test_archives_without_source_code_say_so(tmp_path):
    pack(tmp_path / "a.zip", {"notes.txt": "hello"})
    pack(tmp_path / "b.tgz", {})
    found = records(archive(tmp_path, languages=("go",)))
    assert [record.reason for record in found] == ["no_source_files"] * 2
    assert found[0].detail == "archive:a.zip: it has no file with a suffix of Go"


def test_archives_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="Cannot collect from"):
        archive(tmp_path / "nope.zip")
    with pytest.raises(ConfigError, match="There is no archive below"):
        archive(tmp_path)
    with pytest.raises(ConfigError, match="Nothing matches"):
        archive(tmp_path / "*.zip")


def test_the_same_archive_elsewhere_is_the_same_and_another_is_not(tmp_path):
    for place in ("one", "two", "three"):
        (tmp_path / place).mkdir()
        pack(tmp_path / place / "it.zip", {"a.py": CODE})
    pack(tmp_path / "three/it.zip", {"a.py": CODE.replace("+", "-")})
    one, two, three = (archive(tmp_path / place / "it.zip") for place in ("one", "two", "three"))
    assert one.identity() == two.identity() != three.identity()
    assert records(one) == records(two)
    both = archive(tmp_path / "*/it.zip")
    assert len({record.id for record in records(both)}) == 3


def test_what_npm_packs_is_called_by_the_archives_name(tmp_path):
    members = {"package/a.js": "function f() { return g() }\n", "package/package.json": "{}"}
    (record,) = records(archive(pack(tmp_path / "thing-1.5.tgz", members)))
    assert (record.repository, record.path) == ("thing-1.5", "a.js")

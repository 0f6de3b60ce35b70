from importlib.metadata import distributions
from pathlib import Path

import pytest

from wavecoder.collect.filters.licenses import PERMISSIVE, Licenses, is_permissive
from wavecoder.collect.licenses.metadata import DebianCopyright, license_of_metadata
from wavecoder.collect.licenses.names import all_of, named_license, spdx
from wavecoder.collect.licenses.texts import license_of_header, license_of_text
from wavecoder.collect.sources.directories import Directory
from wavecoder.errors import ConfigError
from wavecoder.plugins import validate
from wavecoder.records import LicenseSource, RawCode

CODE = "def add(a, b):\n    return a + b\n"
COMMON = Path("/usr/share/common-licenses")
MIT = """Copyright (c) 2024 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software.

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.
"""
BSD = """Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:
1. Redistributions of source code must retain the above copyright notice.
2. Redistributions in binary form must reproduce the above copyright notice.
"""
BSD_3 = (
    BSD + "3. Neither the name of the copyright holder may be used to endorse or promote products"
)
ADVERTS = "All advertising materials mentioning features or use of this software"
CLASSPATH = "GPL-2.0-or-later WITH Classpath-exception-2.0"
GPL_NOTICE = """This program is free software; you can redistribute it and/or modify
it under the terms of the GNU General Public License as published by
the Free Software Foundation; either version 2 of the License, or
(at your option) any later version.
"""


def licences(folder, **options):
    """Return {path: (licence, how it is known)}."""
    source = Directory(Directory.Config(directory=str(folder), **options))
    read = [record for piece in source.pieces() for record in source.read(piece)]
    return {r.path: (r.license, r.license_source.value) for r in read if isinstance(r, RawCode)}


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def raw(license, license_source=LicenseSource.LICENSE_FILE):
    return RawCode(
        id="1",
        language="python",
        name="f",
        code=CODE,
        docstring=None,
        source="directory:src",
        path="a.py",
        start_line=1,
        end_line=2,
        content_hash="2",
        license=license,
        license_source=license_source,
    )


@pytest.mark.parametrize(
    ("text", "license"),
    [
        (MIT, "MIT"),
        (MIT + "\nThe Software shall be used for Good, not Evil.\n", "JSON"),
        (MIT.rpartition("The above")[0], "MIT-0"),
        (BSD, "BSD-2-Clause"),
        (BSD_3, "BSD-3-Clause"),
        (
            BSD + ADVERTS,
            "BSD-4-Clause",
        ),
        (MIT + BSD_3, "MIT AND BSD-3-Clause"),
        (BSD + "Only for non-commercial use.", None),
        ("The MIT License (MIT)\n\nsee the web", "MIT"),
        ("MIT", "MIT"),
        (GPL_NOTICE, "GPL-2.0-or-later"),
        ("Licensed under the GNU Lesser General Public License, version 2.1.", "LGPL-2.1-only"),
        ("GNU Affero General Public License v3 or later", "AGPL-3.0-or-later"),
        ("under the GNU General Public License.", "GPL-1.0-or-later"),
        (
            GPL_NOTICE + "... with the Classpath Exception",
            "GPL-2.0-or-later WITH Classpath-exception-2.0",
        ),
        ("SPDX-License-Identifier: (MIT OR Apache-2.0)", "MIT OR Apache-2.0"),
        ("Do as you like with this, dear friend.", None),
        ("", None),
    ],
)
def test_licence_files_are_known_by_their_words(text, license):
    assert license_of_text(text) == license
    framed = "\n".join(f"  * {line} " for line in text.splitlines())
    assert license_of_text(framed) == license or len(text) < 40


@pytest.mark.skipif(not COMMON.is_dir(), reason="a folder of Debian's")
def test_the_texts_that_debian_ships_are_known():
    expected = {
        "Apache-2.0": "Apache-2.0",
        "Artistic": "Artistic-1.0-Perl",
        "BSD": "BSD-3-Clause",
        "CC0-1.0": "CC0-1.0",
        "GFDL-1.2": "GFDL-1.2-only",
        "GFDL-1.3": "GFDL-1.3-only",
        "GPL-1": "GPL-1.0-only",
        "GPL-2": "GPL-2.0-only",
        "GPL-3": "GPL-3.0-only",
        "LGPL-2": "LGPL-2.0-only",
        "LGPL-2.1": "LGPL-2.1-only",
        "LGPL-3": "LGPL-3.0-only",
        "MPL-1.1": "MPL-1.1",
        "MPL-2.0": "MPL-2.0",
    }
    found = {name: license_of_text((COMMON / name).read_text()) for name in expected}
    assert found == expected
    # A notice before the text says more than the text.
    noted = GPL_NOTICE + (COMMON / "GPL-2").read_text()
    assert license_of_text(noted) == "GPL-2.0-or-later"


def test_the_licence_files_of_installed_packages_agree_with_their_metadata():
    compared = 0
    for package in distributions():
        stated = spdx(package.metadata.get("License-Expression") or "")
        texts = [
            file.read_text()
            for file in package.files or ()
            if file.name.startswith("LICENSE") and len(file.parts) < 4
        ]
        if stated and len(texts) == 1 and " " not in stated:
            # What SPDX calls Python-2.0 begins with PSF-2.0, and packages call it so.
            known = (license_of_text(texts[0]) or "").replace("Python-2.0", "PSF-2.0")
            assert not known or stated in known.split(" AND "), package.name
            compared += bool(known)
    assert compared > 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# SPDX-License-Identifier: MIT\n", ("MIT",)),
        ("#!/bin/x\n# SPDX-License-Identifier: gpl-2.0+\n", ("GPL-2.0-or-later",)),
        ("/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n", ("MIT OR Apache-2.0",)),
        ("<!-- SPDX-License-Identifier: MIT -->\n", ("MIT",)),
        ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: ISC\n", ("MIT AND ISC",)),
        ("# SPDX-License-Identifier: LicenseRef-Mine\n", (None,)),
        ("# SPDX-License-Identifier: Nonsense\n", (None,)),
        ("// Licensed under the Apache License, Version 2.0\n", ("Apache-2.0",)),
        ("<?php\n/**\n * @license MIT\n */\n", ("MIT",)),
        ("/*\n * License: BSD 3-Clause\n */\n", ("BSD-3-Clause",)),
        ("-- This is distributed under the MIT License.\n", ("MIT",)),
        ('"""Does a thing.\n\n' + GPL_NOTICE + '"""\n', ("GPL-2.0-or-later",)),
        ("\n".join("// " + line for line in MIT.splitlines()), ("MIT",)),
        ("// Proprietary and confidential. Unauthorized copying is forbidden.\n", (None,)),
        ("// Use is governed by a BSD-style license, see the LICENSE file.\n", None),
        ("# Copyright (c) Somebody. All rights reserved.\n", None),
        ("# Counts things.\n", None),
        ("x = 'SPDX-License-Identifier: MIT'\n", None),
        ("import re\n# Licensed under the Apache License, Version 2.0\n", None),
        ("", None),
    ],
)
def test_headers_are_read_in_comments_before_the_code(text, said):
    assert license_of_header(text + "code()\n") == said


@pytest.mark.parametrize(
    ("text", "license"),
    [
        # The words of a free licence beside the name of one that asks for more.
        (GPL_NOTICE + "Parts are from elsewhere:\n" + MIT, "MIT AND GPL-2.0-or-later"),
        (BSD + "The parser is under the Mozilla Public License 2.0.", "BSD-2-Clause AND MPL-2.0"),
        (
            BSD + "Alternatively, this software may be distributed under the terms of the\nGNU "
            "General Public License version 2.",
            "BSD-2-Clause OR GPL-2.0-only",
        ),
        (MIT + "The GUI is under the Sun Public License.", None),
        # Licences that limit.
        ("Licensed under the Apache License 2.0 with the Commons Clause", None),
        ("This is licensed under the MIT license for non-commercial use.", None),
        ("Licence: free for commercial and non-commercial use.\n" + BSD, "BSD-2-Clause"),
        ("License: for internal use only", None),
        # Short names of the GNU licences.
        ("This file is licensed under the GPL.", "GPL-1.0-or-later"),
        ("Released under the GPL, version 2.", "GPL-2.0-only"),
        ("Licensed under the LGPL 2.1 or later.", "LGPL-2.1-or-later"),
        ("License: http://www.gnu.org/licenses/agpl-3.0.txt", "AGPL-3.0-only"),
        ("Licensed under the GNU Public License v2.", "GPL-2.0-only"),
        ("Licensed under the LGPL-2.1+.\n" + GPL_NOTICE, "GPL-2.0-or-later"),
        ("A GPL-compatible licence, not under the GPL:\n" + MIT, "MIT"),
        # Others that ask for more than a notice.
        ("under the terms of the Eclipse Public License 2.0 (a license)", "EPL-2.0"),
        ("subject to the Mozilla Public License Version 1.1 (the License)", "MPL-1.1"),
        ("subject to the Mozilla Public License (the License)", None),
        ("the Common Development and Distribution License (the License)", None),
        ("Licensed under the EUPL, Version 1.2.", None),
        ("governed by the Business Source License, in the LICENSE file", None),
        ("the Elastic License 2.0 and the Server Side Public License, v 1", None),
        ("License: CC BY-NC-SA 4.0", None),
        ("This license: http://creativecommons.org/licenses/by-sa/3.0/", None),
    ],
)
def test_no_word_of_a_demanding_licence_is_passed_over(text, license):
    """Else the file would be under the LICENSE of its folder, or under half of its own."""
    header = "\n".join(f"// {line}" for line in text.splitlines())
    assert license_of_header(header + "\ncode()\n") == (license,)
    assert license_of_text(text) == license


@pytest.mark.parametrize(
    ("name", "text", "license"),
    [
        ("package.json", '{"license": "MIT"}', "MIT"),
        ("package.json", '{"license": "(MIT OR Apache-2.0)"}', "MIT OR Apache-2.0"),
        ("package.json", '{"license": {"type": "BSD-3-Clause"}}', "BSD-3-Clause"),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "ISC"}]}', "MIT OR ISC"),
        ("package.json", '{"license": "UNLICENSED"}', ""),
        ("package.json", '{"license": "BSD"}', ""),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "Ours"}]}', ""),
        ("package.json", '{"licenses": []}', None),
        ("package.json", '{"license": "SEE LICENSE IN x"}', None),
        ("package.json", "[1]", None),
        ("package.json", "{", None),
        ("package.json", "[" * 100_000, None),
        ("composer.json", '{"license": ["MIT", "GPL-3.0-or-later"]}', "MIT OR GPL-3.0-or-later"),
        ("Cargo.toml", '[package]\nlicense = "MIT/Apache-2.0"\n', "MIT OR Apache-2.0"),
        ("Cargo.toml", '[workspace.package]\nlicense = "MIT"\n', "MIT"),
        ("Cargo.toml", "[package]\nlicense.workspace = true\n", None),
        ("pyproject.toml", '[project]\nlicense = "BSD-3-Clause"\n', "BSD-3-Clause"),
        ("pyproject.toml", '[project]\nlicense = {text = "Apache 2.0"}\n', "Apache-2.0"),
        ("pyproject.toml", '[project]\nlicense = {file = "LICENSE"}\n', None),
        ("pyproject.toml", '[tool.poetry]\nlicense = "MIT"\n', "MIT"),
        (
            "pyproject.toml",
            '[project]\nclassifiers = ["License :: OSI Approved :: MIT License"]\n',
            "MIT",
        ),
        (
            "pyproject.toml",
            '[project]\nclassifiers = ["License :: OSI Approved :: BSD License"]\n',
            None,
        ),
        (
            "setup.cfg",
            "[metadata]\nname = x\nlicense = Apache License 2.0\n[options]\n",
            "Apache-2.0",
        ),
        ("setup.py", "setup(name='x', license='MIT')\n", "MIT"),
        ("METADATA", "Name: x\nLicense-Expression: MIT\n\nLicense: GPL\n", "MIT"),
        (
            "PKG-INFO",
            "Name: x\nLicense: UNKNOWN\n"
            "Classifier: License :: OSI Approved :: ISC License (ISCL)\n",
            "ISC",
        ),
        ("x.gemspec", "Gem.new do |s|\n  s.license = 'MIT'\nend\n", "MIT"),
        ("x.gemspec", 's.licenses = ["MIT", "Ruby"]\n', "MIT AND Ruby"),
        (
            "pom.xml",
            "<project><licenses><license><name>The Apache License, Version 2.0</name>"
            "</license></licenses></project>",
            "Apache-2.0",
        ),
    ],
)
def test_package_metadata_is_read(name, text, license):
    assert license_of_metadata(name, text) == license


@pytest.mark.parametrize(
    ("text", "license"),
    [
        ("mit", "MIT"),
        ("The MIT License", "MIT"),
        ("MIT or Apache 2.0", "MIT OR Apache-2.0"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("LGPL 2.1", "LGPL-2.1-only"),
        ("GNU General Public License v2 or later (GPLv2+)", None),
        ("BSD", None),
        ("Dual License", None),
        ("x" * 1_000, None),
        ("", None),
        ("(((", None),
    ],
)
def test_names_of_licences_are_understood_or_left(text, license):
    assert named_license(text) == license


def test_expressions_are_joined_with_brackets():
    assert all_of(["MIT OR ISC", "Zlib", "Zlib"]) == "(MIT OR ISC) AND Zlib"
    assert all_of([]) is None


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("MIT", True),
        ("mit", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-2.0-only) AND (ISC OR LGPL-2.1-only)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MPL-2.0", False),
        ("JSON", False),
        ("LicenseRef-mine", False),
        ("no licence at all", False),
        ("", False),
    ],
)
def test_what_is_permissive(expression, answer):
    assert is_permissive(expression) is answer


def test_every_permissive_licence_is_spdx_own():
    assert {spdx(name) for name in PERMISSIVE} == PERMISSIVE


def test_the_nearest_paper_counts_and_the_header_before_all(tmp_path):
    write(
        tmp_path / "repo",
        {
            "a.py": CODE,
            "LICENSE": MIT,
            "b/c.py": CODE,
            "b/d.py": "# SPDX-License-Identifier: 0BSD\n" + CODE,
            "b/e/f.py": CODE,
            "b/e/COPYING": GPL_NOTICE,
            "b/e/g/h.py": CODE,
            "i/package.json": '{"license": "ISC"}',
            "i/j.py": CODE,
            "k/LICENSE.txt": "All yours, but ask me.",
            "k/l.py": CODE,
            "m/COPYRIGHT": "Copyright 2020 Somebody",
            "m/license.py": CODE,
            "n/package.json": '{"license": "UNLICENSED"}',
            "n/o.py": CODE,
            "p/package.json": '{"license": "see LICENSE in LICENSE.md"}',
            "p/q.py": CODE,
        },
    )
    assert licences(tmp_path / "repo") == {
        "a.py": ("MIT", "license_file"),
        "b/c.py": ("MIT", "license_file"),
        "b/d.py": ("0BSD", "file_header"),
        "b/e/f.py": ("GPL-2.0-or-later", "license_file"),
        "b/e/g/h.py": ("GPL-2.0-or-later", "license_file"),
        "i/j.py": ("ISC", "package_metadata"),
        "k/l.py": (None, "unknown"),
        "m/license.py": ("MIT", "license_file"),
        "n/o.py": (None, "unknown"),
        "p/q.py": ("MIT", "license_file"),
    }


def test_a_repository_without_a_licence_has_none(tmp_path):
    write(tmp_path, {"LICENSE": MIT, "repo/a.py": CODE, "repo/README.md": "MIT"})
    assert licences(tmp_path / "repo") == {"a.py": (None, "unknown")}


def test_two_licence_files_both_hold_unless_metadata_says_which(tmp_path):
    files = {"a.rs": "fn f() { g() }\n", "LICENSE-MIT": MIT, "LICENSE-BSD": BSD_3}
    write(tmp_path, files)
    assert licences(tmp_path)["a.rs"] == ("BSD-3-Clause AND MIT", "license_file")
    write(tmp_path, {"Cargo.toml": '[package]\nlicense = "MIT OR BSD-3-Clause"\n'})
    assert licences(tmp_path)["a.rs"] == ("MIT OR BSD-3-Clause", "package_metadata")
    # Metadata that names other licences than the texts does not overrule them.
    write(tmp_path, {"Cargo.toml": '[package]\nlicense = "0BSD"\n'})
    assert licences(tmp_path)["a.rs"] == ("BSD-3-Clause AND MIT", "license_file")


DEBIAN = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Somebody
License: GPL-2+

Files: lib/*.c lib/one.py
Copyright: 2021 Another
License: Expat or BSD-3-clause

Files: lib/special.c
Copyright: 2021 A third
License: own-words
 Do as you like.
"""


def test_debian_copyright_is_read_per_file(tmp_path):
    function = "int f(void) { return g(); }\n"
    write(
        tmp_path,
        {
            "debian/copyright": DEBIAN,
            "a.py": CODE,
            "lib/deep/b.c": function,
            "lib/one.py": CODE,
            "lib/special.c": function,
            "lib/own/c.c": function,
            "lib/own/LICENSE": MIT,
        },
    )
    assert licences(tmp_path) == {
        "a.py": ("GPL-2.0-or-later", "package_metadata"),
        "lib/deep/b.c": ("MIT OR BSD-3-Clause", "package_metadata"),
        "lib/one.py": ("MIT OR BSD-3-Clause", "package_metadata"),
        "lib/special.c": (None, "unknown"),
        "lib/own/c.c": ("MIT", "license_file"),
    }
    assert DebianCopyright.read("This package was debianized by hand.\n\nLicense: GPL\n") is None


def test_a_changed_licence_changes_the_fingerprint(tmp_path):
    write(tmp_path, {"a.py": CODE, "LICENSE": MIT})
    source = Directory(Directory.Config(directory=str(tmp_path)))
    before = source.identity()
    write(tmp_path, {"LICENSE": BSD_3})
    assert source.identity() != before


@pytest.mark.parametrize(
    ("wanted", "license", "reason"),
    [
        ("permissive", "MIT", None),
        ("permissive", "GPL-3.0-only OR ISC", None),
        ("permissive", "GPL-3.0-only", "license_not_allowed"),
        ("permissive", None, "license_unknown"),
        ("mit", "MIT", None),
        (["MIT", "GPL-2.0+"], "MIT AND GPL-2.0-or-later", None),
        (["MIT"], "MIT AND ISC", "license_not_allowed"),
        (["permissive", "MPL-2.0"], "MPL-2.0 AND ISC", None),
        (
            ["GPL-2.0-only WITH Classpath-exception-2.0"],
            "GPL-2.0-only WITH Classpath-exception-2.0",
            None,
        ),
        (["GPL-2.0-only WITH Classpath-exception-2.0"], "GPL-2.0-only", "license_not_allowed"),
        (["GPL-2.0-only"], "GPL-2.0-only WITH Classpath-exception-2.0", None),
    ],
)
def test_the_filter_keeps_the_licences_wanted(wanted, license, reason):
    rule = Licenses(validate(Licenses.Config, {"licenses": wanted}, "collect.licenses"))
    refusal = rule.check(raw(license))
    assert (refusal and refusal[0]) == reason


def test_the_filter_says_what_it_found():
    rule = Licenses(Licenses.Config())
    assert rule.check(raw("GPL-2.0-only")) == (
        "license_not_allowed",
        "its licence is GPL-2.0-only (by the license file)",
    )
    # What the word stood for is in the fingerprint.
    assert "MIT" in rule.config.licenses and rule.config == Licenses(rule.config).config


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Apache-2", r"'Apache-2' is not one SPDX identifier\. Did you mean 'Apache-2\.0'\?"),
        ("permisive", r"Did you mean 'permissive'\?"),
        ("MIT OR ISC", "is not one SPDX identifier"),
        ("", "is not one SPDX identifier"),
    ],
)
def test_an_unknown_licence_in_a_recipe_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        Licenses(Licenses.Config(licenses=(name,)))

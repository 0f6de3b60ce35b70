"""HumanEvalPack: HumanEval in six languages, to be written, repaired or explained.

Four benchmarks over the same 164 problems a language (Muennighoff et al. 2023, OctoPack):
HumanEvalSynthesize; HumanEvalFix, which shows the tests, and its variant that shows the docstring;
HumanEvalExplain, whose answer is a description from which the function is written again.
"""

from pathlib import Path

from wavecoder.evaluate.benchmarks.files import DataFile, Hub, load_rows
from wavecoder.records import Problem

__all__ = [
    "HUMANEVALEXPLAIN",
    "HUMANEVALFIX",
    "HUMANEVALFIXDOCS",
    "HUMANEVALSYNTHESIZE",
    "HumanEvalPack",
]

_FIELDS = (
    "task_id",
    "prompt",
    "entry_point",
    "canonical_solution",
    "test",
    "test_setup",
    "declaration",
    "import",
    "docstring",
    "instruction",
    "buggy_solution",
    "bug_type",
)
# Language: its name in the data, the file's sha256 (octopack e17a8f6), the digest of its rows.
_FILES = {
    "python": (
        "python",
        "b1376d72be4bd016a62ad043d9de3846edb8d63edf1222da802a31330c14c3a7",
        "e996ded145214e94cc94e9bb8a42e439f069ebe97dbeca41346f84275d92b437",
    ),
    "javascript": (
        "js",
        "04c86c1fac5f33818d9187cba278ed1dfc66cc259372dd8342126aa580fb7569",
        "a1f5bcb632ba3eb31baf08dd147ad164c2d69537a3fe930c7816ae3da8ac7437",
    ),
    "java": (
        "java",
        "a8d077d300bbdc2eda91e1a733deb2944678bce8fcc7eb272214626516768cc1",
        "68418312e45f15eb80969cf5d6df93c4c880ca53e1c5ae248612bad522d739e2",
    ),
    "go": (
        "go",
        "0ee2cdca46d70afb33d913a0d4b205624fe4ded2f28c2efdb241727221837993",
        "1b83989944d3b7510720ce0e5bc9b9528783ee3d1c8f5f9bba7709ca4d93c9c6",
    ),
    "cpp": (
        "cpp",
        "891a390c1b9d2cb85dd8fbebcf1d88dbdd565734a6b2b3259f9ddb3fe95e33d7",
        "3a2ede9bad4b4ea9656af0b9df672df4ffe0abb354d4ea80b788133780fadf68",
    ),
    "rust": (
        "rust",
        "01ece28eaf490d7af037ce53095083dacfd38022cf5b82662ccb78024dc269a1",
        "d23e610861239e5ac54f953c6b774ce78b04b5bf1c101ac51e834545d80ce930",
    ),
}


class HumanEvalPack:
    """One of the four benchmarks, in each of the six languages."""

    languages = tuple(_FILES)

    def __init__(self, name: str) -> None:
        self.name = name

    def problems(self, language: str, path: Path | None = None) -> list[Problem]:
        """Return the 164 problems of a language.

        Raises:
            ConfigError: The data is not found, or not the right one.
            MissingExtraError: It is only on the hub, and `datasets` is not installed.
        """
        return [
            Problem(
                id=row["task_id"],
                benchmark=f"{self.name}-{language}",
                language=language,
                prompt=row["prompt"],
                entry_point=row["entry_point"],
                canonical_solution=row["canonical_solution"],
                test=row["test"],
                test_setup=row.get("test_setup") or "",
                declaration=row["declaration"],
                imports=row.get("import") or "",
                docstring=row["docstring"],
                instruction=row["instruction"],
                buggy_solution=row["buggy_solution"],
                bug_type=row["bug_type"],
            )
            for row in load_rows(_data(language), path)
        ]


def _data(language: str) -> DataFile:
    name, sha256, digest = _FILES[language]
    theirs = f"data/{name}/data/humanevalpack.jsonl"
    return DataFile(
        names=(f"humanevalpack/{name}.jsonl", f"{name}.jsonl", theirs),
        sha256=sha256,
        home=f"github.com/bigcode-project/octopack (evaluation/create/humaneval-x/{theirs})",
        # Named as a file, as `datasets` no longer runs the script that describes this dataset.
        hub=Hub(
            path="json",
            options={
                "data_files": f"hf://datasets/bigcode/humanevalpack/{theirs}",
                "split": "train",
            },
            fields=_FIELDS,
            digest=digest,
        ),
    )


HUMANEVALSYNTHESIZE = HumanEvalPack("humanevalsynthesize")
HUMANEVALFIX = HumanEvalPack("humanevalfix")
HUMANEVALFIXDOCS = HumanEvalPack("humanevalfixdocs")
HUMANEVALEXPLAIN = HumanEvalPack("humanevalexplain")

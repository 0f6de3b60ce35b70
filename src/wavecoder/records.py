"""The vocabulary: every record that flows between stages, in the order of the pipeline.

Records are frozen and refuse unknown fields. Each has an `id`; a stage turns an input into
exactly one outcome (a record or a `Rejected`) of the same id.
"""

from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "FAILED_REASONS",
    "Case",
    "ChatReply",
    "ChatRequest",
    "Checkpoint",
    "Dialogue",
    "Example",
    "Execution",
    "Figure",
    "FinishReason",
    "Instance",
    "Level",
    "LicenseSource",
    "Message",
    "Mode",
    "Problem",
    "Proof",
    "RawCode",
    "Record",
    "Rejected",
    "RuleVerdict",
    "Sampling",
    "Status",
    "Trial",
    "Verdict",
    "digest",
    "place",
]


def digest(*parts: str) -> str:
    """Return 16 hexadecimal digits (64 bits of BLAKE2b) that stand for `parts`, in order."""
    hashed = blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        hashed.update(len(data).to_bytes(8, "little"))
        hashed.update(data)
    return hashed.hexdigest()


class Value(BaseModel):
    """A frozen value inside a record; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Record(Value):
    """A value with an identity: what stages read and write."""

    id: str
    """Unique within an artifact, and the same in every run over the same input."""


class LicenseSource(StrEnum):
    """How a licence is known, the surest first."""

    FILE_HEADER = "file_header"
    """The file itself says so (`SPDX-License-Identifier`, or a licence's own words)."""
    LICENSE_FILE = "license_file"
    """A LICENSE or COPYING file in the nearest folder at or above the file."""
    PACKAGE_METADATA = "package_metadata"
    """package.json, pyproject.toml, Cargo.toml and their like, or debian/copyright."""
    DATASET = "dataset"
    """A column of the dataset the function was read from."""
    UNKNOWN = "unknown"


class RawCode(Record):
    """A function as collected, before any model saw it."""

    language: str
    """A name from `wavecoder.languages`."""
    name: str
    """The function's name, qualified by the classes around it (`Path.exists`)."""
    code: str
    """The function's text, dedented, without its doc comment."""
    docstring: str | None
    """The text of its doc comment, without comment marks; None when it has none."""
    source: str
    """Where it was collected: `package:stdlib`, `directory:src`."""
    path: str
    """File, relative to the source's root, with forward slashes."""
    start_line: int | None
    """First line in the file, counted from 1; None where a dataset does not say."""
    end_line: int | None
    """Last line in the file, inclusive."""
    content_hash: str
    """Digest of `code`; equal for exact duplicates, with or without a doc comment."""
    repository: str | None = None
    """`owner/name`, the address of a clone, or `name-version` of a package; None if unknown."""
    commit: str | None = None
    """The revision that was read, where version control or a dataset says it."""
    license: str | None = None
    """An SPDX expression (`MIT`, `GPL-2.0-or-later OR MIT`); None if unknown."""
    license_source: LicenseSource = LicenseSource.UNKNOWN
    """How the licence is known."""

    @property
    def where(self) -> str:
        """Return its place and name, for a person."""
        return place(self.source, self.path, self.start_line, self.name)


def place(source: str, path: str, line: int | None, name: str) -> str:
    """Return where a function is and what it is called: `directory:src/a.py:3 Path.exists`."""
    return f"{source}/{path}{'' if line is None else f':{line}'} {name}"


FAILED_REASONS = ("model_refused", "model_failed")
"""Reasons of inputs that were never judged, as no model replied: refused for good, or failed again
and again. `wavecoder failed RUN --retry` asks for these once more."""


class Rejected(Record):
    """An input that a stage did not keep, and why. Nothing disappears without one."""

    reason: str
    """A slug: `too_long`, `duplicate`, `rule_language_named`."""
    detail: str
    """One sentence with the figures or words that decided."""
    task: str | None = None
    """The task it was tried for, in `generate`."""
    reply: str | None = None
    """The model's raw reply, where there was one."""
    instance: "Instance | None" = None
    """The refused instance as far as it got, with its verdict where it was judged."""

    @property
    def failed(self) -> bool:
        """Whether no model replied, so that nothing was judged."""
        return self.reason in FAILED_REASONS


class RuleVerdict(Value):
    """What the discriminator said of one rule."""

    rule: str
    """The rule's slug in the task's file."""
    passed: bool
    reason: str


class Verdict(Value):
    """The discriminator's judgement: rule by rule, then overall.

    Source: paper section 2.2.2, figure 4. `passed` is true only if every rule passed AND the
    overall answer was yes.
    """

    rules: tuple[RuleVerdict, ...]
    passed: bool
    analysis: str
    """The discriminator's reply, as it wrote it."""


class Level(StrEnum):
    """What is known of an instance beside opinions, the least first."""

    PARSED = "parsed"
    """Its code is code of the language; nothing was run."""
    RAN = "ran"
    """Its code was run in the sandbox and gave results."""
    PROVED = "proved"
    """Results of the sandbox show that it is what the task asks for (`Proof.how`)."""

    def reaches(self, needed: "Level") -> bool:
        """Say whether this is at least `needed`."""
        order = list(Level)
        return order.index(self) >= order.index(needed)


class Case(Value):
    """One input on which both sides of an instance were run; all fields are JSON."""

    call: str
    """The arguments, a list."""
    expected: str
    """What the right code gives: of repair the fixed side, of a translation its source."""
    other: str | None = None
    """What the other code gives: the wrong side, the translation, a stub, the rewritten one."""


class Proof(Value):
    """What running the code showed."""

    level: Level
    how: str
    """`tests_pass_stub_fails` (generation), `bug_shows` (repair), `same_results` (translation),
    `round_trip` (summarization), or `ran`."""
    cases: tuple[Case, ...]
    detail: str
    """In a sentence what was run; where the level is not the highest, why."""


class Instance(Record):
    """One instruction of the dataset (CodeOcean): instruction, information, solution.

    Accepted instances are the records of `generate`; a refused one travels inside `Rejected`.
    """

    task: str
    """`generation`, `summarization`, `translation` or `repair` (or a task of your own)."""
    language: str
    """Language of the raw code."""
    target_language: str | None
    """Language of the solution where it differs (translation), else None."""
    instruction: str
    information: str | None
    """The input given with the instruction; None when the instruction stands alone."""
    solution: str
    raw_code: RawCode
    bug: str | None
    """Repair only: the class of the edit that made the information wrong."""
    reply: str
    """The generator's raw reply."""
    verdict: Verdict | None
    """None until judged."""
    generator: str
    """Identity of the model that wrote it."""
    discriminator: str | None
    """Identity of the model that judged it; None until judged."""
    round: int
    """Which round of the example database the generator saw, from 0."""
    attempt: int
    """Which attempt at this raw code this is, from 0."""
    example_ids: tuple[str, ...]
    """The examples in the prompts, generator's and discriminator's."""
    retried: bool = False
    """It failed at first and was made after its round; no other prompt shows it."""
    proof: Proof | None = None
    """What running its code showed; None where nothing was run."""
    regenerated: str | None = None
    """`rewritten` where a stronger model wrote the solution anew (`regenerate`); where its solution
    was refused and the old one stays, the reason's slug; None where it was not asked."""

    @property
    def level(self) -> Level:
        """Return what is known of it beside opinions."""
        return self.proof.level if self.proof is not None else Level.PARSED


Rejected.model_rebuild()  # it names Instance, which stands below it


class Example(Record):
    """A good or bad instance with its analysis, shown to the models in later rounds."""

    task: str
    language: str
    target_language: str | None
    good: bool
    name: str
    """The raw code's name, without the classes around it."""
    docstring: str | None
    """The first paragraph of the raw code's doc comment."""
    code: str
    """The raw code it was made from."""
    instruction: str
    information: str | None
    solution: str
    rules: tuple[RuleVerdict, ...]
    """The judgement rule by rule; empty where a check by program refused it."""
    analysis: str
    """Why it is good or bad, in a sentence or two."""
    case: Case | None = None
    """An input that tells its two codes apart, where running them gave one."""


class Dialogue(Record):
    """An instance, or a row of another dataset, as `train` gave it to a model: how long it is.

    Its text is not repeated here. `id` is the instance's, or `DATASET:ROW`.
    """

    source: str
    """`generate`, `regenerate`, or the other dataset's path or name."""
    task: str
    """The instance's task; `other` for a row of another dataset."""
    tokens: int
    """Of the whole dialogue in the template, the end token included."""
    response_tokens: int
    """Those with loss: the responses and their end tokens."""
    held_out: bool
    """It is not trained on; its loss is measured."""
    uses: tuple[int, ...]
    """How often an epoch of each variant has it, in the order of the recipe's variants."""


class Checkpoint(Value):
    """A model that `train` made, or started from: `files/checkpoints.json` of its artifact."""

    name: str
    """`base`, or the variant's: `tuned`."""
    model: str
    """A folder as transformers saves it: absolute for `base`, else relative to `files`."""
    label: str
    """What a person calls it: the base's name, or base and variant."""
    dialogues: int
    """Dialogues in an epoch; 0 for `base`."""
    weights: dict[str, float] = {}
    """The variant's weights of the tasks, where the recipe gives any."""


class Problem(Record):
    """One item of a benchmark. Its id is the benchmark's own: `HumanEval/12`, `Go/3`, `Mbpp/11`.

    The fields bear the names that HumanEval and HumanEvalPack give them; one that a benchmark does
    not have is empty.
    """

    benchmark: str
    """`humaneval`, `mbpp+`, `humanevalfix-go`."""
    language: str
    """A name from `wavecoder.languages`."""
    prompt: str
    """HumanEval: imports, helpers, signature and docstring; MBPP: the task in a sentence."""
    entry_point: str
    """The function that the tests call."""
    canonical_solution: str
    """HumanEval: the function's body; MBPP: a whole program."""
    test: str
    """The tests as the benchmark has them, one program text; MBPP: the asserts, a line each."""
    test_setup: str = ""
    """What the tests need first: MBPP's set-up (it runs after the candidate), Go's imports."""
    declaration: str = ""
    """HumanEvalPack: imports, helpers and signature, without the docstring."""
    imports: str = ""
    """HumanEvalPack, Go: the import block of the prompt."""
    docstring: str = ""
    instruction: str = ""
    """HumanEvalPack: the words of HumanEvalSynthesize."""
    buggy_solution: str = ""
    bug_type: str = ""
    inputs: tuple[tuple[Any, ...], ...] = ()
    """HumanEval+ and MBPP+: arguments the function is called with, the base ones first."""
    base_inputs: int = 0
    """How many of `inputs` are the base benchmark's own."""
    atol: float = 0.0
    """HumanEval+ and MBPP+: how far floats may be off."""


class Mode(StrEnum):
    """By which rule a program passes."""

    PUBLISHED = "published"
    """The benchmark's own, so that numbers compare with papers."""
    STRICT = "strict"
    """Tests are decided where the program cannot reach, and it ends as it should."""


class Status(StrEnum):
    """How a program's execution ended."""

    PASSED = "passed"
    WRONG = "wrong"
    """A test refused what it gave back."""
    ERROR = "error"
    """An exception, a signal, or an end before the tests were through."""
    COMPILE_ERROR = "compile_error"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT = "output"
    """It wrote more than it may."""
    VIOLATION = "violation"
    """It was ended because of what it tried to do."""
    HARNESS = "harness"
    """Our fault or the machine's; never counted as the program's."""


class Execution(Value):
    """One run of a program in the sandbox."""

    status: Status
    detail: str = ""
    """One sentence, or the last words of the program's own message."""
    seconds: float
    """Wall time, compilation included."""
    cpu_seconds: float
    isolated: bool
    """False where it ran outside a sandbox, by the user's leave."""
    attempts: int = 1
    """2 where it was run again alone."""


class Trial(Record):
    """One sampled completion of a problem, with its executions."""

    benchmark: str
    task_id: str
    language: str
    index: int
    """Which of the n samples, from 0."""
    completion: str
    """The model's raw text."""
    program: str
    """The candidate program extracted from it, without tests."""
    bug_type: str = ""
    """HumanEvalPack: the kind of bug in the problem's buggy solution."""
    published: Execution | None = None
    """Its execution by the benchmark's own rule; None where it was not run so."""
    strict: Execution | None = None
    model: str = ""
    """The checkpoint's name, where several of a run are measured; its id begins with it."""

    @property
    def executions(self) -> dict[Mode, Execution]:
        """Return its executions by mode."""
        both = {Mode.PUBLISHED: self.published, Mode.STRICT: self.strict}
        return {mode: one for mode, one in both.items() if one is not None}


class Figure(Record):
    """A number in the report."""

    stage: str
    name: str
    value: float


class FinishReason(StrEnum):
    """Why a reply ended: `stop` is the model's own end, `length` a cut at max_tokens."""

    STOP = "stop"
    LENGTH = "length"


class Message(Value):
    """One turn of a chat."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


class Sampling(Value):
    """How a reply is drawn; it decides the output, so it is part of the request's key."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy decoding."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(gt=0)] = 512
    """Most tokens in the reply."""
    seed: int = 0
    """Random seed of the sampler."""
    stop: tuple[str, ...] | None = None
    """Texts that end the reply and are not part of it."""


class ChatRequest(Value):
    """One question to a chat model."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    reply_schema: dict[str, Any] | None = None
    """A JSON schema that the reply should fit, where the model can be held to one."""
    raw: bool | None = None
    """True: the only message is a text to go on with, not a turn of a chat."""
    attempt: int = 0
    """Which attempt at the same input asks; another attempt is another request."""


class ChatReply(Value):
    """One answer, with what it cost."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    """None where the endpoint does not say."""
    completion_tokens: int | None
    seconds: float
    """Wall time the model took."""
    endpoint: str | None = None
    """The address that answered; None for a model in this process."""

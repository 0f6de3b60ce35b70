"""The pipeline: its stages in order, the recipe that configures them, and `run`.

```text
collect ──► select ──► generate (──► regenerate) ──► train ──► evaluate ──► report
raw code    coreset    instances                     checkpoints   trials   figures, one HTML page
```

`wavecoder run recipes/quickstart.yaml -o runs/quickstart` calls `run` below.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import IO, Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict

from wavecoder.artifact import Artifact, Manifest, read_json, writing
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.journal import Journal
from wavecoder.plugins import configure, nearest, plugin_names, validate
from wavecoder.progress import Recorded, Silent
from wavecoder.protocols import Limits, Progress, Stage
from wavecoder.records import FAILED_REASONS, Rejected
from wavecoder.stage import Context, OnExisting, retry_stage, run_stage

__all__ = [
    "STAGES",
    "Recipe",
    "RunOptions",
    "StageInfo",
    "artifacts",
    "check_ledger",
    "check_models",
    "check_run",
    "context",
    "failures",
    "holding",
    "read_recipe",
    "retry",
    "run",
    "stage_folder",
    "stages",
]


class StageInfo(NamedTuple):
    """A stage's name (also its recipe table and its plugin name) and its work."""

    name: str
    summary: str


STAGES = (
    StageInfo("collect", "cut functions out of source code, filter them, drop duplicates"),
    StageInfo("select", "embed the functions and pick the most diverse ones (k-center greedy)"),
    StageInfo("generate", "write an instance for each, judge it rule by rule, feed it back"),
    StageInfo("regenerate", "have a stronger model write the solutions anew (WaveCoder-Pro)"),
    StageInfo("train", "tune a base model on the instances, with its loss measured on some"),
    StageInfo("evaluate", "sample a model's answers to benchmarks and run them in a sandbox"),
    StageInfo("report", "count what happened and show it on one HTML page"),
)


class Recipe(BaseModel):
    """What decides the dataset: the random seed and one table a stage.

    A stage without a table is left out of the run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int = 0
    """Random seed of everything."""
    collect: dict[str, Any] | None = None
    select: dict[str, Any] | None = None
    generate: dict[str, Any] | None = None
    regenerate: dict[str, Any] | None = None
    train: dict[str, Any] | None = None
    evaluate: dict[str, Any] | None = None
    report: dict[str, Any] | None = None

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return the tables that are there, by stage, in pipeline order."""
        found = ((stage.name, getattr(self, stage.name)) for stage in STAGES)
        return {name: table for name, table in found if table is not None}


def read_recipe(path: Path, overrides: Sequence[str] = (), model: str | None = None) -> Recipe:
    """Return the recipe in `path`, with `stage.key=value` overrides applied.

    Args:
        path: A YAML file.
        overrides: Each `stage.key=value`; the value is YAML.
        model: The model of both roles in `generate`, in place of the recipe's.

    Raises:
        ConfigError: The file is missing, is not YAML, or has an unknown or mistyped key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"Cannot read the recipe {path}: {reason}. Check the path.") from error
    table = _yaml(text, str(path)) or {}
    if not isinstance(table, dict):
        raise ConfigError(f"The recipe {path} holds no table of stages. See recipes/ for some.")
    for override in overrides:
        _override(table, override)
    if model is not None:
        if not isinstance(table.get("generate"), dict):
            raise ConfigError(f"The recipe {path} has no table generate that --model could change.")
        table["generate"] |= {"generator": model, "discriminator": None}
    # `report:` with nothing behind it means the stage with its defaults.
    names = {stage.name for stage in STAGES}
    table = {key: {} if key in names and value is None else value for key, value in table.items()}
    return validate(Recipe, table, "recipe")


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    # A ValueError comes from a date like 2020-13-45.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = str(error).replace("\n", " ")
        raise ConfigError(f"{where} is not YAML: {problem}. Mend it there.") from error


def _override(table: dict[str, Any], override: str) -> None:
    """Set `a.b=value` in a nested table; the value is read as YAML."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"-s {override} is not of the form stage.key=value. Write it so.")
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(table.get(parent), dict):
            table[parent] = {}
        table = table[parent]
    table[last] = _yaml(value, f"-s {override}")


@dataclass
class RunOptions:
    """How a run is run; nothing here decides the records."""

    progress: Progress = field(default_factory=Silent)
    stop: Event = field(default_factory=Event)
    on_existing: OnExisting = OnExisting.RESUME
    limits: Limits = field(default_factory=Limits)
    processes: int = 1
    replies: Path | None = None
    """SQLite file of model replies; None puts `replies.sqlite` into the run folder."""


def stages(recipe: Recipe, first: str | None = None, last: str | None = None) -> list[Stage]:
    """Return the recipe's stages, built and checked, from `first` to `last` inclusive.

    Raises:
        ConfigError: A table does not fit its stage, or no stage is left to run.
    """
    order = [stage.name for stage in STAGES]
    for name in (first, last):
        if name is not None and name not in order:
            raise ConfigError(
                f"There is no stage {name!r}.{nearest(name, order)} Stages: {', '.join(order)}."
            )
    low, high = order.index(first or order[0]), order.index(last or order[-1])
    wanted = order[low : high + 1]
    for name, table in recipe.tables().items():
        if name in wanted:
            _check_addresses(name, table)
    found = [
        configure("stages", name, table, name)
        for name, table in recipe.tables().items()
        if name in wanted
    ]
    if not found:
        raise ConfigError("The recipe has no table for a stage that is to run. Add one.")
    return found


def _check_addresses(stage: str, table: Mapping[str, Any]) -> None:
    """Refuse an address without http://, which would be taken for a kind of model."""
    from wavecoder.llm.address import with_scheme

    keys = {"generate": ("generator", "discriminator"), "regenerate": ("teacher",)}
    for key in keys.get(stage, ()):
        spec = table.get(key)
        if not isinstance(spec, str) or spec.partition(":")[0] in plugin_names("models"):
            continue
        whole = with_scheme(spec)
        if whole is not None:
            raise ConfigError(
                f"{stage}.{key} is {spec!r}, which does not begin with http:// or https://; "
                f"write {whole}."
            )


def check_models(stage: Stage, replies: Path, limits: Limits) -> None:
    """Refuse now what would end a stage that asks models before it asks; for others do nothing.

    Nothing is sent, and a ledger that is not there is not made.

    Raises:
        ConfigError: The user's prices cannot be read, or there is a cap on cost and a model's price
            is unknown.
        ArtifactError: The ledger of replies is damaged, or no ledger of this version.
    """
    models = getattr(stage, "models", ())
    if not models:
        return
    from wavecoder.llm import Budget

    prices = stage.prices(limits.prices)  # type: ignore[attr-defined]  # who has models has prices
    budget = Budget(prices=prices, max_cost=limits.max_cost, max_tokens=limits.max_tokens)
    for model in models:
        budget.check(model.identity)
    check_ledger(replies)


def check_ledger(replies: Path) -> None:
    """Refuse a ledger of replies that cannot be used; one that is not there is not made.

    Raises:
        ArtifactError: It is damaged, or no ledger of this version.
    """
    from wavecoder.llm import Ledger

    if replies.exists():
        with Ledger(replies) as ledger:
            ledger.usage()  # goes through all of it


def stage_folder(out: Path, name: str) -> Path:
    """Return the numbered folder of a stage in a run: `runs/demo/2-select`."""
    number = [stage.name for stage in STAGES].index(name) + 1
    return out / f"{number}-{name}"


def artifacts(out: Path) -> dict[str, Artifact]:
    """Return the complete artifacts of a run, by stage name, in pipeline order.

    Raises:
        ConfigError: The folder cannot be read.
    """
    folders = {stage.name: stage_folder(out, stage.name) for stage in STAGES}
    try:
        return {
            name: Artifact.open(folder)
            for name, folder in folders.items()
            if (folder / "manifest.json").exists()
        }
    except OSError as error:
        raise ConfigError(
            f"Cannot look into {out}: {error.strerror}. Check the path and its permissions."
        ) from error


def check_run(out: Path) -> None:
    """Refuse a folder that is not that of a run.

    Raises:
        ConfigError: There is no such folder, no run in it, or it cannot be read.
    """
    do = "Give the folder named with -o in `wavecoder run`."
    signs = [".lock", *_stage_folders()]
    try:
        found = {path.name for path in out.iterdir()}
    except FileNotFoundError as error:
        raise ConfigError(f"There is no folder {out}. {do}") from error
    except NotADirectoryError as error:
        raise ConfigError(f"{out} is no folder. {do}") from error
    except OSError as error:
        raise ConfigError(f"Cannot look into {out}: {error.strerror}. {do}") from error
    if found.isdisjoint(signs):
        raise ConfigError(f"{out} holds no run. {do}")


def _stage_folders() -> list[str]:
    return [stage_folder(Path(), stage.name).name for stage in STAGES]


def run(
    recipe: Recipe,
    out: Path,
    options: RunOptions,
    *,
    first: str | None = None,
    last: str | None = None,
) -> Mapping[str, Artifact]:
    """Bring the stages of `recipe` in the folder `out` to completion; return their artifacts.

    Raises:
        ConfigError: The recipe does not fit, the prices of its models are not known as they must
            be, or `out` cannot be used.
        StaleArtifactError: `out` holds a run of another recipe.
        ArtifactError: The ledger of replies is damaged, or another process works on the run.
        StoppedError: The user asked to stop; the same call goes on from there.
    """
    todo = stages(recipe, first, last)
    for stage in todo:
        # One that is complete asks nothing, and then needs no prices and no ledger.
        whole = (stage_folder(out, stage.name) / "manifest.json").exists()
        if not whole or options.on_existing is OnExisting.REPLACE:
            check_models(stage, options.replies or out / "replies.sqlite", options.limits)
            if hasattr(stage, "fetch"):
                stage.fetch()
    with holding(out):
        upstream = {} if first is None else _upstream(recipe, out, first)
        for stage in todo:
            ctx = _context(stage, recipe.seed, out, upstream, options)
            upstream[stage.name] = run_stage(stage, ctx, options.on_existing)
            if stage.name == "generate":
                _say_if_nothing_was_kept(upstream[stage.name].manifest, out, options.progress)
    return upstream


def _upstream(recipe: Recipe, out: Path, first: str) -> dict[str, Artifact]:
    """Return the artifacts of the recipe's stages before `first`, which must be complete."""
    names = [stage.name for stage in STAGES]
    before = names[: names.index(first)]
    found = [name for name in recipe.tables() if name in before]
    return {name: Artifact.open(stage_folder(out, name)) for name in found}


def context(stage: Stage, recipe: Recipe, out: Path, options: RunOptions) -> Context:
    """Return what a stage would be run with, once those before it are complete.

    Raises:
        ArtifactError: One of them is not.
    """
    return _context(stage, recipe.seed, out, _upstream(recipe, out, stage.name), options)


def _say_if_nothing_was_kept(manifest: Manifest, out: Path, progress: Progress) -> None:
    """Say what most functions were rejected for, and where to look, if none was accepted."""
    if manifest.kept or not manifest.inputs:
        return
    reason, count = max(manifest.rejected.items(), key=lambda item: item[1])
    look = "`wavecoder preview RECIPE` prints some with all that was asked and answered"
    if reason in FAILED_REASONS:
        look = f"`wavecoder failed {out}` says what went wrong with each of these"
    progress.note(
        f"generate: none of {manifest.inputs:,} functions was accepted, most often for the reason "
        f"{reason} ({count:,}); `wavecoder show {out}` counts every reason, and {look}."
    )


_ASKING = ("generate", "regenerate", "evaluate")
"""The stages whose outcomes rest on a model's replies."""


def retry(out: Path, options: RunOptions) -> Mapping[str, Artifact]:
    """Ask again for the inputs of a run that failed, and make anew what stands behind them.

    The recipe is read from the run's folder. What was accepted or refused stays as it is, and
    nothing is asked that was not asked before.

    Returns:
        The artifacts up to the last that is complete.

    Raises:
        ConfigError: The run has no stage that asks models, or its prices are not known as they
            must be.
        ArtifactError: The ledger of replies is damaged, or another process works on the run.
        StoppedError: The user asked to stop; the same call, or `run`, goes on from there.
    """
    next(failures(out), None)  # before a folder is made where there is no run
    with holding(out):
        asked = [name for name in _ASKING if _has_begun(stage_folder(out, name))]
        failed = [name for name in asked if next(_failures_of(out, name), None) is not None]
        if not failed:
            options.progress.note("nothing has failed")
        name = failed[0] if failed else asked[0]
        folder = stage_folder(out, name)
        whole = folder / "manifest.json"
        began = read_json(whole if whole.exists() else folder / "started.json")
        upstream = _up_to(out, began["upstream"])
        stage = configure("stages", name, _config(folder), name)
        after = [
            configure("stages", later, _config(behind), later)
            for later in _names(behind=name)
            if (behind := stage_folder(out, later)).joinpath("config.yaml").exists()
        ]
        if failed or not whole.exists():
            check_models(stage, options.replies or out / "replies.sqlite", options.limits)
            for one in after:
                _forget(stage_folder(out, one.name))  # first: a kill could leave it as complete
        seed = int(began["seed"])
        ctx = _context(stage, seed, out, upstream, options)
        nothing_to_do = whole.exists() and not failed
        made = run_stage(stage, ctx) if nothing_to_do else retry_stage(stage, ctx)
        if made is None:
            options.progress.note("the rest of the functions is for `wavecoder run` to go on with")
            return upstream
        upstream[name] = made
        if name == "generate":
            _say_if_nothing_was_kept(made.manifest, out, options.progress)
        for one in after:
            ctx = _context(one, seed, out, upstream, options)
            upstream[one.name] = run_stage(one, ctx)
    return upstream


def _has_begun(folder: Path) -> bool:
    return (folder / "manifest.json").exists() or (folder / "started.json").exists()


def _names(*, behind: str) -> Sequence[str]:
    names = [stage.name for stage in STAGES]
    return names[names.index(behind) + 1 :]


def _up_to(out: Path, fingerprint: str | None) -> dict[str, Artifact]:
    """Return the complete artifacts of a run up to the one of that fingerprint."""
    found: dict[str, Artifact] = {}
    for name, artifact in artifacts(out).items():
        found[name] = artifact
        if artifact.manifest.fingerprint == fingerprint:
            return found
    return {}


def failures(out: Path) -> Iterator[Rejected]:
    """Yield the inputs of a run, complete or not, to which no model replied.

    Raises:
        ConfigError: The folder holds no run, or one that asked no models.
    """
    check_run(out)
    asked = [name for name in _ASKING if _has_begun(stage_folder(out, name))]
    if not asked:
        raise ConfigError(
            f"The run {out} has asked no models yet. `wavecoder status {out}` says how far it is."
        )
    for name in asked:
        yield from _failures_of(out, name)


def _failures_of(out: Path, name: str) -> Iterator[Rejected]:
    """Yield those of one stage that has begun."""
    folder = stage_folder(out, name)
    if (folder / "manifest.json").exists():
        yield from (one for one in Artifact.open(folder).rejected() if one.failed)
        return
    journal = Journal(folder)
    heads = [head for head in journal.heads() if head.reason in FAILED_REASONS]
    for _, line in journal.lines(heads):
        yield Rejected.model_validate(line["record"])


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    try:
        table: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArtifactError(
            f"Cannot read {path}: {error}. Run the recipe again with --on-existing replace."
        ) from error
    return table


def _forget(folder: Path) -> None:
    """Have a stage made anew whose input changed, under the same fingerprint.

    All of it goes, as a journal or a checkpoint would belong to the inputs that were; its config
    stays, which says that the run has the stage.
    """
    with writing(folder):
        for name in ("manifest.json", "started.json"):
            (folder / name).unlink(missing_ok=True)
        for one in folder.iterdir():
            if one.is_dir():
                shutil.rmtree(one)
            elif one.name != "config.yaml":
                one.unlink()


def _context(
    stage: Stage, seed: int, out: Path, upstream: Mapping[str, Artifact], options: RunOptions
) -> Context:
    return Context(
        folder=stage_folder(out, stage.name),
        seed=seed,
        stage=stage.name,
        upstream=dict(upstream),
        replies=options.replies or out / "replies.sqlite",
        progress=Recorded(options.progress, out / "progress.json"),
        stop=options.stop,
        limits=options.limits,
        processes=options.processes,
    )


@contextmanager
def holding(out: Path) -> Iterator[None]:
    """Make the run folder and hold it: two processes in one run would mix their journals.

    Raises:
        ConfigError: The folder lies in that of a stage, or cannot be written.
        ArtifactError: Another process holds it.
    """
    try:
        stage = _stage_around(out)
        if stage is not None:
            raise ConfigError(
                f"{out} would lie in {stage}, the folder of a stage of another run. "
                f"Name one outside of that with -o."
            )
        out.mkdir(parents=True, exist_ok=True)
        file = (out / ".lock").open("a")
    except OSError as error:
        raise ConfigError(
            f"Cannot write to the run folder {out}: {error.strerror}. Name another with -o."
        ) from error
    with file:
        try:
            _lock(file)
        except OSError as error:
            raise ArtifactError(
                f"Another process is working on {out}. Wait for it, or name another folder with -o."
            ) from error
        yield


def _stage_around(out: Path) -> Path | None:
    """Return the stage folder of a run that `out` is or lies in."""
    whole = Path(os.path.realpath(out))
    names = _stage_folders()
    for folder in (whole, *whole.parents):
        signs = (folder.parent / ".lock", folder / "manifest.json", folder / "started.json")
        if folder.name in names and any(sign.exists() for sign in signs):
            return folder
    return None


def _lock(file: IO[str]) -> None:
    """Lock a file for this process; who only looks whether it is locked holds it for a moment."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.05)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

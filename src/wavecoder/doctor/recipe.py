"""Whether a recipe fits, its sources are there and its models answer."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wavecoder.doctor.findings import Findings, fail, ok, tried
from wavecoder.doctor.models import Role, look_at_model
from wavecoder.pipeline import Recipe, read_recipe, stages

__all__ = ["look_at_recipe"]

_ROLES = ("generator", "discriminator", "teacher")


def look_at_recipe(
    path: Path, overrides: Sequence[str] = (), model: str | None = None, *, ask: bool = True
) -> Findings:
    """Yield whether a recipe fits, its sources are there and its models answer.

    Args:
        path: The recipe.
        overrides: Each `stage.key=value`.
        model: The model of both roles in `generate`, in place of the recipe's.
        ask: Send each model one small request; without, an endpoint is asked for its list of
            models alone.
    """
    loaded: list[Recipe] = []
    yield from tried("recipe", partial(_recipe, path, overrides, model, loaded))
    for recipe in loaded:
        for name in recipe.tables():
            # One at a time, so that what is wrong with one hides nothing of the others.
            built: list[Any] = []
            yield from tried(name, partial(_stage, recipe, name, built))
            for stage in built:
                for role in _roles(stage):
                    yield from tried(role.name, partial(look_at_model, role, ask=ask))


def _recipe(
    path: Path, overrides: Sequence[str], model: str | None, loaded: list[Recipe]
) -> Findings:
    """Read the recipe into `loaded`."""
    recipe = read_recipe(path, overrides, model)
    names = ", ".join(recipe.tables())
    if not names:
        yield fail("recipe", f"{path} has no table of a stage", "Add one; see recipes/.")
        return
    loaded.append(recipe)
    yield ok("recipe", f"{path} has tables for {names}")


def _stage(recipe: Recipe, name: str, built: list[Any]) -> Findings:
    """Build a stage into `built`; what decides its output must be there."""
    (stage,) = stages(recipe, name, name)
    built.append(stage)
    stage.identity()  # lists the sources, looks for the files of models
    sources = getattr(stage.config, "sources", None)
    more = f", and its sources are there ({len(sources)})" if sources else ""
    yield ok(name, f"its table fits{more}")


def _roles(stage: Any) -> list[Role]:
    """Return the models that a stage asks, each once, though it may have both roles."""
    found: dict[int, Role] = {}
    for name in _ROLES:
        model = getattr(stage, name, None)
        if model is None:
            continue
        if id(model) in found:
            found[id(model)].name += f" and {name}"
            continue
        config = stage.config
        spec = getattr(config, name, None) or config.generator
        own = getattr(config, f"{name}_api_key_env", None)
        key_env = own or getattr(config, "api_key_env", None)
        found[id(model)] = Role(name, model, spec, key_env)
    return list(found.values())

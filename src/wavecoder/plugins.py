"""A name, or `module:attribute`, becomes an object; built-ins use the same door as yours.

A package adds, say, a filter by declaring an entry point in the group `wavecoder.filters`.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from wavecoder.errors import ConfigError, MissingExtraError, PluginError

M = TypeVar("M", bound=BaseModel)

__all__ = ["configure", "load_plugin", "nearest", "plugin_names", "validate"]


_LONG = 60  # characters of a value in a message
_WORDS = {
    **dict.fromkeys(("tuple_type", "list_type", "set_type"), "a list should be there"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type"), "a table should be there"),
}
"""What stands in YAML, where pydantic names Python's types."""


def nearest(name: str, known: list[str]) -> str:
    """Return ` Did you mean 'x'?`, or `` when nothing in `known` is near `name`, in any case."""
    small = {one.lower(): one for one in reversed(known)}
    close = get_close_matches(name.lower(), small, n=1)
    return f" Did you mean {small[close[0]]!r}?" if close else ""


def plugin_names(group: str) -> list[str]:
    """Return the sorted names registered in `wavecoder.<group>`."""
    return sorted({point.name for point in entry_points(group=f"wavecoder.{group}")})


def load_plugin(group: str, name: str) -> object:
    """Return the object called `name` in `wavecoder.<group>`, or at `module:attribute`.

    Raises:
        PluginError: The name is unknown, or the plugin fails to import.
        MissingExtraError: The plugin needs an extra that is not installed.
    """
    if ":" in name:
        point = EntryPoint(name, name, group)
    else:
        found = entry_points(group=f"wavecoder.{group}", name=name)
        if not found:
            known = plugin_names(group)
            raise PluginError(
                f"There is no {group.rstrip('s')} {name!r}.{nearest(name, known)} "
                f"Known: {', '.join(known)}; or give module:attribute."
            )
        point = next(iter(found))
    try:
        module = import_module(point.module)
        return getattr(module, point.attr)
    except MissingExtraError:
        raise
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"The {group.rstrip('s')} {name!r} does not load: {error}. "
            f"Check that its package is installed."
        ) from error


def configure(group: str, name: str, table: Mapping[str, Any], where: str) -> Any:
    """Return the plugin `name` of `group`, built from its table of the recipe.

    Args:
        group: `stages`, `sources`, `filters`, `embedders`.
        name: A registered name or `module:attribute`.
        table: The values of the plugin's `Config`.
        where: The table's place in the recipe, for messages: `collect.sources[0]`.

    Raises:
        PluginError: The plugin is unknown or does not load.
        ConfigError: The table does not fit the plugin's `Config`.
    """
    plugin: Any = load_plugin(group, name)
    return plugin(validate(plugin.Config, table, where))


def validate(model: type[M], table: Mapping[str, Any], where: str) -> M:
    """Return `table` as a `model`, or say in one sentence what is wrong with it.

    Raises:
        ConfigError: A key is unknown (the nearest known one is named), missing or mistyped.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        # A key that is unknown is most likely the one that is missing, mistyped.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    # Pydantic puts the arm of a union it tried into the place: `dict[str,any]`.
    parts = [str(part) for part in first["loc"] if "[" not in str(part)]
    place = ".".join([where, *parts])
    if first["type"] == "extra_forbidden":
        known = sorted(_fields_at(model, first["loc"][:-1]))
        raise ConfigError(
            f"{place} is not a known key.{nearest(str(first['loc'][-1]), known)} "
            f"Known there: {', '.join(known)}."
        )
    if first["type"] == "missing":
        raise ConfigError(f"{place} is required and is not there. Add it.")
    message = _WORDS.get(first["type"], first["msg"].removeprefix("Value error, ")).rstrip(".")
    got = repr(first["input"])
    shown = "" if isinstance(first["input"], Mapping) or len(got) > _LONG else f", got {got}"
    raise ConfigError(f"{place}: {message}{shown}. Mend it there.")


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the model found by walking `path` from `model`."""
    here: Any = model
    for part in path:
        field = getattr(here, "model_fields", {}).get(part)
        here = field.annotation if field else here
        while not hasattr(here, "model_fields") and get_args(here):
            here = next(
                (arm for arm in get_args(here) if hasattr(arm, "model_fields")), get_args(here)[-1]
            )
    return list(getattr(here, "model_fields", {}))

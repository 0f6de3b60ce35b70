"""Who answers prompts: a name becomes a model, and no reply is paid for twice.

`open_model` takes `local:NAME`, `local:FILE.gguf`, `http://host:port/v1#name`, `scripted:FILE` or
the name of a model plugin; `Remembering` puts a `Ledger` in front of it.
Swap in your own: a class of one constructor, `Model(spec, api_key_env)`, with the methods of
`wavecoder.protocols.ChatModel`, registered in the entry-point group `wavecoder.models`.
"""

from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.llm import catalogue
from wavecoder.llm.budget import Budget
from wavecoder.llm.http import HttpModel
from wavecoder.llm.ledger import Ledger
from wavecoder.llm.local import LocalModel
from wavecoder.llm.prices import Price, Prices
from wavecoder.llm.remembering import Remembering
from wavecoder.llm.scripted import ScriptedModel
from wavecoder.llm.slots import Slots
from wavecoder.plugins import load_plugin, nearest, plugin_names
from wavecoder.protocols import ChatModel

__all__ = [
    "Budget",
    "HttpModel",
    "Ledger",
    "LocalModel",
    "Price",
    "Prices",
    "Remembering",
    "ScriptedModel",
    "Slots",
    "open_model",
]


def open_model(spec: str, *, api_key_env: str | None = None) -> ChatModel:
    """Return the model that `spec` names; nothing is loaded or sent yet.

    Args:
        spec: `NAME:…`, where NAME is registered in `wavecoder.models`, or
            `package.module:Class[:…]`. The class gets the whole of it.
        api_key_env: Name of the environment variable that holds the endpoint's key; models that
            need none ignore it.

    Raises:
        ModelNotFoundError: The model's name or file does not exist.
        ConfigError: `spec` is malformed, or the variable is not set.
        PluginError: No model plugin of that name is registered.
        MissingExtraError: The model needs an extra that is not installed.
    """
    scheme, _, rest = spec.partition(":")
    if not scheme or not rest:
        known = [f"local:{name}" for name in catalogue.entries()]
        raise ConfigError(
            f"{spec!r} does not say what kind of model it is.{nearest(f'local:{spec}', known)} "
            f"Write KIND:NAME; kinds: {', '.join(plugin_names('models'))}."
        )
    dotted = "." in scheme and all(part.isidentifier() for part in scheme.split("."))
    plugin = f"{scheme}:{rest.partition(':')[0]}" if dotted else scheme
    model: Any = load_plugin("models", plugin)
    opened: ChatModel = model(spec, api_key_env)
    return opened

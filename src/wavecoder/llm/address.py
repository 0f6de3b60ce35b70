"""How an endpoint is named: its address, the model's name behind `#`, and where its key is."""

import os
from urllib.parse import urlsplit, urlunsplit

from wavecoder.errors import ConfigError

__all__ = ["api_key", "parse"]


def parse(spec: str, route: str) -> tuple[str, str, str]:
    """Return the URL to post to, the address to show, and the model's name."""
    form = "Write it as http://host:port/v1#name."
    try:
        parts = urlsplit(spec)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # as it is looked up
    except ValueError as error:
        raise ConfigError(f"{spec!r} is no address ({error}). {form}") from error
    if parts.username or parts.password:
        raise ConfigError(
            f"The address of a model holds no user or password, the one at {host} does. "
            f"Put the key into an environment variable and name that one with api_key_env."
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{spec!r} is no address. {form}")
    if not parts.fragment:
        raise ConfigError(f"{spec!r} names no model. {form}")
    path = parts.path.rstrip("/").removesuffix(route)
    url = urlunsplit((parts.scheme, parts.netloc, path + route, parts.query, ""))
    # Without the query, which may hold a key.
    shown = f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"
    return url, shown, parts.fragment


def api_key(variable: str | None) -> str | None:
    """Return the key in the environment variable `variable`."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"The environment variable {variable} (api_key_env) is not set. "
            f"Put the endpoint's key into it."
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"The environment variable {variable} holds characters that no key has. "
            f"Put the endpoint's key into it, on one line."
        )
    return key

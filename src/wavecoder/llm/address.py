"""How an endpoint is named: its address, the model's name behind `#`, and where its key is."""

import os
import re
from urllib.parse import urlsplit, urlunsplit

from wavecoder.errors import ConfigError

__all__ = ["api_key", "parse", "with_scheme"]

_SCHEMES = ("http://", "https://")
_HOST_AND_PORT = re.compile(r"(?:[\w.-]+|\[[\da-fA-F:.]+\]):\d+(?:/.*)?")
_NEAR_HOST = re.compile(r"(?:localhost|\d+(?:\.\d+){3}|\[[\da-fA-F:.]+\])(?:/.*)?")
_FAR_HOST = re.compile(r"[\w.-]+\.[a-zA-Z]{2,}(?:/.*)?")


def with_scheme(spec: str) -> str | None:
    """Return `spec` with the `http://` that its addresses lack, or None if that is not it.

    `localhost:8000/v1#name` would be read as a model of the kind `localhost`.
    """
    addresses, _, name = spec.partition("#")
    each = [one.strip() for one in addresses.split(",")]
    whole = [_whole(one, sure=bool(name)) for one in each]
    if None in whole or whole == each:
        return None
    return f"{','.join(map(str, whole))}#{name or 'name'}"


def _whole(address: str, *, sure: bool) -> str | None:
    """Return an address with its scheme; None if it looks like none.

    Args:
        address: Without the model's name.
        sure: A name stands behind it, so it is one if its host alone could be.
    """
    if address.startswith(_SCHEMES):
        return address
    if _HOST_AND_PORT.fullmatch(address) or (sure and _NEAR_HOST.fullmatch(address)):
        return f"http://{address}"
    # A key would go to it, and is not to be read on its way.
    return f"https://{address}" if sure and _FAR_HOST.fullmatch(address) else None


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
        whole = with_scheme(spec)
        if whole is not None:
            raise ConfigError(f"{spec!r} does not begin with http:// or https://; write {whole}.")
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

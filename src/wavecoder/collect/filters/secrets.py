"""The filter `secrets`: functions with a key, a token or a password written into them.

What is collected is sent to a model, often somebody else's, and ends up in a dataset.
"""

from wavecoder.collect.filters.functions import NoOptions
from wavecoder.languages.secrets import has_secret, secret_in
from wavecoder.records import RawCode

__all__ = ["Secrets", "shown"]


class Secrets:
    """Rejects functions with a secret in their code or their doc comment.

    On by default; `wavecoder.languages.secrets` says what is known for one.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `secret`, with what it is and where; never the secret itself."""
        found = secret_in(raw.code, raw.docstring)
        return None if found is None else ("secret", found)


def shown(what: str, text: str) -> str:
    """Return what is wrong with a text, without the quotation where the text holds a secret."""
    if "unexpected" not in what or not has_secret(text):
        return what
    return "unexpected text, not shown as there is a secret"

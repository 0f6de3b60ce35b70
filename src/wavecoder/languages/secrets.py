"""Keys, tokens and passwords that are written into code, told by their form.

Formats that their makers document are matched as they are; a password is told by the name it is
given to. What is found is named by its kind and its line, and never shown.

The package detect-secrets takes hundreds of times as long for a function, and its detectors of
keywords and of entropy refuse ordinary code; its other detectors are what the tests hold the table
below against.
"""

import re
from collections.abc import Mapping

__all__ = ["has_secret", "secret_in"]

# Under a quick look that nearly all code fails: what it is, and its form. Each form is its maker's
# own; GitHub's secret scanning and gitleaks list the same ones.
_FORMATS: Mapping[str, tuple[tuple[str, str], ...]] = {
    r"_[A-Za-z0-9]{20}": (
        ("a GitHub token", r"gh[oprsu]_[A-Za-z0-9]{36}"),
        ("a GitHub token", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
        ("an npm token", r"npm_[A-Za-z0-9]{36}"),
        ("a Stripe key", r"[rs]k_live_[A-Za-z0-9]{24}"),
        ("a Hugging Face token", r"(?<!\w)hf_[A-Za-z0-9]{34}(?!\w)"),
    ),
    r"-[\w-]{8}": (
        ("a GitLab token", r"glpat-[\w-]{20}"),
        ("a Slack token", r"xox[abeoprs]-(?:\d+-)+[A-Za-z0-9]+"),
        ("a PyPI token", r"pypi-AgE[\w-]{50}"),
        ("a Google client secret", r"GOCSPX-[\w-]{28}"),
        ("an Anthropic key", r"sk-ant-[a-z]+\d\d-[\w-]{80}"),
        ("an OpenAI key", r"sk-[\w-]*[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    ),
    "AKIA": (("an AWS access key", r"(?<!\w)AKIA[A-Z2-7]{16}(?<!EXAMPLE)(?!\w)"),),
    "ASIA": (("an AWS access key", r"(?<!\w)ASIA[A-Z2-7]{16}(?<!EXAMPLE)(?!\w)"),),
    "AIza": (("a Google API key", r"AIza[\w-]{35}"),),
    "eyJ": (("a JSON web token", r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),),
    r"SG\.": (("a SendGrid key", r"SG\.[\w-]{22}\.[\w-]{43}"),),
    "SK[0-9a-f]": (("a Twilio key", r"(?<!\w)SK[0-9a-f]{32}(?!\w)"),),
    "-us[0-9]": (("a Mailchimp key", r"(?<!\w)[0-9a-f]{32}-us\d{1,2}(?!\w)"),),
    ":AA": (("a Telegram token", r"(?<!\d)\d{8,10}:AA[\w-]{33}"),),
    "hooks.slack": (("a Slack webhook", r"hooks\.slack\.com/services/T\w+/B\w+/\w{20}"),),
    "AccountKey=": (("an Azure storage key", r"AccountKey=[A-Za-z0-9+/]{86}=="),),
    "PRIVATE KEY": (
        (
            "a private key",
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\\nr\"'+,`#/*.]{1,40}"
            r"(?:[A-Z][\w-]+: [^\n]+[\s\\nr\"'+]+)*[A-Za-z0-9+/]{16}",
        ),
    ),
}
_LOOKS = tuple(
    (re.compile(look).search, tuple((kind, re.compile(form)) for kind, form in forms))
    for look, forms in _FORMATS.items()
)

# Most code ends here: a literal with a digit and without space.
_LITERAL = re.compile(r"""["'`](?=[^"'`\s]*\d)[^"'`\s]{8,200}["'`]""")
_ASSIGNED = re.compile(
    r"""
    (?: passw(?:or)?d | passphrase | pwd | secret | (?:api|access|auth|private|encryption)_?key
      | (?<!key)token | credential ) (?: _?key | _?value )? \d*
    ["'\])]* \s* (?: := | => | ={1,3} | !==? | : ) \s* @? ["'`] (?P<value> [^"'`\s]{8,200} ) ["'`]
    """,
    re.VERBOSE | re.IGNORECASE,
)
_IN_ADDRESS = re.compile(
    r"://[^\s/:@\"'<>]+:(?P<value>[^\s/:@\"'<>]{6,})@(?!(?:[\w-]+\.)*(?:example\.|localhost))"
)
_PLACEHOLDER = re.compile(
    r"[<>{}\\()\[\]$]|%[(sdr]|\*\*|x{3}|\.\.|your|example|sample|dummy|change|fake|test|foo|bar|"
    r"pass|pwd|secret|token|key|cred|1234|abcd|://|^/",
    re.IGNORECASE,
)
# oauth2-header, sha256: words, not what a machine drew.
_WORDS = re.compile(r"[A-Za-z]+\d{0,3}(?:[-_.:/@,]+[A-Za-z]*\d{0,3})*")


def secret_in(code: str, docstring: str | None = None) -> str | None:
    """Return what the first secret in a function is and where, never the secret itself, or None.

    Known are the tokens and keys of the table above; beside these, a literal of eight characters or
    more, with letters and digits, that is given to a name that ends in `password`, `secret`,
    `token`, `api_key` or the like, or stands as the password in an address. Placeholders are none:
    `your-token-1`, `xxxx1`, `test1234`.

    Args:
        code: The function.
        docstring: Its doc comment.

    Returns:
        `a GitHub token on line 3`, `a Stripe key in its doc comment`.

    Source: the formats as their makers document them, and as detect-secrets 1.5.0 (Yelp) has them.
    """
    found = _secret(f"{code}\n{docstring}" if docstring else code)
    if found is None:
        return None
    kind, at = found
    line = code.count("\n", 0, at) + 1
    return f"{kind} {f'on line {line}' if at < len(code) else 'in its doc comment'}"


def has_secret(text: str) -> bool:
    """Say whether there is a secret in `text`."""
    return _secret(text) is not None


def _secret(text: str) -> tuple[str, int] | None:
    """Return what the first secret in `text` is, and at which character, or None."""
    # One expression with all forms would take twice the time: it has nothing to look for first.
    for may_have, forms in _LOOKS:
        if may_have(text):
            for kind, form in forms:
                if match := form.search(text):
                    return kind, match.start()
    if "://" in text and (at := _drawn(_IN_ADDRESS, text)) is not None:
        return "a password in an address", at
    if _LITERAL.search(text) and (at := _drawn(_ASSIGNED, text)) is not None:
        return "a password, key or token as a literal", at
    return None


def _drawn(pattern: re.Pattern[str], text: str) -> int | None:
    """Return where the first value is that no person made up as an example, or None."""
    found = (match for match in pattern.finditer(text) if _is_drawn(match["value"]))
    return next((match.start("value") for match in found), None)


def _is_drawn(value: str) -> bool:
    """Say whether a literal looks drawn at random or chosen as a password: no name, no example."""
    return (
        any(character.isdigit() for character in value)
        and any(character.isalpha() for character in value)
        and not _PLACEHOLDER.search(value)
        and not _WORDS.fullmatch(value)
    )

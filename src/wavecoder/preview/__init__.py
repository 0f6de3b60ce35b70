"""A few records whole, before a run is paid for: what is asked, answered, checked and judged."""

from wavecoder.preview.looking import Asked, Attempt, Look, Ready, looks, prepare
from wavecoder.preview.pages import Part, as_html, as_table, as_text, parts

__all__ = [
    "Asked",
    "Attempt",
    "Look",
    "Part",
    "Ready",
    "as_html",
    "as_table",
    "as_text",
    "looks",
    "parts",
    "prepare",
]

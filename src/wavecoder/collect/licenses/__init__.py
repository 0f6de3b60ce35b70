"""Under which licence a file stands, as an SPDX expression, and how that is known.

`texts.py` reads licence texts and the headers of files, `metadata.py` what packages say of
themselves, `names.py` turns what people write into SPDX.
"""

from wavecoder.collect.licenses.names import is_permissive

__all__ = ["is_permissive"]

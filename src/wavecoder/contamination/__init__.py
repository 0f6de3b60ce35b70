"""Benchmarks that leaked into a dataset: what of their problems a document has, and how that shows.

`documents.py` makes one form of rows and problems; `index.py` has the layers that need only hashes,
`files.py` their file and `shipped.py` the one that comes with the package; `neighbours.py` is the
embedding layer. The layer that runs code needs the benchmarks' tests, so it stands above, in
`wavecoder.decontaminate`.
"""

from wavecoder.contamination.documents import (
    Document,
    Reference,
    document_of,
    document_of_record,
    reference_of,
    reference_of_document,
)
from wavecoder.contamination.files import index_checksum, load_index, save_index
from wavecoder.contamination.index import HASHED, LAYERS, PARTS, Hit, Index, Name, check_layers
from wavecoder.contamination.neighbours import Neighbour, Neighbours
from wavecoder.contamination.shipped import SHIPPED, first_hit, index_of, told

__all__ = [
    "HASHED",
    "LAYERS",
    "PARTS",
    "SHIPPED",
    "Document",
    "Hit",
    "Index",
    "Name",
    "Neighbour",
    "Neighbours",
    "Reference",
    "check_layers",
    "document_of",
    "document_of_record",
    "first_hit",
    "index_checksum",
    "index_of",
    "load_index",
    "reference_of",
    "reference_of_document",
    "save_index",
    "told",
]

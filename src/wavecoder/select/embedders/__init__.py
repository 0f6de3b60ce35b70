"""Who makes vectors of functions; each is a class of the shape of `protocols.Embedder`.

`lexical.py` needs no download, `sentence_transformer.py` and `static.py` run a model here,
`endpoint.py` asks one elsewhere. To add one: a class and an entry point in `wavecoder.embedders`.
"""

from wavecoder.select.embedders.lexical import Lexical

__all__ = ["Lexical"]

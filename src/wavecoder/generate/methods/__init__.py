"""Recipes of the field, on the same functions and the same engine.

Swap in your own: a class with the shape of `wavecoder.generate.method.Method`, registered in the
entry-point group `wavecoder.methods`, or named as `package.module:Class`.
"""

__all__: list[str] = []

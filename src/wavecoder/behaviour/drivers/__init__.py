"""A program for each language that calls a subject and writes what came of it."""

__all__: list[str] = []

"""This program's name in the files that it writes, by which it recognises them later.

JSON has it in the first key, PNG in the text chunk Software. Tables are recognised by their header.
"""

from __future__ import annotations

NAME = "hppnet"


def program() -> str:
    """Name and version: ``hppnet 1.2.3``."""
    from importlib.metadata import version

    return f"{NAME} {version(NAME)}"


def picture_facts(comment: str = "") -> dict[str, str]:
    """The text chunks of a PNG, for matplotlib. ``comment``: in ASCII."""
    facts = {"Software": program()}
    return {**facts, "Comment": comment} if comment else facts

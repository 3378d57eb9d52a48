"""What this program calls itself in the files that it writes, so that it knows them again.

JSON says it in its first key, PNG in the text chunk for software; tables are known by their header.
"""

from __future__ import annotations

NAME = "hppnet"


def program() -> str:
    """``hppnet 1.2.3``"""
    from importlib.metadata import version

    return f"{NAME} {version(NAME)}"


def picture_facts(comment: str = "") -> dict[str, str]:
    """The text chunks of a PNG, for matplotlib. ``comment``: in ASCII."""
    facts = {"Software": program()}
    return {**facts, "Comment": comment} if comment else facts

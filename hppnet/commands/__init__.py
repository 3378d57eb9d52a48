"""The verbs: one module each.

``hppnet.cli`` finds them by their names. A module ``some_verb`` offers either a function ``some_verb``,
whose docstring and annotations become the verb's help and options, or a typer app ``app`` for a verb with
verbs of its own; a module with neither holds what verbs share. On top a module imports typer and the
standard library only; what is heavy is imported inside, so that ``hppnet --help`` stays quick.
"""

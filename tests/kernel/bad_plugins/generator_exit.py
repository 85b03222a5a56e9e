"""Raises what only generators should see."""

raise GeneratorExit

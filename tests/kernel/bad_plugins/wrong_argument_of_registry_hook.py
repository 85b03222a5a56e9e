"""Asks a hook that another plugin opens for what it does not give."""

from lab import hookimpl


@hookimpl
def lab_tokenizers(language):
    return {}

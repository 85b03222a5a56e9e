"""Wants to change what other plugins say."""

from lab import hookimpl


@hookimpl(wrapper=True)
def lab_losses():
    return (yield)

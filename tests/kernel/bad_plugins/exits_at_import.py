"""Believes that it is a script."""

import sys

sys.exit("usage: exits_at_import FILE")

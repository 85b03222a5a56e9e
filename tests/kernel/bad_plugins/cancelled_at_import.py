"""Ends as a task that was cancelled."""

import asyncio

raise asyncio.CancelledError

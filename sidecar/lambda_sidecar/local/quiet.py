"""A logger for aiohttp that says nothing.
What aiohttp logs about malformed HTTP quotes it, payloads included, and a worker could flood the log."""

from __future__ import annotations

import logging

quiet = logging.getLogger(__name__)
quiet.disabled = True

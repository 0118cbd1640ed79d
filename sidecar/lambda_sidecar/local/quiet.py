"""A logger for aiohttp that says nothing.
aiohttp's lines about malformed HTTP quote payloads, and a worker could flood the log with them."""

from __future__ import annotations

import logging

quiet = logging.getLogger(__name__)
quiet.disabled = True

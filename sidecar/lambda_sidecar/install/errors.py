"""The one failure of install and uninstall.

Its text is a whole sentence for the operator; must not hold a password."""

from __future__ import annotations


class InstallError(Exception):
    """The text says why nothing, or nothing more, was done, and what to do about it."""

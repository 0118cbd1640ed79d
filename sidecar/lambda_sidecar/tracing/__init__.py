"""Traces: the context that a statement's client sends, as W3C and X-Ray write it, and the sidecar's spans."""

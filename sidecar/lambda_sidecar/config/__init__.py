"""The configuration: what can be set, read and validated."""

"""A running sidecar as people and Prometheus see it."""

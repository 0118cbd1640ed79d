"""What people and Prometheus see of a sidecar that runs."""

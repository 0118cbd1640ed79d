"""The sidecar as a process: its socket's file, its end, and what it reports to systemd."""

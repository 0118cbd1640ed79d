"""The log: how its lines are written, and by whom."""

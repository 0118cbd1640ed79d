"""The log: the form of its lines, and the thread that writes them."""

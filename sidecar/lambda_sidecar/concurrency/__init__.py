"""How many calls run at once, and who is next: knows nothing of what a call is."""

"""Who may invoke what, and as whom: accounts, names of functions, and the rules."""

"""lambda-sidecar migrate-check: finds the parts of an Aurora database with Lambda calls that need a grant or
an edit.

Reads a server or a dump and changes nothing; must not know the sidecar."""

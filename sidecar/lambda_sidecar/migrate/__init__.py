"""lambda-sidecar migrate-check: finds what needs a grant or an edit in a database that comes from Aurora.

Reads a server or a dump and changes nothing; must not know the sidecar."""

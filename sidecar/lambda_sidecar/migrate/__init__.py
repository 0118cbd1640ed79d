"""lambda-sidecar migrate-check: what of a database that invokes Lambda on Aurora needs a grant or an edit.

Reads a server or a dump and changes nothing; must not know the sidecar."""

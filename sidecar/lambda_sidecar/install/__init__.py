"""lambda-sidecar install and uninstall: put the library and its SQL on a MySQL server, and take them off
again.

Knows MySQL from the outside; must not know the sidecar. `lambda-sidecar serve` imports `options` alone of
it."""

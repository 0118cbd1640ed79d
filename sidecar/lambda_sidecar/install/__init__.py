"""lambda-sidecar install and uninstall: the library and its SQL onto a MySQL server, and off it again.

Knows MySQL from the outside; must not know the sidecar. Only `options` is imported by `serve`'s process."""

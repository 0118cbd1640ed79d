"""lambda-sidecar install and uninstall: the library and its SQL, put on a MySQL server and taken off again.

Knows MySQL from outside; must not know the sidecar, but for its answer to mysqld. `serve` imports options.py,
but not mysql.connector."""

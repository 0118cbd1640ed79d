"""Private MySQL servers and sidecars on this machine, for tests, the demo and `make up`.

Not part of the service: nothing in lambda_sidecar imports it, and it knows the library only as a file."""

"""AWS: its configuration, credentials and signatures, and the Invoke API over HTTP."""

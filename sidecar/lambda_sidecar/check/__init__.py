"""lambda-sidecar check, and the end of install: whether a call would get through.

Asks those who would carry it: the running sidecar says what it would meet, and mysqld makes a round trip."""

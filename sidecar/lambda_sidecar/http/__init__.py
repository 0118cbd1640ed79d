"""HTTP/1.1 to endpoints, through proxies and TLS: knows nothing of AWS."""

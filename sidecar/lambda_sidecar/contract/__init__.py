"""The contract of protos/ translated: the gRPC services, and clients of them. Nothing else imports gRPC."""

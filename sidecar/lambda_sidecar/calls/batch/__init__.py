"""lambda_batch: the events and the answers of three contracts for many rows at once."""

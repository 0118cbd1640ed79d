"""A call, from what is asked to its answer, by whichever door it came in: nothing here knows gRPC."""

"""The sidecar of lambda-udf: takes calls from lambda_udf.so on a Unix socket and invokes AWS Lambda."""

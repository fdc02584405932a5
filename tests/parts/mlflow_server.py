"""A real MLflow server, and an S3 endpoint, for the tests that need one."""

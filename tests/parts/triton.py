"""A real Triton server, for the tests that need one."""

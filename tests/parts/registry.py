"""A real CNCF registry, for the tests that need one."""

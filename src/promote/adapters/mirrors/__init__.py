"""Copies of bundles elsewhere: a prefix of a bucket, a repository of the Hugging Face Hub."""

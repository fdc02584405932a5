"""Measures a host: asks its Triton and its nvidia-smi, and keeps what they say."""

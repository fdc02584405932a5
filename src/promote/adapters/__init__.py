"""What touches the world, one part a file or package; none knows another."""

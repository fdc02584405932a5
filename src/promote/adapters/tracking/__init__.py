"""MLflow: where runs are found, and where a person looks and decides."""

"""What makes a model load and run, one function a rule; ``engine`` runs them all."""

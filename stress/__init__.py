"""What a model makes of it: adapters, runs, metrics, explanations."""

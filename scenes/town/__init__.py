"""The built-in town: a procedural street world with exact labels."""

"""Shifts of the family lighting, one a file."""

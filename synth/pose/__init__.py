"""Shifts of the family pose, one a file."""

"""Shifts of the family texture, one a file."""

"""Shifts of the family shape, one a file."""

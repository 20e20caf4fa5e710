"""Shifts of the family context, one a file."""

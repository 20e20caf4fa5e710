"""Shifts of the family weather, one a file."""

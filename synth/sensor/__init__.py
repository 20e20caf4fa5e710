"""Shifts of the family sensor, one a file."""

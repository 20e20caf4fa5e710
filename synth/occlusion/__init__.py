"""Shifts of the family occlusion, one a file."""

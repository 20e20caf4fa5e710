"""What can go wrong with the road: shifts, their labels and their audit."""

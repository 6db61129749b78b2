"""Search methods compared on real trainings of the same space, at equal numbers of trained images."""

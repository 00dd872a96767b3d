"""The files that hold learned weights: which there are, where they come from, whether they are here and intact."""

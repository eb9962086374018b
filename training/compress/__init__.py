"""Each takes a model and gives a smaller one."""

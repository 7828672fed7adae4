"""Running a comparison: the grid of its runs, the state of each run, and the pools of machines that run them."""

"""Who runs where: the grid of runs, their states, and the pools of machines that bring them to their ends."""

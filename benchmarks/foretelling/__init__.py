"""Does a cheap measure foretell trainability? Trunks, their checkpoints' measures, and Kendall's tau between both."""

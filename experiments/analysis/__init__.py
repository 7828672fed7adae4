"""What the curves say: from run folders to numbers with intervals."""

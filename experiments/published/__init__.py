"""Published results of other groups: reading their files, what is known of how they were made, and adding them."""

"""Results that others published, beside runs of one's own: their files, what is known of them, and how they join."""

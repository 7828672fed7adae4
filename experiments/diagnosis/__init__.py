"""The doctor: whether the networks of a run still learn, and which method gives that back at which price."""

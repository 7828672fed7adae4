"""What a card shows: one command, a table of parts, each in a process of its own and within its own time."""

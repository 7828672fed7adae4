"""All measurements on one GPU with one command: a table of parts, each in its own process and with a time limit."""

"""Methods in other people's training code. Nothing is imported here: each module imports what it needs."""

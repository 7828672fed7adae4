"""Methods for training code from other libraries. This file imports nothing: each module imports what it needs."""

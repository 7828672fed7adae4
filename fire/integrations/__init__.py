"""Interventions in training code of other people's. Nothing is imported here: each module names what it needs."""

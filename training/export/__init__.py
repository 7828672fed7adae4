"""A policy that leaves: files that run without this project, and cards, folders that are ready for a model hub."""

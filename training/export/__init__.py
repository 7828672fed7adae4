"""Export a policy: as files that run without this project, or as a card, a folder that is ready for a model hub."""

"""What scripts do before anything that takes seconds to load: the page of --help."""

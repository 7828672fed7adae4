"""What holds for every test."""

from hypothesis import settings

# Machines that run several things at once are slow now and then; that is no failure. Examples are the same in each run.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

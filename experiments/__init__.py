"""Many runs: who runs where, what their curves say, and the report that shows it."""

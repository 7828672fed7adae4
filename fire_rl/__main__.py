"""`python -m fire_rl COMMAND ...`, the same as `fire-rl COMMAND ...`."""

from fire_rl.commands import main

if __name__ == "__main__":
    main()

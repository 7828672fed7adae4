"""The report of a comparison: its page, figures and tables, made from the results."""

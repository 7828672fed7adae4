"""How it is shown: page, figures and tables, from the numbers alone."""

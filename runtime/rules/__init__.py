"""What the runtime finds while a project runs: one rule a file, its docstring the page."""

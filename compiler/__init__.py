"""The compiler: from a spec and facts to a plan, and from a plan to a project folder."""

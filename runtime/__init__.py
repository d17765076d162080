"""The runtime: what hardware is here, and running a project to its end."""

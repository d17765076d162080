"""The tracer: real training libraries run on tensors without contents, every allocation seen.

It imports torch, so it runs in a child process only: `python -m ftspec.compiler.memory.trace`.
"""

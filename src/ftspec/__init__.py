"""ftspec: a compiler and a doctor for fine-tuning language models."""

__version__ = "0.1.0"

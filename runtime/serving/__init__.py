"""Serving trained models by servers that exist: what is served, and how each server is asked."""

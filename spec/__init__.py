"""The language: models of a spec, YAML with positions, findings and how they are shown."""

"""What only the reference server needs: its table of config.toml, and where it listens."""

"""The experiment of `make cluster`: what visitors notice when a Redis Cluster loses a master under load."""

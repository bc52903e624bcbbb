"""The applications of docs/examples."""

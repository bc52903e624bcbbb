"""Owns a package that offers a store, installed in a folder: a module, and the metadata that an installer leaves."""

from pathlib import Path

STORE = """
from sessions import MemoryStore

class PackagedStore(MemoryStore):
    def __init__(self, url, *, shelf_size=10, api_key=""):
        super().__init__()
        self.given = url, shelf_size, api_key
"""
"""The source of a store with two options."""


def install(folder: Path, scheme: str, source: str = STORE) -> None:
    """Put a package into the folder; its entry point offers its `PackagedStore` under a scheme."""
    name = f"sessions_of_{scheme}"
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[sessions.stores]\n{scheme} = {name}:PackagedStore\n")

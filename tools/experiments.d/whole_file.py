"""Text files that are the older one or the newer one, never half of one."""

import os


def put(path, text):
    """Leaves nothing beside it where it fails."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

"""What the daemon reads and writes with jansson, it reads and writes through engine/base/json_memory.h: other
texts of jansson's are not for free() there, and its parser does not notice a lack of memory."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_nobody_passes_it_by():
    files = [path for folder in ("api", "server", "model") for path in (ROOT / folder).rglob("*.c")]
    assert len(files) > 100
    called = {(path.name, name) for path in files for name in re.findall(r"\bjson_(?:dumps|loads|loadb)\b", path.read_text())}
    assert not called

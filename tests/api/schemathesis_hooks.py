"""What schemathesis is to know of our media types, and what keeps its jobs small."""
import schemathesis


@schemathesis.serializer("image/png")
def send(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("image/png", "text/event-stream")
def read(context, response):
    return response.content.decode("latin-1")


@schemathesis.hook
def before_call(context, case, kwargs):
    """A job may have 10,000 images, which say no more than 20 do; a deadline of a millisecond, which is
    rightly missed, comes later. Here rather than in map_body, which the phase coverage passes by."""
    # Such bytes the library answers by itself from its version 1.0 on (Debian 13): 400, in HTML.
    for name, value in (case.headers or {}).items():
        case.headers[name] = "".join(c for c in str(value) if c >= " " and c != "\x7f")
    body = case.body
    if not isinstance(body, dict):
        return
    if isinstance(body.get("n"), int) and 20 < body["n"] <= 10000:
        body["n"] = 20
    for field in ("timeout_ms", "deadline_ms"):
        if isinstance(body.get(field), int) and 1 <= body[field] < 30000:
            body[field] = 30000

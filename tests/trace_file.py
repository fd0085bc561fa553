"""Reads the traces that programs write, and holds them to what a timeline needs."""

import json
from fractions import Fraction


class Span:
    def __init__(self, event):
        self.name = event["name"]
        self.numbers = event["args"]
        self.begin = event["ts"]
        self.end = event["ts"] + event["dur"]
        self.inside = []  # spans that lie in this one, in order


def nest(spans):
    """Those that lie in no other; fails where two overlap and neither lies in the other."""
    top, open_spans = [], []
    for span in sorted(spans, key=lambda span: (span.begin, -span.end)):
        assert span.begin <= span.end, span.name
        while open_spans and open_spans[-1].end <= span.begin:
            open_spans.pop()
        if open_spans:
            assert span.end <= open_spans[-1].end, f"{span.name} leaves {open_spans[-1].name}"
        (open_spans[-1].inside if open_spans else top).append(span)
        open_spans.append(span)
    return top


def read(path):
    """The spans of each track, by its name; spans in spans are in their `inside`."""
    events = json.loads(path.read_text(), parse_float=Fraction)  # exact to the nanosecond
    names = {event["tid"]: event["args"]["name"] for event in events
             if event["ph"] == "M" and event["name"] == "thread_name"}
    assert len(set(names.values())) == len(names)
    tracks = {name: [] for name in names.values()}
    for event in events:
        if event["ph"] == "X":
            tracks[names[event["tid"]]].append(Span(event))
    return {name: nest(spans) for name, spans in tracks.items()}


def check_ticks(ticks):
    """A track of ticks: each is with the device from the end of its start to its finish."""
    for tick in ticks:
        assert tick.name == "tick" and tick.numbers["lanes"] >= 1
        start, device, finish = tick.inside
        assert (start.name, device.name, finish.name) == ("start", "device", "finish")
        assert tick.begin == start.begin and start.end == device.begin
        assert device.end == finish.begin and finish.end == tick.end
        assert [span.name for span in start.inside] in ([], ["draw"])
        assert [span.name for span in device.inside] == ["next rows", "wait"]

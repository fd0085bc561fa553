"""The text format of Prometheus (0.0.4), read as strictly as it is specified."""
import re

NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL}(?:,{LABEL})*)?)\}})? (\S+)")
VALUE = re.compile(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf)|NaN")


class Family:
    """A metric: samples are {(name, labels): value}, labels a tuple of sorted pairs."""

    def __init__(self, name, about):
        self.name, self.about, self.kind, self.samples = name, about, None, {}

    def value(self, **labels):
        return self.samples[self.name, tuple(sorted(labels.items()))]

    def histograms(self):
        """Of every set of labels: the buckets as (bound, count), sum and count."""
        found = {}
        for (name, labels), value in self.samples.items():
            rest = tuple(pair for pair in labels if pair[0] != "le")
            one = found.setdefault(rest, {"buckets": []})
            if name == self.name + "_bucket":
                one["buckets"].append((float(dict(labels)["le"]), value))
            else:
                assert "le" not in dict(labels)
                one[name.removeprefix(self.name + "_")] = value
        return found


def read(text):
    """The families of a whole document, by name; asserts what the format and good manners ask for."""
    families, family = {}, None
    assert text.endswith("\n") and "\r" not in text
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, about = line.removeprefix("# HELP ").split(" ", 1)
            assert re.fullmatch(NAME, name) and name not in families and about, line
            family = families[name] = Family(name, about)
            continue
        if line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert family and name == family.name and family.kind is None and not family.samples, line
            assert kind in ("counter", "gauge", "histogram"), line
            assert name.endswith("_total") == (kind == "counter"), line
            assert ":" not in name, line  # for recording rules
            family.kind = kind
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample and VALUE.fullmatch(sample[sample.lastindex]), line
        labels = re.findall(LABEL, sample[2] or "")
        assert len({name for name, _ in labels}) == len(labels), line
        suffixes = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        assert sample[1] in [family.name + suffix for suffix in suffixes], line
        key = sample[1], tuple(sorted(labels))
        assert key not in family.samples, line
        family.samples[key] = float(sample[sample.lastindex].replace("Inf", "inf"))
    for family in families.values():
        check(family)
    return families


def check(family):
    assert family.kind, family.name
    for (name, _), value in family.samples.items():
        assert value >= 0 or family.kind == "gauge", name
    if family.kind != "histogram":
        return
    for labels, one in family.histograms().items():
        assert set(one) == {"buckets", "sum", "count"}, (family.name, labels)
        bounds, counts = zip(*one["buckets"])
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == float("inf"), family.name
        assert list(counts) == sorted(counts) and counts[-1] == one["count"], family.name
        assert all(count == int(count) for count in counts)
        finite = [bound for bound in bounds[:-1]]
        least = sum(
            (count - before) * bound
            for bound, before, count in zip([0, *finite], [0, *counts[:-1]], counts)
        )
        assert one["sum"] >= 0.999 * least and (one["count"] > 0 or one["sum"] == 0), family.name

"""--trace: what the ticks of a daemon were made of, written when it ends."""

import trace_file


def test_trace(start, tmp_path):
    path = tmp_path / "trace.json"
    daemon = start("--trace", str(path), "--threads", "2", models=("faces", "blurred"))
    daemon.pngs(model="faces", n=16, nfe=10, sampler="naive")
    daemon.png(model="blurred", nfe=4, sampler="naive")
    assert not path.exists()
    daemon.stop()
    assert any(f'event=trace file="{path}"' in line for line in daemon.log)

    tracks = trace_file.read(path)
    assert sorted(tracks) == ["blurred", "cpu thread 0", "cpu thread 1", "faces"]
    for model, evaluations in (("faces", 16 * 10), ("blurred", 4)):
        trace_file.check_ticks(tracks[model])
        assert sum(tick.numbers["lanes"] for tick in tracks[model]) == evaluations
    ticks = tracks["faces"] + tracks["blurred"]
    begin, end = min(tick.begin for tick in ticks), max(tick.end for tick in ticks)
    for i in range(2):
        steps = tracks[f"cpu thread {i}"]
        assert "convolution" in {step.name for step in steps}
        assert all(begin <= step.begin and step.end <= end for step in steps)


def test_cannot_be_written(start, tmp_path):
    """What only watches does not make the daemon fail."""
    daemon = start("--trace", str(tmp_path / "none" / "trace.json"))
    daemon.png(nfe=1, sampler="naive")
    daemon.stop()
    assert any("event=trace error=" in line and "none" in line for line in daemon.log)

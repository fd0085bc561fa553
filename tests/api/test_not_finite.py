"""Weights so large that images are no images: told as an error, never given as black pictures."""
import array
import json
import pathlib
import struct
import subprocess

import prometheus
import requests

ANYWHERE = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
FP32 = ("--precision", "fp32")


def scaled(source, path, names, factor):
    """The checkpoint with some of its tensors times a factor, cut at the largest float."""
    data = bytearray(pathlib.Path(source).read_bytes())
    (size,) = struct.unpack_from("<Q", data)
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__" and names(name):
            first, last = (8 + size + offset for offset in entry["data_offsets"])
            values = array.array("f", bytes(data[first:last]))
            scale = array.array("f", (max(-3.4e38, min(3.4e38, v * factor)) for v in values))
            data[first:last] = scale.tobytes()
    path.write_bytes(data)
    return str(path)


def last_layer(source):
    data = pathlib.Path(source).read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    weights = [name for name in json.loads(data[8 : 8 + size]) if name.endswith(".weight")]
    return max(weights, key=lambda name: int(name.split(".")[2]))


def test_a_model_that_gives_no_images_does_not_load(start, checkpoints, program, tmp_path):
    bad = scaled(checkpoints["faces"], tmp_path / "bad.safetensors", lambda name: True, 3e38)
    command = [program("softdiffd"), "--check", *ANYWHERE, "--model", f"bad={bad}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and 'model "bad": ' in done.stderr and "not finite" in done.stderr
    daemon = start("--model", f"bad={bad}", wait=False)
    assert daemon.wait_for_exit() == 1
    assert any("event=load_failed" in line and "not finite" in line for line in daemon.log)
    command = [program("softdiff-sample"), bad, "--out", tmp_path / "out", "-n", "2", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "not finite" in done.stderr
    assert not list((tmp_path / "out").glob("*.png"))


def check_health(daemon, bad, good, hard):
    """Three images in a row make a model unhealthy, a good one makes it well again."""

    def told():
        probe = requests.get(daemon.admin + "/readyz")
        (model,) = daemon.get("/v1/capabilities").json()["models"]
        metric = prometheus.read(requests.get(daemon.admin + "/metrics").text)["softdiff_model_healthy"]
        alive = requests.get(daemon.admin + "/livez").status_code
        return probe.status_code, probe.json(), model["healthy"], metric.value(model="edge"), alive

    well = 200, {"state": "ready", "models_loaded": 1, "models": 1, "unhealthy": [], "devices_failed": []}, True, 1, 200
    ill = 503, {"state": "unhealthy", "models_loaded": 1, "models": 1, "unhealthy": ["edge"], "devices_failed": []}, False, 0, 200
    assert daemon.post({"seed": good} | hard).status_code == 200 and told() == well
    for i in range(4):
        assert daemon.post({"seed": bad[0]} | hard).status_code == 500
        assert told() == (well if i < 2 else ill)
    daemon.wait_for_log("event=model_unhealthy model=edge")
    assert daemon.post({"seed": good} | hard).status_code == 200 and told() == well
    daemon.wait_for_log("event=model_healthy model=edge")


def test_an_image_that_is_none_is_an_error(start, checkpoints, program, tmp_path):
    """The last layer is as large as the first images allow: others are too much."""
    source, layer, low, high = checkpoints["faces"], last_layer(checkpoints["faces"]), 1.0, 1e39

    def model(factor):
        return scaled(source, tmp_path / "edge.safetensors", lambda name: name == layer, factor)

    for _ in range(24):
        middle = (low * high) ** 0.5
        command = [program("softdiffd"), "--check", *ANYWHERE, *FP32, "--model", f"edge={model(middle)}"]
        fine = subprocess.run(command, capture_output=True, timeout=60).returncode == 0
        low, high = (middle, high) if fine else (low, middle)
    daemon = start(*FP32, "--model", f"edge={model(low)}", models=())
    hard = {"nfe": 3, "sampler": "pf-heun"}
    answers = {seed: daemon.post({"seed": seed} | hard) for seed in range(100)}
    failed = [seed for seed, answer in answers.items() if answer.status_code != 200]
    assert 0 < len(failed) < 100
    for seed in failed:
        assert answers[seed].status_code == 500
        detail = answers[seed].json()["detail"]
        assert "not finite" in detail and '"edge"' in detail and str(seed) in detail
    lines = requests.get(daemon.admin + "/metrics").text.splitlines()
    assert f"softdiff_images_not_finite_total {len(failed)}" in lines
    assert f"softdiff_images_total {100 - len(failed)}" in lines
    check_health(daemon, failed, next(seed for seed in answers if seed not in failed), hard)
    # Beside one that is none the others of its request are of no use; other requests go on.
    assert daemon.post({"seed": failed[0], "n": 8} | hard).status_code == 500
    good = next(seed for seed in answers if seed not in failed)
    assert daemon.post({"seed": good} | hard).content == answers[good].content
    assert daemon.queue()["slots_busy"] == 0

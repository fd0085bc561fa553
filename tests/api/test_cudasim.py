"""The daemon on the simulated GPU: what it serves, and how it ends when the GPU is lost or too small."""
import os
import subprocess

import pytest
import requests
from softdiffd import PATIENCE_S

pytestmark = pytest.mark.usefixtures("cudasim")
DEVICE = ("--device", "cudasim", "--slots", "4")


def test_an_image_has_the_same_bytes_in_any_company(start):
    daemon = start(*DEVICE)
    assert daemon.get("/v1/capabilities").json()["device"].startswith("simulated ")
    alone = daemon.png(seed=6, nfe=2)
    assert alone == daemon.pngs(seed=4, nfe=2, n=4)[2]
    assert alone == daemon.pngs(seed=6, nfe=2, n=3)[0]
    daemon.stop()


def test_a_gpu_that_is_lost_ends_the_daemon(start, tmp_path):
    """An error that never passes: the request fails, /livez says so, and the process ends."""
    broken = tmp_path / "broken"
    daemon = start(*DEVICE, env=os.environ | {"CUDASIM_BROKEN": str(broken)})
    assert requests.get(daemon.admin + "/livez", timeout=PATIENCE_S).status_code == 200
    broken.touch()
    assert daemon.post({"seed": 1, "nfe": 2}).status_code == 500
    daemon.wait_for_log("event=device_failed status=76")
    answer = requests.get(daemon.admin + "/livez", timeout=PATIENCE_S)
    assert answer.status_code == 503 and answer.json()["state"] == "failed"
    assert daemon.wait_for_exit() == 76


def test_what_one_of_two_gpus_had_is_drawn_by_the_other(start, tmp_path):
    """When it is lost the daemon goes on, and says where it is asked; when both are, it ends."""
    broken, new = tmp_path / "broken", tmp_path / "new"
    environment = os.environ | {"CUDASIM_DEVICES": "2", "CUDASIM_BROKEN": str(broken)}
    daemon = start("--device", "cudasim:0,cudasim:1", "--slots", "2", env=environment)
    images = daemon.pngs(seed=4, nfe=2, n=4)
    new.write_text("1")
    new.rename(broken)
    assert daemon.pngs(seed=4, nfe=2, n=4) == images
    daemon.wait_for_log("event=engine_failed device=cudasim:1")
    daemon.wait_for_log("event=drawn_elsewhere from=cudasim:1 to=cudasim:0")
    ready = requests.get(daemon.admin + "/readyz", timeout=PATIENCE_S)
    assert ready.status_code == 200 and ready.json()["devices_failed"] == ["cudasim:1"]
    assert requests.get(daemon.admin + "/livez", timeout=PATIENCE_S).status_code == 200
    new.write_text("0")
    new.rename(broken)
    assert daemon.post({"seed": 4, "nfe": 2}).status_code == 500
    assert daemon.wait_for_exit() == 76


def test_a_gpu_that_is_too_small_says_what_is_missing(start):
    daemon = start(*DEVICE, wait=False, env=os.environ | {"CUDASIM_MEMORY_MIB": "1"})
    failed = daemon.wait_for_log("event=load_failed error=(.*)")[1]
    assert "out of memory of the GPU: " in failed and " MiB more are needed, " in failed
    assert daemon.wait_for_exit() == 1


def test_images_are_the_same_where_no_plan_of_cudnn_keeps_its_bits(start):
    """Own kernels draw them then, alone and in company."""
    daemon = start(*DEVICE, env=os.environ | {"CUDASIM_CUDNN_FAULT": "unsteady"})
    assert daemon.png(seed=6, nfe=2) == daemon.pngs(seed=4, nfe=2, n=4)[2]
    daemon.stop()


def test_sums_of_16_bits_do_not_conform(build_dir):
    """An engine of cuDNN that added so would be found."""
    done = subprocess.run(
        [build_dir / "tests/conformance/conformance", "--device", "cudasim", "--precision", "fp16",
         "--op", "convolution", "--case", "0"], env=os.environ | {"CUDASIM_CUDNN_FAULT": "half-sums"},
        capture_output=True, text=True, check=False)
    assert done.returncode == 1
    bad = [line for line in done.stdout.splitlines() if line.startswith("not ok")]
    assert len(bad) == 1 and "cudasim fp16 convolution 0" in bad[0], done.stdout

"""Pictures that say what they were drawn from are drawn again, and compared."""
import io
import json
import struct
import zlib

import numpy
import pytest
import requests
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from softdiffd import png_text, wait_until

pytestmark = pytest.mark.sanitizers


def verify(daemon, png, kind="image/png"):
    return requests.post(daemon.url + "/v1/verify", data=png, headers={"Content-Type": kind})


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_params(png, **changes):
    """The same file with other words in its text."""
    params = json.loads(png_text(png)["softdiff:params"]) | changes
    params = {key: value for key, value in params.items() if value is not None}
    text = chunk(b"tEXt", b"softdiff:params\0" + json.dumps(params).encode())
    return png[:33] + text + png[33:]  # behind IHDR, before the one of the daemon


def with_pixels(png, change):
    """The same text with other pixels, as an editor would write it."""
    image = Image.open(io.BytesIO(png))
    pixels = numpy.array(image)
    change(pixels)
    info = PngInfo()
    info.add_text("softdiff:params", image.info["softdiff:params"])
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def test_exact(daemon):
    for body in ({"seed": 1, "nfe": 4}, {"seed": 2**64 - 1, "nfe": 3, "model": "blurred", "sampler": "momentum"}):
        verdict = verify(daemon, daemon.png(**body)).json()
        assert verdict["match"] == "exact" and verdict["same_file"] and verdict["same_determinism"]
        assert int(verdict["seed"]) == body["seed"] and verdict["nfe"] == body["nfe"]
        assert verdict["model"] == body.get("model", "faces")


def test_saved_again_by_another_program(daemon):
    verdict = verify(daemon, with_pixels(daemon.png(seed=1, nfe=4), lambda pixels: None)).json()
    assert verdict["match"] == "exact" and not verdict["same_file"]


def test_one_changed_pixel(daemon):
    def change(pixels):
        pixels[3, 4, 1] ^= 1

    verdict = verify(daemon, with_pixels(daemon.png(seed=1, nfe=4), change)).json()
    assert verdict["match"] == "differs" and verdict["difference"] == {"pixels": 1, "largest": 1}


def test_words_that_are_not_true(daemon):
    png = daemon.png(seed=1, nfe=4)
    for lie in ({"seed": 2}, {"nfe": 5}, {"sampler": "momentum"}):
        verdict = verify(daemon, with_params(png, **lie)).json()
        assert verdict["match"] == "differs" and verdict["difference"]["pixels"] > 0
    # The name may be another where the file is the same; other devices may draw otherwise.
    verdict = verify(daemon, with_params(png, model="renamed", determinism="0" * 16)).json()
    assert verdict["match"] == "exact" and verdict["model"] == "faces"
    assert not verdict["same_determinism"]


def test_unknown_models(daemon):
    verdict = verify(daemon, with_params(daemon.png(seed=1, nfe=4), checkpoint="0" * 12)).json()
    assert verdict == {"match": "unknown model", "model": "faces", "checkpoint": "0" * 12}


def test_a_picture_before_its_time(start):
    """The best so far is drawn again up to where it was."""
    daemon = start("--max-nfe", "10000")
    png = daemon.best(seed=5, nfe=10000, accept="image/png")[0].content
    verdict = verify(daemon, png).json()
    assert verdict["match"] == "exact" and verdict["same_file"] and verdict["nfe_done"] < 10000
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 0, "free lanes")
    fewer = verdict["nfe_done"] - 1 or 2
    assert verify(daemon, with_params(png, nfe_done=fewer)).json()["match"] == "differs"


@pytest.mark.parametrize(
    "spoil, status",
    [
        (lambda png: b"", 422),
        (lambda png: b"GIF89a", 422),
        (lambda png: png[:20], 422),
        (lambda png: png[:40], 422),
        (lambda png: png[:33] + chunk(b"IEND", b""), 422),
        (lambda png: with_params(png, nfe=0), 422),
        (lambda png: with_params(png, nfe=201), 422),
        (lambda png: with_params(png, seed=-1), 422),
        (lambda png: with_params(png, sampler="euler"), 422),
        (lambda png: with_params(png, sampler=None), 422),
        (lambda png: with_params(png, model="x" * 65), 422),
        (lambda png: png[:33] + chunk(b"tEXt", b"softdiff:params\0[" * 100) + png[33:], 422),
        (lambda png: png + bytes(13 << 20), 413),
    ],
)
def test_what_cannot_be_verified(daemon, spoil, status):
    answer = verify(daemon, spoil(daemon.png(seed=1, nfe=4)))
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_damaged_pixels(daemon):
    png = daemon.png(seed=1, nfe=4)
    at = png.index(b"IDAT") + 20
    verdict = verify(daemon, png[:at] + bytes([png[at] ^ 255]) + png[at + 1 :]).json()
    assert verdict["match"] == "differs" and "difference" not in verdict


def test_media_types_and_large_files(daemon):
    png = daemon.png(seed=1, nfe=4)
    assert verify(daemon, png, "application/json").status_code == 415
    assert verify(daemon, png, "").status_code == 415
    padded = png + bytes((12 << 20) - len(png))  # what follows the end is no matter
    assert verify(daemon, padded).json()["match"] == "exact"


def test_uploads_are_few(daemon):
    """Half a dozen slow ones take their turns; the others are told to come back."""
    head = b"POST /v1/verify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 9000000\r\n\r\n"
    held = []
    for _ in range(4):
        held.append(daemon.connect())
        held[-1].sendall(head + b"x" * 1000)
    refused = []

    def ask():
        refused.append(verify(daemon, daemon.png(seed=1, nfe=1)))
        return refused[-1].status_code == 503

    wait_until(ask, "four uploads")
    assert int(refused[-1].headers["Retry-After"]) >= 1
    for connection in held:
        connection.close()
    wait_until(lambda: not ask(), "room")

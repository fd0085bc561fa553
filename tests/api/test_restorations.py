"""Pictures that are blurred, noisy or masked go in; what comes out agrees with them."""
import base64
import io
import json
import pathlib
import struct
import zlib

import numpy
import pytest
import requests
from PIL import Image
from softdiffd import png_text, wait_until

pytestmark = pytest.mark.sanitizers
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SIDE = 32


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(numpy.uint8(numpy.round(numpy.clip(pixels, 0, 1) * 255))).save(out, "PNG")
    return out.getvalue()


def text(data):
    return base64.b64encode(data).decode()


def pixels_of(data):
    return numpy.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float) / 255


def blurred(pixels, std):
    """Weights that would fall outside are left out."""
    at = numpy.arange(len(pixels))
    weights = numpy.exp(-((at[:, None] - at) ** 2) / (2 * std**2))
    weights /= weights.sum(1, keepdims=True)
    return numpy.einsum("ij,jkc,lk->ilc", weights, pixels, weights)


@pytest.fixture(scope="module")
def picture():
    y, x = numpy.mgrid[:SIDE, :SIDE] / SIDE
    disc = numpy.hypot(x - 0.5, y - 0.45) < 0.3
    return numpy.stack([0.2 + 0.6 * disc, 0.3 + 0.3 * x, 0.5 - 0.3 * y * disc], -1)


@pytest.fixture(scope="module")
def faces(program):
    """The zoo's model, which has learnt something."""
    from softdiffd import Daemon

    shared = Daemon(program("softdiffd"), "--model", f"zoo={ROOT / 'model/zoo/faces32.safetensors'}")
    yield shared
    shared.stop()


def restore(daemon, **body):
    return daemon.post(body, path="/v1/restorations")


def images(answer):
    assert answer.status_code == 200, answer.text
    return [base64.b64decode(image["png"], validate=True) for image in answer.json()["images"]]


HIDDEN = numpy.zeros((SIDE, SIDE))
HIDDEN[8:20, 10:25] = 1


def test_tables_begin_with_noise(faces, picture):
    """The zoo's model draws with tuned, which has no way from a picture: sde-2m has."""
    assert faces.post({"model": "zoo", "seed": 1}).json()["sampler"] == "tuned"
    body = {"model": "zoo", "image": text(png(picture)), "degradation": "blur", "std": 1.5, "seed": 1}
    told = restore(faces, **body).json()
    assert (told["sampler"], told["nfe"]) == ("sde-2m", 20)
    assert restore(faces, **body, nfe=3).json()["nfe"] == 3
    refused = restore(faces, **body, sampler="tuned", nfe=10)
    assert refused.status_code == 422 and "begins at time 1 only" in refused.text


def test_the_answer(daemon, picture):
    data = png(picture)
    answer = restore(daemon, model="blurred", image=text(data), degradation="blur", std=1.5, seed=3, n=2, nfe=4)
    body = answer.json()
    assert answer.status_code == 200 and answer.headers["X-Seed"] == "3"
    assert [image["seed"] for image in body["images"]] == [3, 4]
    assert all("url" not in image for image in body["images"])  # the picture is in no address
    told = body["restoration"]
    assert told["degradation"] == "blur" and told["std"] == 1.5 and not told["estimated"]
    assert 0.25 < told["strength"] < 1 and told["consistency"] == 1
    assert len(told["image_sha256"]) == 64
    made = images(answer)
    assert json.loads(png_text(made[0])["softdiff:params"])["restoration"] == told
    alone = daemon.post({"model": "blurred", "image": text(data), "degradation": "blur", "std": 1.5, "seed": 4,
                         "nfe": 4}, accept="image/png", path="/v1/restorations")  # fmt: skip
    assert alone.headers["Content-Type"] == "image/png" and alone.content == made[1]
    verdict = requests.post(daemon.url + "/v1/verify", data=made[0], headers={"Content-Type": "image/png"})
    assert verdict.status_code == 422 and "restored" in verdict.json()["detail"]


def test_strength(daemon, picture):
    side = next(m for m in daemon.get("/v1/models").json()["models"] if m["name"] == "blurred")["side_px"]
    small = pixels_of(png(picture[:side, :side]))
    for body in ({"degradation": "blur", "std": 1}, {"degradation": "noise", "std": 0.05},
                 {"degradation": "mask", "mask": text(png(HIDDEN[:side, :side]))}):  # fmt: skip
        body |= {"model": "blurred", "image": text(png(small)), "seed": 5, "nfe": 4}
        same = restore(daemon, strength=0, **body)
        assert (pixels_of(images(same)[0]) == small).all() and same.json()["nfe"] == 1
        fresh = images(restore(daemon, strength=1, consistency=0, **body))[0]
        assert (pixels_of(fresh) == pixels_of(daemon.png(model="blurred", seed=5, nfe=4))).all()


def test_known_pixels_stay(faces, picture):
    answer = restore(faces, image=text(png(picture)), mask=text(png(HIDDEN)), degradation="mask", n=2, nfe=6, seed=1)
    first, second = (pixels_of(data) for data in images(answer))
    shown = HIDDEN == 0
    assert (first[shown] == pixels_of(png(picture))[shown]).all()
    assert (second[shown] == first[shown]).all() and (second[~shown] != first[~shown]).any()
    assert "std" not in answer.json()["restoration"]


@pytest.mark.parametrize("std", [1, 2])
def test_blurred_again_it_is_the_picture(faces, picture, std):
    came = png(blurred(picture, std))
    out = images(restore(faces, image=text(came), degradation="blur", std=std, seed=1, nfe=20))[0]
    again = blurred(pixels_of(out), std)
    inside = slice(4, -4)
    error = numpy.sqrt(((again - pixels_of(came))[inside, inside] ** 2).mean())
    before = numpy.sqrt(((pixels_of(out) - pixels_of(came)) ** 2).mean())
    assert error < 0.012 and before > 2 * error


def test_noise_goes_and_was_noise(faces, picture):
    noise = 0.08 * numpy.random.default_rng(1).standard_normal(picture.shape)
    noisy = numpy.clip(picture + noise, 0, 1)
    answer = restore(faces, image=text(png(noisy)), degradation="noise", seed=1, nfe=10)
    told = answer.json()["restoration"]
    assert told["estimated"] and abs(told["std"] - 0.08) < 0.02
    left = numpy.sqrt(((pixels_of(images(answer)[0]) - pixels_of(png(noisy))) ** 2).mean())
    assert 0.5 * 0.08 < left < 1.3 * 0.08  # what was taken away is what had come
    clean = numpy.sqrt(((pixels_of(images(answer)[0]) - picture) ** 2).mean())
    assert clean < 0.06


def test_a_blur_is_estimated(faces, picture):
    answer = restore(faces, image=text(png(blurred(picture, 2))), degradation="blur", nfe=2)
    told = answer.json()["restoration"]
    assert told["estimated"] and 1.3 < told["std"] < 2.7


def test_other_models_are_led(daemon, picture):
    """faces undoes noise: a blur has no time of its own there."""
    told = restore(daemon, image=text(png(picture)), degradation="blur", std=2, nfe=4, corruption="noise").json()
    assert told["model"] == "faces" and told["restoration"]["strength"] == 1


def test_forms(daemon, picture):
    fields = {"degradation": "noise", "std": "0.5", "seed": "18446744073709551615", "nfe": "3", "strength": "0.5"}
    answer = requests.post(daemon.url + "/v1/restorations", data=fields,
                           files={"image": ("a.png", png(picture), "image/png")})  # fmt: skip
    assert answer.status_code == 200, answer.text
    same = restore(daemon, image="data:image/png;base64," + text(png(picture)), degradation="noise", std=0.5,
                   seed=2**64 - 1, nfe=3, strength=0.5)  # fmt: skip
    assert images(answer) == images(same)


def test_photographs_are_cut_and_resized(daemon, picture):
    out = io.BytesIO()
    Image.fromarray(numpy.uint8(255 * picture)).resize((640, 480)).save(out, "JPEG")
    answer = restore(daemon, model="blurred", image=text(out.getvalue()), degradation="blur", std=1, nfe=2)
    assert pixels_of(images(answer)[0]).shape == pixels_of(daemon.png(model="blurred", nfe=1)).shape


def test_what_is_wrong_is_told(daemon, picture):
    good = {"image": text(png(picture)), "degradation": "blur", "std": 1, "model": "blurred"}
    for change, field in [
        ({"image": None}, "image"), ({"image": "%%%"}, "image"), ({"image": text(b"GIF89a")}, "image"),
        ({"degradation": None}, "degradation"), ({"degradation": "rain"}, "degradation"), ({"std": -1}, "std"),
        ({"std": 100}, "std"), ({"strength": 1.5}, "strength"), ({"consistency": "x"}, "consistency"),
        ({"degradation": "mask", "std": None}, "mask"), ({"mask": good["image"]}, "mask"), ({"rain": 1}, "rain"),
        ({"degradation": "noise", "std": 3}, "std"), ({"nfe": 0}, "nfe"), ({"sampler": "best"}, "sampler"),
        ({"corruption": "mask"}, "corruption"), ({"preview_every": 1}, "preview_every"),
    ]:  # fmt: skip
        answer = restore(daemon, **(good | change))
        assert answer.status_code == 422, (change, answer.text)
        assert field in [error["field"] for error in answer.json()["errors"]], (change, answer.text)
    many = restore(daemon, image=1, degradation="rain", nfe=0, model="nobody").json()
    assert {error["field"] for error in many["errors"]} == {"image", "degradation", "nfe", "model"}
    for body, kind, status in [(b"{", "application/json", 400), (b"x", "image/png", 415),
                               (b"{}", "multipart/form-data", 400), (b"[]", "application/json", 422),
                               (b"--a\r\n\r\nx", "multipart/form-data; boundary=a", 400)]:  # fmt: skip
        assert daemon.post(body, path="/v1/restorations", Content_Type=kind).status_code == status, body
    assert daemon.post(good, path="/v1/restorations", accept="text/html").status_code == 406


def test_capabilities_tell_what_is_taken(daemon, picture):
    told = daemon.get("/v1/capabilities").json()
    assert told["limits"]["upload_bytes"] == 12 << 20 and told["limits"]["upload_types"] == ["image/png", "image/jpeg"]
    for model in told["models"]:
        most = {row["degradation"]: row.get("std_max") for row in model["restorations"]}
        assert list(most) == ["blur", "noise", "mask"] and most["mask"] is None
        assert (most["blur"] is None) == (model["corruption"] == "noise") and most["noise"] > 0
        for degradation, std in most.items():
            body = {"image": text(png(picture)), "degradation": degradation, "model": model["name"], "nfe": 1}
            if std:
                assert restore(daemon, **body, std=std).status_code == 200
                assert restore(daemon, **body, std=1.01 * std).status_code == 422
            elif degradation == "blur":
                assert restore(daemon, **body, std=500).status_code == 200


def test_a_bomb_is_refused(daemon):
    head = struct.pack(">IIBBBBB", 16000, 16000, 8, 2, 0, 0, 0)
    chunks = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
                      for k, d in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")))  # fmt: skip
    answer = restore(daemon, image=text(b"\x89PNG\r\n\x1a\n" + chunks), degradation="blur", std=1, model="blurred")
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "image"
    large = daemon.post(b"x" * (13 << 20), path="/v1/restorations")
    assert large.status_code == 413


def test_events(daemon, picture):
    body = {"image": text(png(picture)), "degradation": "blur", "std": 1, "model": "blurred", "nfe": 200, "n": 12, "seed": 2,
            "preview_every": 20}  # fmt: skip
    answer = daemon.post(body, path="/v1/restorations", accept="text/event-stream")
    events = [dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
              for event in answer.text.strip().split("\n\n")]  # fmt: skip
    assert events[0]["event"] == "accepted" and events[-1]["event"] == "completed"
    assert "preview" in [event.get("event") for event in events]
    done = json.loads(events[-1]["data"])
    del body["preview_every"]
    assert done == restore(daemon, **body).json()


def test_one_that_goes_frees_its_lanes(daemon, picture):
    body = json.dumps({"image": text(png(picture)), "degradation": "blur", "std": 1, "model": "blurred", "nfe": 200,
                       "n": 8}).encode()  # fmt: skip
    head = f"POST /v1/restorations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    for _ in range(6):  # more than can come in at a time
        with daemon.connect() as connection:
            connection.sendall(head.encode() + b"\r\n\r\n" + body)
        wait_until(lambda: not daemon.queue()["requests"], "the lanes to be free")
    assert restore(daemon, **(json.loads(body) | {"nfe": 2, "n": 1})).status_code == 200

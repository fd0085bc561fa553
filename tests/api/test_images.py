"""The dialect of the OpenAI Images API, as its own client speaks it."""
import base64
import concurrent.futures
import io
import json

import openai
import PIL.Image
import pytest
import requests
from softdiffd import png_text

pytestmark = pytest.mark.sanitizers


@pytest.fixture
def client(daemon):
    with openai.OpenAI(base_url=daemon.url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def pixels(text):
    image = PIL.Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    return image.convert("RGB").tobytes()


def generate(client, prompt="a face", **more):
    extra = {key: more.pop(key) for key in ("seed", "sampler", "nfe", "corruption", "timeout_ms") if key in more}
    return client.images.generate(prompt=prompt, extra_body={"nfe": 4} | extra, **more)


def test_base64(client, daemon):
    answer = generate(client, model="blurred", n=3, seed=7, response_format="b64_json", sampler="momentum")
    pngs = [base64.b64decode(image.b64_json, validate=True) for image in answer.data]
    assert pngs == daemon.pngs(model="blurred", n=3, seed=7, nfe=4, sampler="momentum")
    assert all(image.url is None for image in answer.data)
    assert answer.created > 1.7e9 and answer.output_format == "png" and answer.size == "16x16"
    assert answer.seed == 7 and [image.seed for image in answer.data] == [7, 8, 9]
    assert answer.model.startswith("blurred@") and "prompt is ignored" in answer.warnings[0]
    # What it says of the model names it.
    again = generate(client, model=answer.model, n=3, seed=7, sampler="momentum")
    assert [base64.b64decode(image.b64_json) for image in again.data] == pngs


def test_addresses(client, daemon):
    """They are absolute, pinned, and cost nothing: what was drawn is in the cache."""
    answer = generate(client, n=2, seed=2**64 - 1, response_format="url")
    before = daemon.queue()["evaluations"]
    for image, seed in zip(answer.data, (2**64 - 1, 0)):
        assert image.b64_json is None and image.url.startswith(daemon.url + "/v1/models/faces@")
        got = requests.get(image.url)
        assert got.headers["Cache-Control"].endswith("immutable")
        assert got.headers["Server-Timing"] == "cache;desc=hit"
        assert int(json.loads(png_text(got.content)["softdiff:params"])["seed"]) == seed
    assert daemon.queue()["evaluations"] == before
    assert answer.data[0].seed == str(2**64 - 1)


def test_the_address_of_the_proxy(daemon):
    headers = {"Host": "pictures.example", "X-Forwarded-Proto": "https"}
    answer = daemon.post({"nfe": 1}, path="/v1/images/generations", **headers)
    assert answer.json()["data"][0]["url"].startswith("https://pictures.example/v1/models/")


def test_both_ways_by_default(client):
    image = generate(client, seed=1).data[0]
    assert base64.b64decode(image.b64_json) == requests.get(image.url).content


def test_all_that_clients_send(client):
    answer = generate(
        client, model="faces", n=1, size="16x16", quality="standard", style="vivid", user="me",
        background="auto", moderation="low", output_format="png", output_compression=100,
    )  # fmt: skip
    ignored = {warning.split()[0] for warning in answer.warnings}
    assert ignored == {
        "prompt", "quality", "style", "user", "background", "moderation", "output_compression",
    }  # fmt: skip
    assert len(generate(client, size="auto", model=None).data) == 1


def test_stream(start):
    """Parts come while it is drawn, the last of them closest to what it becomes."""
    daemon = start(models=("slow",))
    with openai.OpenAI(base_url=daemon.url + "/v1", api_key="none", max_retries=0) as client:
        events = list(generate(client, seed=7, nfe=200, stream=True, partial_images=3))
    assert {event.type for event in events[:-1]} == {"image_generation.partial_image"}
    assert [event.partial_image_index for event in events[:-1]] == list(range(len(events) - 1))
    assert 1 <= len(events) - 1 <= 3
    last = events[-1]
    assert last.type == "image_generation.completed" and last.usage.total_tokens == 0
    for event in events:
        assert event.created_at > 1.7e9 and event.size == "32x32" and event.output_format == "png"
        assert event.seed == 7 and event.image == 0
    assert base64.b64decode(last.b64_json) == daemon.png(seed=7, nfe=200)
    assert requests.get(daemon.url + last.url).content == base64.b64decode(last.b64_json)
    parts = [pixels(event.b64_json) for event in events]
    gaps = [sum(abs(a - b) for a, b in zip(part, parts[-1])) for part in parts]
    assert gaps[:-1] == sorted(gaps[:-1], reverse=True) and gaps[-2] > 0


def test_stream_of_many(client, daemon):
    """As many events as were asked for, where the network is slow enough for all to be told."""
    events = list(generate(client, model="blurred", seed=2**64 - 1, n=2, nfe=20, stream=True))
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert [event.image for event in events] == [0, 1] and events[1].seed == 0
    pngs = daemon.pngs(model="blurred", seed=2**64 - 1, n=2, nfe=20)
    assert [base64.b64decode(event.b64_json) for event in events] == pngs


def test_stream_of_all_parts(start):
    daemon = start(models=("slow",))
    with openai.OpenAI(base_url=daemon.url + "/v1", api_key="none") as client:
        events = list(generate(client, nfe=150, n=2, stream=True, partial_images=2))
    told = [(event.image, event.partial_image_index) for event in events[:-2]]
    assert sorted(told) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_stream_that_fails(start):
    """Before it begins as any other answer does; afterwards as an event, which the client raises."""
    daemon = start("--max-nfe", "10000", models=("minutes",))
    with openai.OpenAI(base_url=daemon.url + "/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            generate(client, model="nobody", stream=True)
        with pytest.raises(openai.APIError) as caught:
            list(generate(client, nfe=10000, timeout_ms=300, stream=True, partial_images=1))
        assert "deadline" in caught.value.message and caught.value.type == "server_error"
        stream = generate(client, nfe=10000, stream=True)
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 1, "work")
        stream.close()
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "free lanes")


def test_seeds_are_drawn(client):
    first, second = (generate(client).data[0] for _ in range(2))
    assert first.seed != second.seed
    assert generate(client, seed=first.seed).data[0].b64_json == first.b64_json


@pytest.mark.parametrize(
    "wrong, param, words",
    [
        ({"size": "1024x1024"}, "size", "16x16"),
        ({"n": 65}, "n", "1 to 64"),
        ({"seed": -1}, "seed", "18446744073709551615"),
        ({"sampler": "euler"}, "sampler", "momentum"),
        ({"nfe": 201}, "nfe", "1 to 200"),
        ({"response_format": "file"}, "response_format", '"b64_json" or "url"'),
        ({"output_format": "webp"}, "output_format", '"png"'),
        ({"stream": True, "partial_images": 4}, "partial_images", "0 to 3"),
        ({"stream": True, "partial_images": -1}, "partial_images", "0 to 3"),
        ({"partial_images": 1}, "partial_images", "stream"),
        ({"extra_query": None, "corruption": "mask"}, "corruption", '"blur"'),
    ],
)
def test_bad_values(client, wrong, param, words):
    with pytest.raises(openai.BadRequestError) as caught:
        generate(client, **wrong)
    assert caught.value.param == param and caught.value.type == "invalid_request_error"
    assert words in caught.value.message.replace('\\"', '"')
    assert caught.value.request_id or caught.value.response.headers["X-Request-ID"]


def test_other_errors(client, daemon):
    with pytest.raises(openai.NotFoundError) as caught:
        generate(client, model="dall-e-3")
    assert caught.value.code == "model_not_found" and "faces" in caught.value.message
    for body, kind, status in [
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"prompt":"' + b"x" * 70000 + b'"}', "application/json", 413),
        (b'{"stream_options":1}', "application/json", 400),
    ]:
        answer = daemon.post(body, path="/v1/images/generations", Content_Type=kind)
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/json"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    answer = daemon.get("/v1/images/generations")
    assert answer.status_code == 405 and answer.json()["error"]["message"]


def refusal_of(client):
    try:
        client.images.generate(prompt="", extra_body={"nfe": 1})
    except openai.InternalServerError as error:
        return error


def test_overload_is_retried_by_the_client(start):
    """503 with Retry-After: the client comes back by itself, and is served."""
    daemon = start("--slots", "1", "--max-queue", "0", "--max-nfe", "10000", models=("slow",))
    daemon.png(nfe=20)
    nfe = 1 + int(daemon.queue()["evaluations_per_s"] / 4)  # half a second, or more where that was over before one looked
    url = daemon.url + "/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=5) as patient, openai.OpenAI(
        base_url=url, api_key="none", max_retries=0
    ) as hasty, concurrent.futures.ThreadPoolExecutor(1) as pool:
        refusal = None
        while not refusal:
            nfe = min(2 * nfe, 10000)
            held = pool.submit(daemon.post, {"nfe": nfe})
            daemon.wait_for_queue(lambda q: q["slots_busy"] == 1 or held.done(), "work")
            refusal = refusal_of(hasty)
        assert refusal.status_code == 503 and refusal.code == "overloaded"
        assert int(refusal.response.headers["Retry-After"]) >= 1
        assert patient.images.generate(prompt="").data[0].b64_json
        assert held.result().status_code == 200


def test_a_deadline(client):
    with pytest.raises(openai.InternalServerError) as caught:
        generate(client, n=64, nfe=200, timeout_ms=1)
    assert caught.value.status_code == 504 and caught.value.type == "server_error"


def test_gone_clients_free_their_lanes(start):
    daemon = start("--max-nfe", "10000")
    client = openai.OpenAI(base_url=daemon.url + "/v1", api_key="none", max_retries=0, timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        client.images.generate(prompt="", extra_body={"nfe": 10000, "n": 16})
    client.close()
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "free lanes")


def test_models(client, daemon):
    models = list(client.models.list())
    assert [model.id for model in models] == ["faces", "blurred"]
    assert all(model.object == "model" and model.owned_by == "softdiff" for model in models)
    native = daemon.get("/v1/models").json()["models"]
    for model, row in zip(models, native):
        assert model.created == row["created"] > 1.7e9 and model.checkpoint == row["checkpoint"]
    for name in ("blurred", "blurred@" + native[1]["checkpoint"][:12]):
        model = client.models.retrieve(name)
        assert model.id == "blurred" and model.side_px == 16
    for name in ("nobody", "faces@" + "0" * 12, "faces@xyz"):
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve(name)
        assert caught.value.code == "model_not_found"
    answer = daemon.get("/v1/models/nobody")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == answer.json()["error"]["message"]

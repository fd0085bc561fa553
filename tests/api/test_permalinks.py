"""An image by its address: tags before evaluations, one drawing for many, a cache with bounds."""
import concurrent.futures
import json
import re

import pytest
import requests
from softdiffd import PATIENCE_S, png_text

pytestmark = pytest.mark.sanitizers

LONG = "/v1/models/slow/samples/1.png?nfe=10000"  # half a minute or so


def metric(daemon, name):
    text = requests.get(daemon.admin + "/metrics", timeout=PATIENCE_S).text
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def evaluations(daemon):
    return daemon.queue()["evaluations"]


@pytest.fixture
def pinned(daemon):
    """The pinned address of a seed."""

    def address(seed, nfe=4, model="faces", sampler="momentum"):
        answer = daemon.get(f"/v1/models/{model}/samples/{seed}.png?nfe={nfe}&sampler={sampler}")
        assert answer.status_code == 200, answer.text
        return answer.headers["Content-Location"]

    return address


def test_the_same_bytes_as_a_post(daemon):
    for seed in (0, 7, 2**53, 2**64 - 1):
        answer = daemon.get(f"/v1/models/blurred/samples/{seed}.png?nfe=5&sampler=momentum")
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["X-Seed"] == str(seed)
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.content == daemon.png(seed=seed, nfe=5, sampler="momentum", model="blurred")
    # Without a query the model's own sampler and number of evaluations.
    assert daemon.get("/v1/models/faces/samples/7.png").content == daemon.png(seed=7)


def test_pinned_addresses(daemon, pinned):
    address = pinned(7)
    checkpoint = daemon.get("/v1/models").json()["models"][0]["checkpoint"]
    id = daemon.get("/v1/capabilities").json()["determinism"]["id"]
    assert address == (
        f"/v1/models/faces@{checkpoint[:12]}/samples/7.png?sampler=momentum&nfe=4&determinism={id}"
    )
    answer = daemon.get(address)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Content-Location" not in answer.headers
    assert answer.content == daemon.png(seed=7, nfe=4, sampler="momentum")
    # Escaped as clients like, and with all digits.
    for same in (address.replace("@", "%40"), address.replace(checkpoint[:12], checkpoint)):
        assert daemon.get(same).content == answer.content
        assert daemon.get(same).headers["ETag"] == answer.headers["ETag"]
    # Whatever is left to the daemon may be another thing tomorrow.
    for part in ("sampler=momentum&", "nfe=4&", f"&determinism={id}", f"@{checkpoint[:12]}"):
        assert daemon.get(address.replace(part, "")).headers["Cache-Control"] == "no-cache"


def test_tags_cost_nothing(daemon):
    before = evaluations(daemon)
    address = daemon.url + "/v1/models/faces/samples/123456.png?nfe=200"
    head = requests.head(address)
    tag = head.headers["ETag"]
    assert head.status_code == 200 and head.headers["Content-Type"] == "image/png"
    assert "Content-Length" not in head.headers and re.fullmatch('"[0-9a-f]{32}"', tag)
    for value in (tag, "W/" + tag, f'"a,b", {tag}', "*", f'"x" , W/{tag}'):
        for ask in (requests.get, requests.head):
            answer = ask(address, headers={"If-None-Match": value})
            assert answer.status_code == 304 and answer.content == b""
            assert answer.headers["ETag"] == tag and answer.headers["Cache-Control"] == "no-cache"
            assert "Content-Type" not in answer.headers
    assert evaluations(daemon) == before
    for value in ('"0"', tag[1:-1], tag.upper(), f'"a, {tag[1:]}'):
        answer = requests.get(address, headers={"If-None-Match": value})
        assert answer.status_code == 200, value
    head = requests.head(address)  # from the cache now
    assert head.headers["Content-Length"] == str(len(answer.content))
    assert head.headers["ETag"] == answer.headers["ETag"] == tag


def test_tags_differ_with_all_that_is_asked_for(daemon):
    addresses = [
        f"/v1/models/{model}/samples/{seed}.png?nfe={nfe}&sampler={sampler}"
        for model in ("faces", "blurred") for seed in (1, 2) for nfe in (2, 3)
        for sampler in ("momentum", "sde-2m")
    ]  # fmt: skip
    tags = {requests.head(daemon.url + address).headers["ETag"] for address in addresses}
    assert len(tags) == len(addresses)


def test_tags_survive_a_restart_and_other_limits(start):
    tags = []
    for flags in [("--slots", "1", "--threads", "1"), ("--slots", "5", "--max-nfe", "20")]:
        daemon = start(*flags)
        answer = daemon.get("/v1/models/faces/samples/3.png?nfe=3&sampler=momentum")
        tags.append((answer.headers["ETag"], answer.content))
        daemon.stop()
    assert tags[0] == tags[1]


@pytest.mark.parametrize(
    "address, status, words",
    [
        ("/v1/models/nobody/samples/1.png", 404, "faces"),
        ("/v1/models/nobody/samples/1.png?nfe=0", 404, "faces"),
        ("/v1/models/faces@0123456789ab/samples/1.png", 404, "checkpoint"),
        ("/v1/models/faces/samples/1.png?determinism=0123456789abcdef", 404, "determinism id"),
        ("/v1/models/faces@012/samples/1.png", 404, "12 or more"),
        ("/v1/models/faces@0123456789AB/samples/1.png", 404, "12 or more"),
        ("/v1/models/faces/samples/01.png", 404, "address"),
        ("/v1/models/faces/samples/-1.png", 404, "address"),
        ("/v1/models/faces/samples/18446744073709551616.png", 404, "address"),
        ("/v1/models/faces/samples/.png", 404, "openapi"),
        ("/v1/models/faces/samples/1.jpg", 404, "openapi"),
        ("/v1/models/faces/samples/1.png/", 404, "openapi"),
        ("/v1/models//samples/1.png", 404, "openapi"),
        ("/v1/models/faces/samples/1.png?nfe=0", 422, "1 to 200"),
        ("/v1/models/faces/samples/1.png?nfe=201", 422, "1 to 200"),
        ("/v1/models/faces/samples/1.png?nfe=4.5", 422, "1 to 200"),
        ("/v1/models/faces/samples/1.png?nfe=", 422, "1 to 200"),
        ("/v1/models/faces/samples/1.png?nfe=99999999999999999999", 422, "1 to 200"),
        ("/v1/models/faces/samples/1.png?sampler=euler", 422, "momentum"),
        ("/v1/models/faces/samples/1.png?corruption=blur", 422, "not trained"),
        ("/v1/models/faces/samples/1.png?seed=1", 422, "is not a field"),
        ("/v1/models/faces/samples/1.png?nfe=2&nfe=2", 400, "twice"),
        ("/v1/models/faces/samples/1.png?nfe=%00", 400, "query"),
        ("/v1/models/faces/samples/1.png?sampler=%c3%a4", 400, "query"),
        ("/v1/models/faces/samples/1.png?x=" + "y" * 256, 400, "query"),
    ],
)
def test_refusals(daemon, address, status, words):
    answer = daemon.get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "ETag" not in answer.headers and answer.headers["Cache-Control"] == "no-store"
    assert words in answer.text


def test_methods(daemon):
    answer = requests.post(daemon.url + "/v1/models/faces/samples/1.png", data=b"{}")
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET, HEAD"


def test_one_drawing_for_many(start):
    """16 clients want the same image at once: it is drawn once, and cancelled for none of them."""
    daemon = start("--slots", "2", "--max-nfe", "10000", "--response-cache", "0")
    address = "/v1/models/faces/samples/5.png?nfe=1000"
    with concurrent.futures.ThreadPoolExecutor(17) as pool:
        held = pool.submit(daemon.get, "/v1/models/faces/samples/1.png?nfe=2000")
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 1 or held.done(), "a slow daemon")
        answers = [pool.submit(daemon.get, address) for _ in range(16)]
        contents = {future.result().content for future in answers}
        held.result()
    assert len(contents) == 1
    assert contents == {daemon.png(seed=5, nfe=1000)}
    assert metric(daemon, "softdiff_response_cache_hits_total") == 0
    misses = metric(daemon, "softdiff_response_cache_misses_total")
    assert misses + metric(daemon, "softdiff_response_cache_merged_total") == 17
    assert metric(daemon, "softdiff_images_total") == misses + 1


def test_those_who_wait_may_go(start):
    """The one who began a drawing does not end it for others; the last one does."""
    daemon = start("--slots", "1", "--max-nfe", "10000", models=("slow",))
    want = daemon.png(seed=1, nfe=20)
    address = LONG.replace("10000", "20")
    head = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"
    first = daemon.connect()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, daemon.connect_and_send({"nfe": 10000}) as before:
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 1, "who has the lane")
        first.sendall(head.format(address).encode())
        daemon.wait_for_queue(lambda q: len(q["requests"]) == 2, "who begins a drawing")
        second = pool.submit(daemon.get, address)
        daemon.wait_for_queue(
            lambda q: metric(daemon, "softdiff_response_cache_merged_total") == 1, "a second client"
        )
        first.close()
        daemon.wait_for_log(r"route=/v1/models/{model}/samples.* status=499")
        before.close()
        assert second.result().content == want
    assert metric(daemon, "softdiff_images_total") == 2
    alone = [daemon.connect() for _ in range(3)]
    for connection in alone:
        connection.sendall(head.format(LONG.replace("/1.png", "/2.png")).encode())
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 1, "a drawing")
    for connection in alone:
        connection.close()
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "an idle daemon")
    assert metric(daemon, "softdiff_images_total") == 2


def test_failures_reach_all_who_wait(start):
    full = ("--slots", "1", "--max-queue", "0", "--max-nfe", "10000")
    daemon = start(*full, "--request-timeout", "500ms", models=("slow",))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for answer in pool.map(daemon.get, 3 * [LONG]):
            assert answer.status_code == 504 and "ETag" not in answer.headers
            assert answer.headers["Cache-Control"] == "no-store"
    daemon = start(*full, models=("slow",))
    with daemon.connect_and_send({"nfe": 10000}):
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 1, "a drawing")
        answer = daemon.get("/v1/models/slow/samples/2.png?nfe=1")
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "a free lane")
    assert daemon.get("/v1/models/slow/samples/2.png?nfe=1").status_code == 200


def test_cache(start):
    """Hits cost no evaluation; what is kept stays within the bound, the least used goes first."""
    daemon = start("--response-cache", "16KiB")
    address = "/v1/models/faces/samples/{}.png?nfe=2"
    first = [daemon.get(address.format(seed)).content for seed in range(40)]
    evictions = metric(daemon, "softdiff_response_cache_evictions_total")
    assert evictions > 0
    assert 0 < metric(daemon, "softdiff_response_cache_bytes") <= 16384
    before = evaluations(daemon)
    answer = daemon.get(address.format(39))
    assert answer.headers["Server-Timing"] == "cache;desc=hit" and answer.content == first[39]
    assert evaluations(daemon) == before
    assert metric(daemon, "softdiff_response_cache_hits_total") == 1
    # 39 was used last, so it stays while the others are replaced, and is drawn no more.
    for seed in range(12):
        assert daemon.get(address.format(seed)).content == first[seed]
        assert daemon.get(address.format(39)).headers["Server-Timing"] == "cache;desc=hit"
    assert daemon.get(address.format(20)).headers["Server-Timing"] == "cache;desc=miss"
    assert daemon.get(address.format(20)).content == first[20]


def test_no_cache(start):
    daemon = start("--response-cache", "0")
    for _ in range(2):
        answer = daemon.get("/v1/models/faces/samples/1.png?nfe=2")
        assert answer.headers["Server-Timing"] == "cache;desc=miss"
    assert metric(daemon, "softdiff_response_cache_bytes") == 0


def test_the_png_says_where_it_is(daemon, pinned):
    """The texts of a PNG are enough for its address."""
    address = pinned(9)
    params = json.loads(png_text(daemon.get(address).content)["softdiff:params"])
    assert address == (
        "/v1/models/{model}@{checkpoint}/samples/{seed}.png"
        "?sampler={sampler}&nfe={nfe}&determinism={determinism}".format(**params)
    )

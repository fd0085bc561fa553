"""The Open Inference Protocol, as the client of Triton speaks it."""
import base64
import io
import json
import struct

import numpy
import PIL.Image
import pytest
import requests
import tritonclient.http as triton
from softdiffd import wait_until

pytestmark = pytest.mark.sanitizers


def connect(url):
    return triton.InferenceServerClient(url.removeprefix("http://"))


@pytest.fixture
def client(daemon):
    with connect(daemon.url) as client:
        yield client


def seeds(values, binary=True):
    tensor = triton.InferInput("SEED", [len(values)], "UINT64")
    tensor.set_data_from_numpy(numpy.array(values, numpy.uint64), binary_data=binary)
    return tensor


def nfe(value, binary=True):
    tensor = triton.InferInput("NFE", [1], "INT32")
    tensor.set_data_from_numpy(numpy.array([value], numpy.int32), binary_data=binary)
    return tensor


def output(name, binary=True):
    return triton.InferRequestedOutput(name, binary_data=binary)


def pixels(png):
    return numpy.array(PIL.Image.open(io.BytesIO(png)).convert("RGB"))


def test_what_there_is(client, daemon):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("faces") and not client.is_model_ready("nobody")
    server = client.get_server_metadata()
    assert server["name"] == "softdiffd"
    assert set(server["extensions"]) == {"binary_tensor_data", "model_repository", "statistics"}
    model = client.get_model_metadata("blurred")
    checkpoint = daemon.get("/v1/models").json()["models"][1]["checkpoint"]
    assert model["versions"] == [checkpoint[:12]]
    assert client.get_model_metadata("blurred", checkpoint[:12]) == model
    assert client.is_model_ready("blurred", checkpoint[:12])
    assert {t["name"]: (t["datatype"], t["shape"]) for t in model["inputs"] + model["outputs"]} == {
        "SEED": ("UINT64", [-1]), "NFE": ("INT32", [1]), "IMAGE": ("UINT8", [-1, 16, 16, 3]), "PNG": ("BYTES", [-1]),
    }  # fmt: skip
    with pytest.raises(triton.InferenceServerException, match="there is no model"):
        client.get_model_metadata("nobody")
    with pytest.raises(triton.InferenceServerException, match="checkpoint"):
        client.get_model_metadata("faces", "0" * 12)


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_infer(client, daemon, binary_in, binary_out):
    """Any seeds in any order; pixels and PNGs are those of the native API."""
    wanted = [7, 8, 9, 2**64 - 1, 0, 7, 2**63, 1]
    answer = client.infer(
        "blurred", [seeds(wanted, binary_in), nfe(4, binary_in)], request_id='a"b\u00e9',
        outputs=[output("PNG", binary_out), output("IMAGE", binary_out)], parameters={"sampler": "momentum"},
    )  # fmt: skip
    response = answer.get_response()
    assert response["id"] == 'a"b\u00e9' and response["model_name"] == "blurred"
    assert len(response["model_version"]) == 12
    assert [out["name"] for out in response["outputs"]] == ["PNG", "IMAGE"]
    images = answer.as_numpy("IMAGE")
    assert images.dtype == numpy.uint8 and images.shape == (len(wanted), 16, 16, 3)
    for i, seed in enumerate(wanted):
        png = daemon.png(model="blurred", seed=str(seed), nfe=4, sampler="momentum")
        assert (images[i] == pixels(png)).all()
        if binary_out:
            assert answer.as_numpy("PNG")[i] == png
        else:
            assert base64.b64decode(response["outputs"][0]["data"][i], validate=True) == png


def test_as_the_model_says(client, daemon):
    """Without outputs, an id, NFE or parameters."""
    answer = client.infer("faces", [seeds([3])])
    assert {out["name"] for out in answer.get_response()["outputs"]} == {"IMAGE", "PNG"}
    assert answer.as_numpy("PNG")[0] == daemon.png(seed=3)
    version = answer.get_response()["model_version"]
    again = client.infer("faces", [seeds([3])], model_version=version)
    assert (again.as_numpy("IMAGE") == answer.as_numpy("IMAGE")).all()


def test_as_the_specification_writes_it(daemon):
    """Plain JSON, nested data, a query by hand."""
    body = {"inputs": [{"name": "SEED", "shape": [2, 1], "datatype": "UINT64", "data": [[5], [18446744073709551615]]}],
            "outputs": [{"name": "IMAGE"}], "id": None}  # fmt: skip
    answer = daemon.post(body, path="/v2/models/faces/infer", Content_Type="text/plain")
    assert answer.status_code == 200, answer.text
    tensor = answer.json()["outputs"][0]
    assert "id" not in answer.json() and tensor["shape"] == [2, 16, 16, 3]
    image = numpy.array(tensor["data"], numpy.uint8).reshape(tensor["shape"])
    assert (image[0] == pixels(daemon.png(seed=5))).all()
    assert (image[1] == pixels(daemon.png(seed="18446744073709551615"))).all()


SEED = {"name": "SEED", "shape": [1], "datatype": "UINT64"}


def request(*inputs, **more):
    return json.dumps({"inputs": list(inputs)} | more).encode()


@pytest.mark.parametrize(
    "body, header, words",
    [
        (b"", None, "JSON"),
        (b"{", None, "JSON"),
        (b"[]", None, "object"),
        (request(), None, "SEED"),
        (request(SEED), None, "array of 1"),
        (request(SEED | {"data": [1, 2]}), None, "array of 1"),
        (request(SEED | {"data": [-1]}), None, "SEED[0]"),
        (request(SEED | {"data": [1.5]}), None, "SEED[0]"),
        (request(SEED | {"data": [1], "datatype": "INT64"}), None, "UINT64"),
        (request(SEED | {"data": [1], "shape": [0]}), None, "shape"),
        (request(SEED | {"data": [1], "shape": [65]}), None, "shape"),
        (request(SEED | {"data": [1], "shape": [1, 2]}), None, "shape"),
        (request(SEED | {"data": [1]}, SEED | {"data": [1]}), None, "twice"),
        (request(SEED | {"data": [1]}, {"name": "PROMPT"}), None, "PROMPT"),
        (request(SEED | {"data": [1]}, {"name": "NFE", "shape": [1], "datatype": "INT32", "data": [0]}), None, "NFE"),
        (request(SEED | {"data": [1]}, {"name": "NFE", "shape": [1], "datatype": "INT32", "data": [999]}), None, "200"),
        (request(SEED | {"data": [1]}, outputs=[{"name": "LATENT"}]), None, "LATENT"),
        (request(SEED | {"data": [1]}, outputs=[{"name": "PNG"}, {"name": "PNG"}]), None, "twice"),
        (request(SEED | {"data": [1]}, parameters={"sampler": "euler"}), None, "momentum"),
        (request(SEED | {"data": [1]}, parameters={"temperature": 1}), None, "temperature"),
        (request(SEED | {"data": [1]}, parameters={"timeout": 10**15}), None, "timeout"),
        (request(SEED | {"data": [1]}, id=7), None, "id"),
        (request(SEED | {"data": [1]}), "x", "Inference-Header"),
        (request(SEED | {"data": [1]}), "10000", "Inference-Header"),
        (request(SEED | {"data": [1]}) + b"12345678", "whole", "8 bytes"),
        (request(SEED | {"data": [1], "parameters": {"binary_data_size": 8}}) + b"12345678", "whole", "twice"),
        (request(SEED | {"parameters": {"binary_data_size": 8}}) + b"1234567", "whole", "ends before"),
        (request(SEED | {"parameters": {"binary_data_size": 7}}) + b"1234567", "whole", "must be 8"),
        (request(SEED | {"parameters": {"binary_data_size": 8}}), None, "ends before"),
        (request(SEED | {"parameters": {"shared_memory_region": "a"}}), None, "shared_memory_region"),
    ],
)  # fmt: skip
def test_bad_requests(daemon, body, header, words):
    if header == "whole":
        header = str(body.rindex(b"}") + 1)
    headers = {"Inference-Header-Content-Length": header} if header else {}
    answer = requests.post(daemon.url + "/v2/models/faces/infer", data=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"] and words in answer.json()["error"]


def test_other_refusals(client, daemon, start):
    with pytest.raises(triton.InferenceServerException, match="there is no model"):
        client.infer("nobody", [seeds([1])])
    with pytest.raises(triton.InferenceServerException, match="deadline"):
        client.infer("faces", [seeds(range(0, 128, 2)), nfe(200)], timeout=1000)
    assert requests.get(daemon.url + "/v2/models/faces/infer").status_code == 405
    assert daemon.post(b"{}", path="/v2/repository/models/faces/unload").status_code == 404
    full = start("--slots", "1", "--max-queue", "2", "--max-nfe", "10000", models=("slow",))
    held = full.connect_and_send({"nfe": 10000})
    full.wait_for_queue(lambda q: q["slots_busy"] == 1, "work")
    with connect(full.url) as other:
        # The third part finds no room: the other two are not drawn.
        with pytest.raises(triton.InferenceServerException, match="queue is full"):
            other.infer("slow", [seeds([1, 3, 5]), nfe(10000)])
    full.wait_for_queue(lambda q: len(q["requests"]) == 1 and q["images_waiting"] == 0, "room")
    held.close()
    full.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "free lanes")


def test_gone_clients_free_their_lanes(start):
    daemon = start("--max-nfe", "10000")
    with pytest.raises(requests.Timeout):
        requests.post(daemon.url + "/v2/models/faces/infer", timeout=0.3,
                      data=request({"name": "SEED", "shape": [64], "datatype": "UINT64", "data": [*range(64)]},
                                   {"name": "NFE", "shape": [1], "datatype": "INT32", "data": [10000]}))  # fmt: skip
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "free lanes")


def test_statistics(start):
    daemon = start(models=("faces", "blurred"))
    with connect(daemon.url) as client:
        before = client.get_inference_statistics("faces")["model_stats"][0]
        assert before["inference_count"] == 0 and before["last_inference"] == 0
        client.infer("faces", [seeds([1, 2, 3, 9]), nfe(4)])
        find = lambda: client.get_inference_statistics("faces")["model_stats"][0]
        after = wait_until(lambda: find() if find()["inference_count"] == 4 else None, "its count")
        assert after["execution_count"] == 2 and after["last_inference"] > 1.7e12
        times = after["inference_stats"]
        assert times["success"]["count"] == 2 and times["fail"]["count"] == 0
        assert times["success"]["ns"] >= times["compute_infer"]["ns"] > 0
        names = [row["name"] for row in client.get_inference_statistics()["model_stats"]]
        assert names == ["faces", "blurred"]
        assert client.get_inference_statistics("blurred")["model_stats"][0]["execution_count"] == 0


def test_repository(start):
    """Everybody sees what there is; whoever reaches the probes' listener may change it."""
    daemon = start(models=("faces", "blurred"))
    with connect(daemon.url) as client, connect(daemon.admin) as operator:
        rows = client.get_model_repository_index()
        assert [(row["name"], row["state"]) for row in rows] == [("faces", "READY"), ("blurred", "READY")]
        assert all(len(row["version"]) == 12 for row in rows)
        with pytest.raises(triton.InferenceServerException):
            client.unload_model("blurred")
        operator.unload_model("blurred")
        assert not client.is_model_ready("blurred")
        rows = operator.get_model_repository_index()
        assert [(row["name"], row["state"]) for row in rows] == [("faces", "READY"), ("blurred", "UNAVAILABLE")]
        ready = daemon.post({"ready": True}, path="/v2/repository/index").json()
        assert [row["name"] for row in ready] == ["faces"]
        for bad in (b"{", b"[]", b'{"ready": 1}', b'{"ready": true, "ready": true}', b'{"ready": 1e999}'):
            assert daemon.post(bad, path="/v2/repository/index").status_code == 400, bad
        operator.load_model("blurred")
        assert client.is_model_ready("blurred")
        with pytest.raises(triton.InferenceServerException, match="nobody"):
            operator.load_model("nobody")


def test_many_at_a_time(client, daemon):
    """Bytes do not depend on who else is served."""
    alone = client.infer("faces", [seeds([11, 13]), nfe(20)]).as_numpy("IMAGE")
    with connect(daemon.url) as busy:
        pending = [busy.async_infer("faces", [seeds([i, i + 2, 11]), nfe(20)]) for i in range(8)]
        again = client.infer("faces", [seeds([11, 13]), nfe(20)]).as_numpy("IMAGE")
        assert (again == alone).all()
        for one in pending:
            assert (one.get_result().as_numpy("IMAGE")[2] == alone[0]).all()


def test_binary_by_hand(daemon):
    """Little endian, whatever the client runs on; the lengths in the answer are those of the tensors."""
    head = request(
        {"name": "NFE", "shape": [1], "datatype": "INT32", "parameters": {"binary_data_size": 4}},
        SEED | {"parameters": {"binary_data_size": 8}}, parameters={"binary_data_output": True},
        outputs=[{"name": "PNG"}, {"name": "IMAGE", "parameters": {"binary_data": False}}])  # fmt: skip
    answer = requests.post(
        daemon.url + "/v2/models/faces/infer", data=head + struct.pack("<iQ", 3, 2**40),
        headers={"Inference-Header-Content-Length": str(len(head))})  # fmt: skip
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/octet-stream"
    size = int(answer.headers["Inference-Header-Content-Length"])
    outputs = json.loads(answer.content[:size])["outputs"]
    tail = answer.content[size:]
    assert outputs[0]["parameters"] == {"binary_data_size": len(tail)} and "data" not in outputs[0]
    assert struct.unpack("<I", tail[:4]) == (len(tail) - 4,)
    assert tail[4:] == daemon.png(seed=2**40, nfe=3) and len(outputs[1]["data"]) == 16 * 16 * 3

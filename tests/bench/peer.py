#!/usr/bin/env python3
"""Evaluates NCSN++ with another engine, at the pace of whoever measures it.

    peer.py PEER --architecture FILE --weights FILE --input FILE --out FILE --threads N

The counterpart of `softdiff-inspect run --paced`, with the same files: warms up, writes phi to the
output file, prints the milliseconds of one evaluation, and then of one more per line of its
standard input. In between it sleeps.
"""

import argparse
import gc
import json
import os
import pathlib
import sys
import tempfile
import time

import numpy
import safetensors.numpy
import torch

import ncsnpp

WARM_UP_CALLS = 4  # the first ones compile
WARM_UP_S = 5


def torch_network(job, bf16):
    """In channels last, which is the faster format of every convolution here."""
    network = ncsnpp.load(job.architecture, job.weights).to(memory_format=torch.channels_last)
    return network.to_16_bits(torch.bfloat16) if bf16 else network


def torch_inputs(job, memory_format=torch.channels_last):
    x = torch.from_numpy(job.x).contiguous(memory_format=memory_format)
    return x, torch.from_numpy(job.time_cond)


def torch_call(network, inputs, autocast=False):
    """A call of a network and what makes an array of its result."""

    def call():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return network(*inputs)

    return call, lambda phi: phi.float().numpy()


def torch_plain(job):
    """What one writes first: float32, the default memory format."""
    network = ncsnpp.load(job.architecture, job.weights)
    return torch_call(network, torch_inputs(job, torch.contiguous_format))


def torch_eager(job, bf16=False, autocast=False):
    return torch_call(torch_network(job, bf16), torch_inputs(job), autocast)


def torch_compile(job, bf16=False, autocast=False):
    """Inductor with frozen weights, which it packs for its convolutions."""
    import torch._inductor.config

    torch._inductor.config.freezing = True
    network = torch.compile(torch_network(job, bf16), dynamic=False)
    return torch_call(network, torch_inputs(job), autocast)


def torch_freeze(job, bf16=False):
    """TorchScript: traced, frozen and optimised for inference."""
    inputs = torch_inputs(job)
    with torch.no_grad():
        traced = torch.jit.trace(torch_network(job, bf16), inputs)
        network = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    return torch_call(network, inputs)


def write_onnx(job, n_images, folder):
    path = pathlib.Path(folder, "network.onnx")
    network = ncsnpp.load(job.architecture, job.weights)
    example = torch.from_numpy(job.x[:n_images]), torch.from_numpy(job.time_cond[:n_images])
    torch.onnx.export(network, example, path, input_names=["x", "time_cond"], output_names=["phi"],
                      dynamo=True, external_data=False, verbose=False)
    return path


def onnxruntime_fp32(job):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads spin during a call, which is faster, and sleep after it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    with tempfile.TemporaryDirectory() as folder:
        session = onnxruntime.InferenceSession(write_onnx(job, len(job.x), folder), options,
                                               providers=["CPUExecutionProvider"])
    feeds = {"x": job.x, "time_cond": job.time_cond}
    return lambda: session.run(None, feeds)[0], lambda phi: phi


def openvino(job, precision, streams=False):
    """streams: as many as threads, which take the images one by one (the hint for throughput);
    otherwise one request of the whole batch (the hint for latency)."""
    import openvino as ov

    n_images = 1 if streams else len(job.x)
    properties = {
        "PERFORMANCE_HINT": "THROUGHPUT" if streams else "LATENCY",
        "NUM_STREAMS": job.threads if streams else 1,
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    core = ov.Core()
    with tempfile.TemporaryDirectory() as folder:
        compiled = core.compile_model(write_onnx(job, n_images, folder), "CPU", properties)
    requests = []
    for i in range(0, len(job.x), n_images):
        requests.append(compiled.create_infer_request())
        requests[-1].set_tensor("x", ov.Tensor(job.x[i : i + n_images]))
        requests[-1].set_tensor("time_cond", ov.Tensor(job.time_cond[i : i + n_images]))

    def call():
        for request in requests:
            request.start_async()
        for request in requests:
            request.wait()
        return [request.get_output_tensor().data for request in requests]

    return call, numpy.concatenate


PEERS = {
    "torch-fp32": torch_plain,
    "torch-fp32-nhwc": torch_eager,
    "torch-autocast": lambda job: torch_eager(job, autocast=True),
    "torch-bf16": lambda job: torch_eager(job, bf16=True),
    "torch-compile-fp32": torch_compile,
    "torch-compile-autocast": lambda job: torch_compile(job, autocast=True),
    "torch-compile-bf16": lambda job: torch_compile(job, bf16=True),
    "torch-freeze-fp32": torch_freeze,
    "torch-freeze-bf16": lambda job: torch_freeze(job, bf16=True),
    "onnxruntime-fp32": onnxruntime_fp32,
    "openvino-fp32": lambda job: openvino(job, "f32"),
    "openvino-bf16": lambda job: openvino(job, "bf16"),
    "openvino-bf16-streams": lambda job: openvino(job, "bf16", streams=True),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    for name in ("--architecture", "--weights", "--input", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def warm_up(call):
    """Two calls at least, and then not for long. The last result."""
    call()
    end = time.perf_counter() + WARM_UP_S
    for _ in range(1, WARM_UP_CALLS):
        result = call()
        if time.perf_counter() > end:
            break
    return result


def main():
    job = parse_arguments()
    job.architecture = json.loads(pathlib.Path(job.architecture).read_text())
    tensors = safetensors.numpy.load_file(job.input)
    job.x, job.time_cond = tensors["x"], tensors["time_cond"]
    torch.set_num_threads(job.threads)
    # What a library prints must not be taken for a time.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    call, to_numpy = PEERS[job.peer](job)
    phi = warm_up(call)
    safetensors.numpy.save_file({"phi": numpy.ascontiguousarray(to_numpy(phi))}, job.out)
    gc.collect()
    gc.freeze()
    while True:
        start = time.perf_counter()
        call()
        answers.write(f"{1e3 * (time.perf_counter() - start):.4f}\n")
        answers.flush()
        if not sys.stdin.readline():
            break


main()

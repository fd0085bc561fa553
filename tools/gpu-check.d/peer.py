#!/usr/bin/env python3
"""Times an evaluation of a network with torch: compiled, in float16, channels last, in one CUDA graph.

usage: peer.py ARCHITECTURE.json BATCH      prints {"ms": the median}
"""

import json
import pathlib
import statistics
import sys

import ncsnpp
import torch

ROUNDS = 50


def capture(network, inputs):
    """A graph of one call, after the calls that compile and choose."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            network(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(*inputs)
    return graph


def measure(graph):
    times = []
    for _ in range(ROUNDS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def main():
    architecture = json.loads(pathlib.Path(sys.argv[1]).read_text())
    batch, side = int(sys.argv[2]), architecture["image_size"]
    torch.backends.cudnn.benchmark = True
    network = ncsnpp.Ncsnpp(architecture).eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    network = network.to_16_bits(torch.float16).cuda().to(memory_format=torch.channels_last)
    x = torch.rand(batch, 3, side, side, device="cuda").contiguous(
        memory_format=torch.channels_last)
    time_cond = torch.rand(batch, device="cuda") + 0.5
    with torch.inference_mode():
        compiled = torch.compile(network, dynamic=False)
        print(json.dumps({"ms": measure(capture(compiled, (x, time_cond)))}))


main()

# Images of softdiffd, the daemon, and the other programs.
#
#   docker build --target cpu  -t softdiff:cpu .
#   docker build --target cuda -t softdiff:cuda .
#
# The stage build types what a developer types; an image exists only if the tests pass, however slow the machine is.
ARG DEBIAN_BASE=debian:13-slim

FROM ${DEBIAN_BASE} AS build
WORKDIR /src
COPY tools/packages tools/packages-build.txt tools/packages-test.txt tools/
RUN tools/packages --yes build test
COPY . .
RUN meson setup build --prefix /usr --libdir lib && meson compile -C build
RUN meson test -C build --print-errorlogs --timeout-multiplier 10
RUN meson install -C build --no-rebuild --destdir /out

FROM ${DEBIAN_BASE} AS cpu
COPY tools/packages tools/packages-run.txt /tmp/tools/
RUN /tmp/tools/packages --yes run && rm -rf /tmp/tools /var/lib/apt/lists/*
COPY --from=build /out/usr/bin/ /usr/bin/
COPY --from=build /out/usr/share/softdiff/choices/ /usr/share/softdiff/choices/
COPY model/zoo/ /usr/share/softdiff/zoo/
# 0.0.0.0, since a container's loopback is nobody else's; -p decides what the host sees of it.
ENV SOFTDIFF_LISTEN=0.0.0.0:8080 \
    SOFTDIFF_ADMIN_LISTEN=0.0.0.0:9090 \
    SOFTDIFF_MODEL=faces32=/usr/share/softdiff/zoo/faces32.safetensors
EXPOSE 8080 9090
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/bin/softdiffd", "--healthcheck"]
ENTRYPOINT ["/usr/bin/softdiffd"]

# The module of the CUDA engine for all GPUs that are supported, by NVIDIA's compiler from the wheels that
# tests/cuda-requirements.txt pins, and the libraries that it loads; tested on the simulated device.
FROM build AS build-cuda
RUN tools/cuda
RUN meson configure build -Dcuda=enabled -Dgpu_targets=75,80,86,89,90,100,120 && meson compile -C build
RUN meson test -C build --print-errorlogs --timeout-multiplier 10 --suite cuda
RUN meson install -C build --no-rebuild --destdir /out
RUN mkdir /out/cuda && cp /out/usr/lib/softdiff/softdiff-cuda.so .cuda/lib/libcudart.so.13 \
    .cuda/lib/libcublas.so.13 .cuda/lib/libcublasLt.so.13 .cuda/lib/libcudnn*.so.9 /out/cuda/

# For machines with an NVIDIA GPU: docker run --gpus all. Without one it says so and computes on the CPU.
FROM ${DEBIAN_BASE} AS cuda
COPY tools/packages tools/packages-run.txt /tmp/tools/
RUN /tmp/tools/packages --yes run && rm -rf /tmp/tools /var/lib/apt/lists/*
COPY --from=build-cuda /out/usr/bin/ /usr/bin/
COPY --from=build-cuda /out/cuda/ /usr/lib/softdiff/
COPY --from=build-cuda /out/usr/share/softdiff/choices/ /usr/share/softdiff/choices/
COPY model/zoo/ /usr/share/softdiff/zoo/
ENV SOFTDIFF_LISTEN=0.0.0.0:8080 \
    SOFTDIFF_ADMIN_LISTEN=0.0.0.0:9090 \
    SOFTDIFF_MODEL=faces32=/usr/share/softdiff/zoo/faces32.safetensors \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8080 9090
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/bin/softdiffd", "--healthcheck"]
ENTRYPOINT ["/usr/bin/softdiffd"]

# Images of softdiffd, the daemon, and the other programs.
#
#   docker build --target cpu  -t softdiff:cpu .
#   docker build --target cuda -t softdiff:cuda --build-arg CUDA_BASE=IMAGE .
#
# The stage build types what a developer types; an image exists only if the tests pass.
ARG DEBIAN_BASE=debian:13-slim
# A Debian 13 with the CUDA 12 runtime and cuDNN. The default is one without them, since there is
# no such image that everybody can fetch.
ARG CUDA_BASE=debian:13-slim

FROM ${DEBIAN_BASE} AS build
WORKDIR /src
COPY tools/packages tools/packages-build.txt tools/packages-test.txt tools/
RUN tools/packages --yes build test
COPY . .
RUN meson setup build --prefix /usr && meson compile -C build
RUN meson test -C build --print-errorlogs
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
    SOFTDIFF_MODEL=faces=/usr/share/softdiff/zoo/faces32.safetensors
EXPOSE 8080 9090
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/bin/softdiffd", "--healthcheck"]
ENTRYPOINT ["/usr/bin/softdiffd"]

# The same programs on a base with CUDA. The module of the CUDA engine is not in this image yet, so that
# they compute on the CPU: this target gives the base and the settings of the container runtime.
FROM ${CUDA_BASE} AS cuda
COPY tools/packages tools/packages-run.txt /tmp/tools/
RUN /tmp/tools/packages --yes run && rm -rf /tmp/tools /var/lib/apt/lists/*
COPY --from=build /out/usr/bin/ /usr/bin/
COPY --from=build /out/usr/share/softdiff/choices/ /usr/share/softdiff/choices/
COPY model/zoo/ /usr/share/softdiff/zoo/
ENV SOFTDIFF_LISTEN=0.0.0.0:8080 \
    SOFTDIFF_ADMIN_LISTEN=0.0.0.0:9090 \
    SOFTDIFF_MODEL=faces=/usr/share/softdiff/zoo/faces32.safetensors \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8080 9090
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/bin/softdiffd", "--healthcheck"]
ENTRYPOINT ["/usr/bin/softdiffd"]

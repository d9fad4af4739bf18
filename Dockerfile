# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends clang libclang-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches keep RocksDB compiled from one build of the image to the next.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --locked --bin posthouse && \
    strip --strip-debug -o /posthouse /target/debug/posthouse

FROM debian:bookworm-slim
# The authorities that are trusted for policies of MTA-STS.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /posthouse /usr/local/bin/posthouse
COPY conf/docker.toml /etc/posthouse/posthouse.toml
# Whoever the container runs as may make the server's directory in the volume; the server lets nobody else in there.
RUN install -d -m 1777 /data
USER 10001:10001
VOLUME /data
EXPOSE 2525 2587 2465 2143 2993
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["posthouse", "status", "--config", "/etc/posthouse/posthouse.toml"]
ENTRYPOINT ["posthouse"]
CMD ["serve", "--config", "/etc/posthouse/posthouse.toml"]

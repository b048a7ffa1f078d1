# Our three programs, connect, carga and sync, in one image; the command chooses.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked -p api -p carga -p sync \
    && mkdir /out \
    && cp target/release/connect target/release/carga target/release/sync /out/

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin ferrovia
COPY --from=build /out/ /usr/local/bin/
USER 10001
CMD ["connect", "worker"]

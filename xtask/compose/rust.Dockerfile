# Stands for the image rust where no image registry is reached: Debian's compilers and this machine's Rust, which is the build context.
FROM debian:bookworm-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates g++ gcc make perl zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY bin /usr/local/bin/
COPY lib /usr/local/lib/
ENV CARGO_HOME=/usr/local/cargo

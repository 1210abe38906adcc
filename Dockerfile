# syntax=docker/dockerfile:1
# Two stages: the compiler stays behind. The image runs as a user without rights and listens on 9464 for metrics and health.
FROM rust:1.95-slim-bookworm AS build
# cmake and libssl-dev for librdkafka, g++ because its build asks for a C++ compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake g++ libssl-dev make perl pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin udmill && cp target/release/udmill /udmill

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin udmill
COPY --from=build /udmill /usr/local/bin/udmill
USER 10001:10001
EXPOSE 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/udmill"]
CMD ["run", "--config", "/etc/udmill/udmill.toml"]

# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay with the builder; only the copied binary reaches the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin credit-ledger \
    && cp target/release/credit-ledger /usr/local/bin/credit-ledger

FROM debian:bookworm-slim
# Certificates for TLS to the broker, the database and payment providers.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin credits
COPY --from=build /usr/local/bin/credit-ledger /usr/local/bin/credit-ledger
USER 10001:10001
# On its own loopback nobody outside the container could ask it anything.
ENV CREDITS_HTTP_BIND=0.0.0.0:8080 CREDITS_INGRESS_BIND=0.0.0.0:8081
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["credit-ledger", "health"]
ENTRYPOINT ["credit-ledger"]
CMD ["run"]

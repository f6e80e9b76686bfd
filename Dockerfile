# Copyright The gatecast Authors
# SPDX-License-Identifier: Apache-2.0
#
# The internal route listens on loopback of the container, as it does anywhere: it is
# plain HTTP by default, and gives who has the admin token every right. To reach it from
# outside the container, say so, and publish its port where you want it:
#
#   docker run -v gatecast:/data -p 9243:9243 -p 127.0.0.1:9244:9244 -e GATECAST_INTERNAL_LISTEN=:9244 gatecast
#
# The root file system may be read-only: only /data is written to, and /tmp by
# --log memory and by the command demo (--tmpfs /tmp).

FROM golang:1.26 AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/gatecast ./cmd/gatecast \
 && mkdir -m 0700 /out/data \
 && mkdir -m 1777 /out/tmp

FROM scratch
# The public authorities, for a platform (--platform-url, --verify-url), a collector of
# traces or NATS whose certificate is of one of them.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/gatecast /gatecast
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/tmp /tmp
USER 65532:65532
WORKDIR /
VOLUME /data
ENV GATECAST_DATA_DIR=/data \
    GATECAST_ADMIN_TOKEN_FILE=/data/admin.token \
    GATECAST_LOG_FORMAT=json
EXPOSE 9243 9244
# The node drains for its --shutdown-timeout; give it a little more than that.
STOPSIGNAL SIGTERM
# It reads the same environment and configuration file (GATECAST_CONFIG) as the node. Where
# settings are arguments of serve, give them to the check too, in the form without a
# shell, which there is not here: ["CMD", "/gatecast", "health", "--internal-listen", …].
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/gatecast", "health"]
ENTRYPOINT ["/gatecast"]
CMD ["serve"]

# Copyright The gatecast Authors
# SPDX-License-Identifier: Apache-2.0

FROM golang:1.26 AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/gatecast ./cmd/gatecast \
 && mkdir -m 0700 /out/data

FROM scratch
COPY --from=build /out/gatecast /gatecast
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
ENV GATECAST_DATA_DIR=/data \
    GATECAST_ADMIN_TOKEN_FILE=/data/admin.token \
    GATECAST_LOG_FORMAT=json
EXPOSE 9243 9244
# The node drains for its --shutdown-timeout; give it a little more than that.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/gatecast", "health"]
ENTRYPOINT ["/gatecast"]
CMD ["serve"]

# syntax=docker/dockerfile:1

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/distconf
COPY requirements.txt ./
RUN /opt/distconf/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY distributed_config ./distributed_config
COPY migrations ./migrations
RUN /opt/distconf/bin/pip install --no-cache-dir --no-deps .

# The client's commands alone, for a sidecar: `docker build --target sidecar .`
FROM python:3.13-alpine AS sidecar
LABEL org.opencontainers.image.title="Distributed Config sidecar" \
      org.opencontainers.image.description="Keeps files as services of Distributed Config say" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
RUN adduser -D -H -u 10001 -s /sbin/nologin distconf && install -d -o distconf -g distconf /live
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY distributed_config ./distributed_config
COPY migrations ./migrations
RUN pip install --no-cache-dir . && rm -r /src/*
ENV PYTHONDONTWRITEBYTECODE=1
USER 10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["distconf"]
CMD ["sidecar", "--help"]

# The server, which is what `docker build .` makes.
FROM python:3.13-slim
LABEL org.opencontainers.image.title="Distributed Config" \
      org.opencontainers.image.description="A configuration service: numbered JSON versions, served fast and never lost" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin distconf \
    && install -d -o distconf -g distconf /data /live
COPY --from=build /opt/distconf /opt/distconf
ENV PATH=/opt/distconf/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    DISTCONF_BIND=0.0.0.0:5000 \
    DISTCONF_INSTANCE=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/healthz', timeout=2)"]
CMD ["distconf", "serve", "--upgrade"]

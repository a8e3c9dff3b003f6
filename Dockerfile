# syntax=docker/dockerfile:1
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# hadolint ignore=DL3006 # the image is named above, with its tag
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/ requirements/
# The tools that build the package stay in this stage; what it needs to run moves on.
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
    && python -m venv /opt/exporter \
    && /opt/exporter/bin/pip install --require-hashes -r requirements/demo.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter/ exporter/
COPY deploy/completions/ deploy/completions/
COPY deploy/man/ deploy/man/
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/exporter/bin/pip install --no-deps --no-index /tmp/wheel/*.whl \
    && /opt/exporter/bin/pip uninstall --yes setuptools pip

# hadolint ignore=DL3006 # the image is named above, with its tag
FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG REVISION=unknown
ARG VERSION=0.1.0
# As in builds that are the same each time; `make image` says the present time.
ARG CREATED=1970-01-01T00:00:00Z
# Who publishes the image adds source, url, documentation, vendor and authors.
LABEL org.opencontainers.image.title="ontap-packages-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the package repositories of ONTAP clusters" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/exporter /opt/exporter
# A volume that is mounted here belongs to the exporter: the place for a journal in SQLite.
RUN install --directory --owner=65532 --group=65532 --mode=0750 /var/lib/ontap-packages-exporter
ENV PATH=/opt/exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ONTAP_PACKAGES_EXPORTER_REVISION=${REVISION}
USER 65532:65532
WORKDIR /tmp
EXPOSE 10910
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["ontap-packages-exporter", "health"]
ENTRYPOINT ["ontap-packages-exporter"]
CMD ["run", "--config.file=/etc/ontap-packages-exporter/config.yaml"]

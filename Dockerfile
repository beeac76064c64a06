# One image for every service; docker-compose.yml says which command a container runs.
# Everything from PyPI is pinned by hash: requirements.lock for what runs, deploy/build.lock for what builds.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv --without-pip /opt/xenkeep && python -m venv /opt/build
COPY requirements.lock deploy/build.lock ./
RUN /opt/build/bin/pip --python /opt/xenkeep/bin/python install --require-hashes -r requirements.lock \
 && /opt/build/bin/pip install --require-hashes -r build.lock
COPY LICENSE README.md pyproject.toml ./
COPY sdk sdk
COPY services services
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
 && /opt/build/bin/pip --python /opt/xenkeep/bin/python install --no-deps --no-index wheels/*.whl

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Xenkeep" \
      org.opencontainers.image.description="Backup and disaster recovery for XenServer and XCP-ng pools" \
      org.opencontainers.image.licenses="Apache-2.0"
# e2fsprogs: the simulated pool of the demo profile has VMs with real ext4 disks.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends e2fsprogs \
 && rm -rf /var/lib/apt/lists/*
# A new volume takes over the owner and mode of the folder it is mounted on: that is what these folders are for.
RUN groupadd --gid 10001 xenkeep \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/xenkeep --shell /usr/sbin/nologin xenkeep \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/xenkeep /srv/repositories /etc/xenkeep/tls /pki \
 && for name in authority admin nats hypervisor mover catalog scheduler notifier; do \
      install -d -o 10001 -g 10001 -m 0700 /pki/$name; done
COPY --from=build /opt/xenkeep /opt/xenkeep
COPY deploy/nats.conf /etc/xenkeep/nats.conf
COPY deploy/certificates.py deploy/simulated_pool.py /opt/xenkeep/deploy/
ENV PATH=/opt/xenkeep/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /var/lib/xenkeep
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=8s --start-period=60s --retries=3 \
  CMD ["python", "-m", "services.chassis.healthcheck"]
CMD ["xenkeep", "--help"]

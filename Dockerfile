# The service, from its lock file. Build: docker compose build
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /app
# With a GPU: requirements-gpu.lock, as docker-compose.gpu.yml has it.
ARG REQUIREMENTS=requirements.lock
COPY requirements.lock requirements-gpu.lock ./
# --require-hashes: exactly what was locked, or nothing. No pip and no package's tests go into the
# image. Bytecode is compiled now, not at each start.
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --require-hashes -r "$REQUIREMENTS" \
    && find /venv/lib -type d \( -name tests -o -path "*/onnx/backend/test" \) -prune -exec rm -r {} + \
    && /venv/bin/python -m compileall -q /venv/lib

FROM python:3.11.14-slim-bookworm
# Its home is all that it may write to. A new volume there gets this folder's owner.
RUN useradd --uid 10001 --home-dir /var/lib/mgeo --no-create-home --shell /usr/sbin/nologin mgeo \
    && install --directory --owner mgeo --group mgeo /var/lib/mgeo
COPY --from=build /venv /venv
WORKDIR /app
COPY service service
COPY telemetry telemetry
COPY tools/__init__.py tools/load.py tools/
RUN /venv/bin/python -m compileall -q service telemetry tools
# MODELSCOPE_CACHE: downloaded models, and which backend was chosen here.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 MODELSCOPE_CACHE=/var/lib/mgeo
USER 10001
# So that it can be written to in a read-only container, and is still there after a restart.
VOLUME /var/lib/mgeo
EXPOSE 5000 8000
# Ready, not just alive: says no while the model loads and while the process drains.
HEALTHCHECK --interval=10s --timeout=5s --retries=6 --start-period=60s \
    CMD ["python", "-m", "service", "ready"]
CMD ["python", "-m", "service", "serve"]

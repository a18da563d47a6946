# The service, from its lock file. Build: docker compose build
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /app
# With a GPU: requirements-gpu.lock, as docker-compose.gpu.yml has it.
ARG REQUIREMENTS=requirements.lock
COPY requirements.lock requirements-gpu.lock ./
# --require-hashes: exactly what was locked, or nothing. Bytecode is compiled now, not at each start.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r "$REQUIREMENTS" \
    && /venv/bin/python -m compileall -q /venv/lib

FROM python:3.11.14-slim-bookworm
# A new volume on that folder gets its owner.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mgeo \
    && install --directory --owner mgeo --group mgeo /var/lib/mgeo
COPY --from=build /venv /venv
WORKDIR /app
COPY service service
COPY telemetry telemetry
COPY tools/__init__.py tools/load.py tools/
RUN /venv/bin/python -m compileall -q service telemetry
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
EXPOSE 5000 8000
# Ready, not just alive: says no while the model loads and while the process drains.
HEALTHCHECK --interval=10s --timeout=5s --retries=6 --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=3)"]
CMD ["python", "-m", "service", "serve"]

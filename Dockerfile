# docker build --target cpu -t harmon-eval . && mkdir -p runs
# docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/home/eval/runs" harmon-eval --help
# For NVIDIA GPUs: --target cuda, and run it with --gpus all.
# PIP_FLAGS are further options of pip, such as an index of yours.
FROM python:3.12-slim AS base
ARG PIP_FLAGS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 eval
WORKDIR /source
COPY . .
# Whoever runs it owns what it writes into the mounted folder; the cache lies in the home.
ENV HOME=/home/eval
RUN mkdir /home/eval/runs && chmod 1777 /home/eval /home/eval/runs
VOLUME /home/eval/runs
ENTRYPOINT ["harmon-eval"]

# The package index's PyTorch brings CUDA; the driver comes from the host.
FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# What is installed is this source, so no version is pinned.
# hadolint ignore=DL3013
RUN pip install ${PIP_FLAGS} ".[official,vlm,vision]"
USER 1000:1000
WORKDIR /home/eval

# The last stage is the one that is built without --target.
FROM base AS cpu
# What is installed is this source, so no version is pinned.
# hadolint ignore=DL3013
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu ${PIP_FLAGS} ".[official,vlm,vision]"
USER 1000:1000
WORKDIR /home/eval

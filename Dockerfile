# docker build -t harmon-eval . && mkdir -p runs
# docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/home/eval/runs" harmon-eval
# Another build of PyTorch: docker build --build-arg PIP_FLAGS="--extra-index-url ..." -t harmon-eval .
FROM python:3.11-slim
ARG PIP_FLAGS=""
RUN useradd --create-home eval
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir $PIP_FLAGS . && rm -rf /source
USER eval
WORKDIR /home/eval
# Whoever runs it owns what it writes into the mounted folder; the cache lies in the home.
ENV HOME=/home/eval
RUN mkdir runs && chmod 1777 . runs
VOLUME /home/eval/runs
ENTRYPOINT ["harmon-eval"]

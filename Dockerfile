# docker build -t harmon-eval . && docker run --rm -v "$PWD/runs:/home/eval/runs" harmon-eval
# Another build of PyTorch: docker build --build-arg PIP_FLAGS="--extra-index-url ..." -t harmon-eval .
FROM python:3.11-slim
ARG PIP_FLAGS=""
RUN useradd --create-home eval
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir $PIP_FLAGS . && rm -rf /source
USER eval
WORKDIR /home/eval
RUN mkdir runs
VOLUME /home/eval/runs
ENTRYPOINT ["harmon-eval"]

# docker build -t harmon-eval . && docker run --rm -v "$PWD/runs:/home/eval/runs" harmon-eval
# For GPUs: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 ...
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN useradd --create-home eval
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" . && rm -rf /source
USER eval
WORKDIR /home/eval
RUN mkdir runs
VOLUME /home/eval/runs
ENTRYPOINT ["harmon-eval"]

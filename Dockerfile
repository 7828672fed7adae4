# Every command in a container: docker build -t fire-rl .          (torch's CPU build)
#                               docker build -t fire-rl --build-arg TORCH=cuda .
# torch's CUDA build brings CUDA itself, so that both have the same base; a GPU needs the NVIDIA driver of the host.
FROM python:3.11-slim-bookworm
ARG TORCH=cpu
# Of GPL packages there is one, MinAtar: --build-arg EXTRAS=all,minatar
ARG EXTRAS=all
# They draw videos without a screen, in software too. Debian keeps one version of each, so that none is named.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libegl1 libgl1 libgl1-mesa-dri libopengl0 \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
WORKDIR /source
RUN version=$(sed -n 's/^torch==//p' constraints.txt) \
    && case $TORCH in \
      cpu) pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch==$version+cpu" ;; \
      cuda) pip install --no-cache-dir "torch==$version" ;; \
      *) echo "TORCH=$TORCH is unknown: cpu or cuda" && exit 1 ;; \
    esac \
    && pip install --no-cache-dir --constraint constraints.txt ".[$EXTRAS]"
# Runs belong to whoever starts the container: its working directory is theirs, and its home may be written to.
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["fire-rl"]
CMD ["--help"]

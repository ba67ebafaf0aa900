# docker build -t vigorl .                                                                 for NVIDIA GPUs: torch's wheels bring CUDA
# docker build -t vigorl:cpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
# docker run --gpus all --shm-size 16g -v $PWD/outputs:/vigorl/outputs vigorl python -m vigorl.train experiment=grpo_vstar
FROM python:3.11-slim
ARG TORCH_INDEX=https://pypi.org/simple
ARG EXTRAS=deepspeed
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends git g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /vigorl
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --no-cache-dir --index-url $TORCH_INDEX "$(grep -o 'torch==[0-9.]*' pyproject.toml | head -1)"
COPY configs configs
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt --editable ".[$EXTRAS]"
COPY . .
ENV PYTHONUNBUFFERED=1
CMD ["python", "-m", "vigorl.doctor", "experiment=grpo_vstar"]

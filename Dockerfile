# A small image with the command, for CI jobs and agents: docker build -t invokeai-gen . && docker run --rm invokeai-gen --help
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY data/openapi.json data/
COPY templates templates
COPY src src
RUN python -m venv /opt/invokeai-gen && /opt/invokeai-gen/bin/pip install --no-cache-dir ".[images,mcp]"

FROM python:3.12-slim
COPY --from=build /opt/invokeai-gen /opt/invokeai-gen
ENV PATH="/opt/invokeai-gen/bin:$PATH"
RUN useradd --create-home --uid 1000 user
USER 1000
WORKDIR /work
ENTRYPOINT ["invokeai-gen"]
CMD ["--help"]

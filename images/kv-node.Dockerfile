# ringkv/kv-node from a release binary. The binary is linked to the glibc of where it was built: the base must be as new.
#   docker build -f images/kv-node.Dockerfile --build-arg BASE=debian:bookworm-slim -t ringkv/kv-node:0.1.0 <folder with kv-node>
ARG BASE=debian:bookworm-slim
FROM ${BASE}
COPY kv-node /usr/local/bin/kv-node
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/kv-node"]

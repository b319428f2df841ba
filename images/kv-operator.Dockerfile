# ringkv/kv-operator from a release binary. The binary is linked to the glibc of where it was built: the base must be as new.
#   docker build -f images/kv-operator.Dockerfile --build-arg BASE=debian:bookworm-slim -t ringkv/kv-operator:0.1.0 <folder with kv-operator>
ARG BASE=debian:bookworm-slim
FROM ${BASE}
COPY kv-operator /usr/local/bin/kv-operator
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/kv-operator"]
CMD ["run"]

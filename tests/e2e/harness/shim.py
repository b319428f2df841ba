"""Libraries that are loaded before the C library to change what it does, and programs that run kv-node with them."""

import os

from .binaries import binary, system

#: Says that everything is on disk, and does nothing: a machine whose disks lie.
NO_SYNC = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <sys/types.h>
int fsync(int fd) { (void)fd; return 0; }
int fdatasync(int fd) { (void)fd; return 0; }
int sync_file_range(int fd, off64_t from, off64_t bytes, unsigned flags) { (void)fd; (void)from; (void)bytes; (void)flags; return 0; }
int syncfs(int fd) { (void)fd; return 0; }
int msync(void *at, size_t bytes, int flags) { (void)at; (void)bytes; (void)flags; return 0; }
"""

#: Connections leave from the address in SOURCE_ADDRESS, so that a firewall can tell nodes of one machine apart.
SOURCE_ADDRESS = """
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
int connect(int fd, const struct sockaddr *to, socklen_t bytes) {
  static int (*real)(int, const struct sockaddr *, socklen_t);
  if (!real) real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
  const char *source = getenv("SOURCE_ADDRESS");
  if (source && to->sa_family == AF_INET) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    if (getsockname(fd, (struct sockaddr *)&from, &length) == 0 && from.sin_addr.s_addr == INADDR_ANY) {
      int on = 1;
      setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      memset(&from, 0, sizeof from);
      from.sin_family = AF_INET;
      inet_pton(AF_INET, source, &from.sin_addr);
      bind(fd, (struct sockaddr *)&from, sizeof from);
    }
  }
  return real(fd, to, bytes);
}
"""


def build(folder, name, source):
    """Compiles a library; answers its path."""
    (folder / f"{name}.c").write_text(source)
    library = folder / f"{name}.so"
    system("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, folder / f"{name}.c", "-ldl")
    return library


def wrapper(folder, name, before):
    """A program that becomes kv-node after the shell lines `before`; answers its path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{before}\nexec {binary('kv-node')} \"$@\"\n")
    os.chmod(path, 0o755)
    return path


def node_without_sync(folder):
    library = build(folder, "nosync", NO_SYNC)
    return wrapper(folder, "kv-node-nosync", f"export LD_PRELOAD={library}")


def node_with_source_address(folder):
    """`rides-2` connects from 127.0.1.2: the operator runs a node as `kv-node run --config DIR/nodes/<name>/node.json`."""
    library = build(folder, "source", SOURCE_ADDRESS)
    before = f'name=$(basename "$(dirname "$3")")\nexport LD_PRELOAD={library} SOURCE_ADDRESS=127.0.1.${{name##*-}}'
    return wrapper(folder, "kv-node-from", before)


def source_address(name):
    return "127.0.1." + name.rpartition("-")[2]

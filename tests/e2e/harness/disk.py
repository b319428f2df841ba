"""Small ext4 file systems on loop devices, whose plug can be pulled. Needs root."""

import errno
import fcntl
import os
import struct

from .binaries import run, system
from .wait import eventually

#: `_IOR('X', 125, u32)` of linux/fs.h, and its mode that drops even the journal.
FS_IOC_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
NO_LOG_FLUSH = 2


class Disk:
    """An ext4 of `mebibytes` in a sparse file, mounted at `place` until it is closed."""

    def __init__(self, place, image, mebibytes):
        self.place, self.image, self.mounted = place, image, False
        place.mkdir(parents=True, exist_ok=True)
        with open(image, "wb") as file:
            file.truncate(mebibytes << 20)
        system("mkfs.ext4", "-q", "-F", "-m", "0", image)
        self.mount()

    def mount(self):
        system("mount", "-o", "loop", self.image, self.place)
        self.mounted = True

    def unmount(self):
        """Waits until nobody uses it any more."""
        eventually(f"{self.place} is free", lambda: run("umount", self.place)[0] == 0, 20)
        self.mounted = False

    def sync(self):
        system("sync", "-f", self.place)

    def cut_power(self):
        """From now on nothing reaches the image, not even the journal: what was not synced is lost."""
        fd = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def free_bytes(self):
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes):
        """Allocates a file that leaves `leave_bytes` free, however others write at the same time; answers its path."""
        path = self.place / "filler"
        step = 64 << 20
        with open(path, "wb") as file:
            end = 0
            while step >= 4096:
                if self.free_bytes() - step < leave_bytes:
                    step //= 2
                    continue
                try:
                    os.posix_fallocate(file.fileno(), end, step)
                    end += step
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 2
        return path

    def close(self):
        if self.mounted:
            # Lazily: whatever went wrong may have left files open. The loop device goes with the last of them.
            run("umount", "-l", self.place)
            self.mounted = False
        self.image.unlink(missing_ok=True)

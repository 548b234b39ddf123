/* Makes the n-th call of a kind fail, for the tests: preloaded into a process that knows nothing of it.

   AES_FAULT_CALLS   kinds, joined by commas: read write sync rename truncate
   AES_FAULT_AT      which call of these kinds fails, counted from 1; 0 for none
   AES_FAULT_ERRNO   with what
   AES_FAULT_UNDER   only calls on files whose path begins so
   AES_FAULT_LOG     a file that gets one byte for each call that was counted

   A read or write that fails has done nothing. Processes that are started inherit the library and count for themselves. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int counted;

static int begins(const char *path) {
    const char *under = getenv("AES_FAULT_UNDER");
    return under && strncmp(path, under, strlen(under)) == 0;
}

static int fails(const char *kind, const char *path) {
    const char *kinds = getenv("AES_FAULT_CALLS"), *at = getenv("AES_FAULT_AT");
    if (!kinds || !at || !strstr(kinds, kind) || !begins(path)) return 0;
    int number = atomic_fetch_add(&counted, 1) + 1;
    const char *log = getenv("AES_FAULT_LOG");
    if (log) {
        int file = syscall(SYS_open, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (file >= 0) { syscall(SYS_write, file, ".", 1); syscall(SYS_close, file); }
    }
    if (number != atoi(at)) return 0;
    const char *with = getenv("AES_FAULT_ERRNO");
    errno = with ? atoi(with) : EIO;
    return 1;
}

static int fails_on(const char *kind, int descriptor) {
    char name[64], path[4096];
    int before = errno;
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(name, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(kind, path);
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

ssize_t read(int file, void *data, size_t size) {
    if (fails_on("read", file)) return -1;
    return syscall(SYS_read, file, data, size);
}
ssize_t pread(int file, void *data, size_t size, off_t at) {
    if (fails_on("read", file)) return -1;
    return syscall(SYS_pread64, file, data, size, at);
}
ssize_t pread64(int file, void *data, size_t size, off_t at) { return pread(file, data, size, at); }
ssize_t write(int file, const void *data, size_t size) {
    if (fails_on("write", file)) return -1;
    return syscall(SYS_write, file, data, size);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    if (fails_on("write", file)) return -1;
    return syscall(SYS_pwrite64, file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off_t at) { return pwrite(file, data, size, at); }
int fsync(int file) { return fails_on("sync", file) ? -1 : REAL(int, "fsync", int)(file); }
int fdatasync(int file) { return fails_on("sync", file) ? -1 : REAL(int, "fdatasync", int)(file); }
int ftruncate(int file, off_t size) { return fails_on("truncate", file) ? -1 : (int)syscall(SYS_ftruncate, file, size); }
int ftruncate64(int file, off_t size) { return ftruncate(file, size); }
int rename(const char *from, const char *to) {
    return fails("rename", to) ? -1 : REAL(int, "rename", const char *, const char *)(from, to);
}

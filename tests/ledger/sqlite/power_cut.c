/* What a power cut leaves: whenever a file is synced, its content is copied to $POWER_CUT_LEAVES.
   Preloaded into a process, this makes that folder hold what reached the disk and nothing else.
   A file that is removed is removed at once: journalling file systems keep that order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void leave(int fd) {
    const char *folder = getenv("POWER_CUT_LEAVES");
    struct stat what;
    if (folder == NULL || fstat(fd, &what) != 0 || !S_ISREG(what.st_mode)) return;
    char link[64], name[PATH_MAX], half[PATH_MAX * 2], whole[PATH_MAX * 2], buffer[65536];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length <= 0) return;
    name[length] = 0;
    snprintf(whole, sizeof whole, "%s/%s", folder, basename(name));
    snprintf(half, sizeof half, "%s.half", whole);
    int out = open(half, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    off_t at = 0;
    ssize_t got;
    while (out >= 0 && (got = pread(fd, buffer, sizeof buffer, at)) > 0) {
        if (write(out, buffer, got) != got) abort();
        at += got;
    }
    close(out);
    rename(half, whole);  /* the process may be killed in the middle of this */
}

int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int result = real(fd);
    if (result == 0) leave(fd);
    return result;
}

int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    int result = real(fd);
    if (result == 0) leave(fd);
    return result;
}

int unlink(const char *path) {
    int (*real)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    int result = real(path);
    const char *folder = getenv("POWER_CUT_LEAVES");
    char name[PATH_MAX], left[PATH_MAX * 2];
    if (result == 0 && folder != NULL && strlen(path) < sizeof name) {
        strcpy(name, path);
        snprintf(left, sizeof left, "%s/%s", folder, basename(name));
        real(left);
    }
    return result;
}

/* Holds up or fails syncs of the write-ahead log. What DISK_FAULT names is read before each one:
 * "stall" waits until it says something else, "fail" is an input/output error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int of_log(int fd) {
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n < 0)
		return 0;
	path[n] = 0;
	return strstr(path, "/member/wal/") != NULL;
}

static char fault(void) {
	const char *path = getenv("DISK_FAULT");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char first = 0;
	if (fd < 0)
		return 0;
	if (read(fd, &first, 1) != 1)
		first = 0;
	close(fd);
	return first;
}

static int faulty(int fd) {
	const struct timespec pause = {0, 5 * 1000 * 1000};
	if (!of_log(fd))
		return 0;
	while (fault() == 's')
		nanosleep(&pause, NULL);
	if (fault() != 'f')
		return 0;
	errno = EIO;
	return 1;
}

int fdatasync(int fd) {
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	return faulty(fd) ? -1 : next(fd);
}

int fsync(int fd) {
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	return faulty(fd) ? -1 : next(fd);
}

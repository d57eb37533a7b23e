/* What no shell can ask of the kernel. Prints the name of the error of each call, or "done". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char *what, long result) {
    printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

int main(void) {
    char letter = 'x';
    say("push-input", ioctl(0, TIOCSTI, &letter));
    say("push-input-wide", syscall(SYS_ioctl, 0, 0x100000000UL | TIOCSTI, &letter));
    say("add-key", syscall(SYS_add_key, "user", "name", "value", 5, -3));
    say("search-keys", syscall(SYS_keyctl, 10, -3, "user", "name", 0));
    struct { struct file_handle head; unsigned char bytes[128]; } handle;
    memset(&handle, 0, sizeof handle);
    handle.head.handle_bytes = 8;
    handle.head.handle_type = 1;
    handle.bytes[0] = 2;
    int root = open("/etc/hosts", O_RDONLY);
    say("open-by-handle", syscall(SYS_open_by_handle_at, root, &handle, O_RDONLY));
    say("new-users", syscall(SYS_unshare, 0x10000000));
    say("new-users-by-clone3", syscall(SYS_clone3, &handle, 88));
    say("mount", syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, ""));
    say("io-ring", syscall(SYS_io_uring_setup, 1, &handle));
    say("faults", syscall(SYS_userfaultfd, 0));
    say("host-machines", syscall(SYS_socket, 40, 1, 0));
    say("trace-first", syscall(SYS_ptrace, 16, 1, 0, 0));
    return 0;
}

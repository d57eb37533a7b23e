/* Looks for processes that have more than a container: by its words, the place of a file of the host. Prints what it
   finds, each kind once. Says when it looks. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void found(int kind, const char *what, int pid) {
    static int told[3];
    if (told[kind]++ == 0) {
        printf("%s of %d\n", what, pid);
        fflush(stdout);
    }
}

static void look(int pid, const char *secret) {
    char path[512], text[512];
    snprintf(path, sizeof path, "/proc/%d/root%s", pid, secret);
    if (access(path, F_OK) == 0) found(0, "the host's root", pid);
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t size = readlink(path, text, sizeof text - 1);
    if (size <= 0) return;
    text[size] = 0;
    if (strstr(text, "hythe") == NULL) return;
    found(1, "the runtime's program", pid);
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int memory = open(path, O_RDWR);
    if (memory >= 0) {
        found(2, "the runtime's memory", pid);
        close(memory);
    }
}

int main(int count, char **words) {
    if (count != 2) return 1;
    printf("looking\n");
    fflush(stdout);
    for (;;) {
        DIR *all = opendir("/proc");
        for (struct dirent *one; all != NULL && (one = readdir(all)) != NULL;) {
            int pid = isdigit((unsigned char)one->d_name[0]) ? atoi(one->d_name) : 0;
            /* The first one is the task's own, without a right or a root. */
            if (pid > 1 && pid != getpid()) look(pid, words[1]);
        }
        if (all != NULL) closedir(all);
    }
}

//! Which system calls a container may make. Facts about calls, in groups by what they are about.
//!
//! The set is the one that Docker publishes for its containers, so that whatever runs there runs here; the two
//! refusals in [`DENIED_REQUESTS`] are ours. Names of several architectures stand side by side: one that an
//! architecture does not have is no call of it.

use oci_spec::runtime::Capability;

/// Calls that anybody may make.
pub(super) const ALWAYS: [&str; 12] = [
    // files by name
    "access chdir chmod chown chown32 creat faccessat faccessat2 fchmodat fchmodat2 fchownat fstatat64 \
     futimesat getcwd getxattr getxattrat lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr \
     lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat \
     openat2 readlink readlinkat removexattr removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat \
     stat64 statfs statfs64 statx symlink symlinkat truncate truncate64 umask unlink unlinkat utime utimensat \
     utimensat_time64 utimes",
    // open files
    "_llseek close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fchdir fchmod fchown \
     fchown32 fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatfs \
     fstatfs64 fsync ftruncate ftruncate64 getdents getdents64 ioctl lseek pipe pipe2 pread64 preadv preadv2 pwrite64 \
     pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range syncfs tee vmsplice write \
     writev",
    // what changes on disk, and what is mounted
    "fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch listmount statmount",
    // many requests at once
    "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit",
    // waiting for what is ready
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old \
     eventfd eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select",
    // memory
    "brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap \
     mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease \
     remap_file_pages",
    // processes and threads
    "execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake \
     get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getrusage getsid gettid pidfd_open prctl \
     restart_syscall rseq seccomp set_robust_list set_thread_area set_tid_address setpgid setsid times uretprobe vfork \
     wait4 waitid waitpid",
    // signals
    "kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn \
     rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask \
     sigreturn tgkill tkill",
    // identity, rights and limits
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 \
     getresuid getresuid32 getrlimit getuid getuid32 landlock_add_rule landlock_create_ruleset landlock_restrict_self \
     prlimit64 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 \
     setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setuid setuid32 ugetrlimit",
    // clocks, timers and turns
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 \
     clock_nanosleep clock_nanosleep_time64 getitimer getpriority gettimeofday ioprio_get ioprio_set nanosleep \
     sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
     sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
     sched_setscheduler sched_yield setitimer setpriority time timer_create timer_delete timer_getoverrun \
     timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 \
     timerfd_settime timerfd_settime64",
    // sockets and queues
    "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open \
     mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd \
     recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg \
     sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair",
    // what the system is
    "getrandom riscv_hwprobe sysinfo uname",
];

/// Calls that one process makes on another. Before Linux 4.8 they led around a filter.
pub(super) const ON_OTHERS: &str = "process_vm_readv process_vm_writev ptrace";

/// Calls that an architecture has for itself, and their native one: the name that the compiler gives it.
pub(super) const BY_ARCHITECTURE: [(&[&str], &str); 3] = [
    (&["x86_64"], "arch_prctl modify_ldt"),
    (
        &["aarch64", "arm"],
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    (&["riscv64"], "riscv_flush_icache"),
];

/// Calls that are for whoever has a capability.
pub(super) const BY_CAPABILITY: [(Capability, &str); 14] = [
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module init_module finit_module"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (Capability::SysRawio, "iopl ioperm"),
    (Capability::SysTime, "settimeofday stime clock_settime clock_settime64"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// Families of sockets from this one on are named one by one: those below may all be had.
pub(super) const FAMILIES_BELOW: u64 = 12;

/// Further families of sockets (linux/socket.h). Absent are those with a history of holes and nobody who needs them in
/// a container: DECnet, X.25's and IPX's kin, IUCV, the kernel's ciphers (38) and the host's virtual machines (40).
pub(super) const FAMILIES: [u64; 25] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];

/// Personalities that programs ask for: Linux, its 32-bit and uname 2.6 variants, and the question (sys/personality.h).
pub(super) const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Flags of clone that make namespaces (linux/sched.h).
pub(super) const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// Requests that put words into the mouth of whoever sits at a terminal: TIOCSTI, and TIOCLINUX's pasting. The kernel
/// looks at 32 bits of a request.
pub(super) const DENIED_REQUESTS: [u64; 2] = [0x5412, 0x541c];

/// Requests that take a file out of its project, and with it out of a quota: FS_IOC_FSSETXATTR, and FS_IOC_SETFLAGS of
/// both sizes, which makes a directory hand its project on no more. Without a user namespace any owner may make them.
pub(super) const PROJECT_REQUESTS: [u64; 3] = [0x401c_5820, 0x4008_6602, 0x4004_6602];

//! What a single-threaded loop waits on: epoll, signalfd, timerfd, eventfd, inotify.

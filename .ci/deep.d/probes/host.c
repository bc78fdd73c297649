/* A program of C with an event loop in a library: SIGPIPE has its default, descriptors 0 to 2 are as the
 * shell left them. host LIBRARY MODE; its exit code is what the library's function says. */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *library;

static int call(const char *name)
{
    int (*function)(void) = (int (*)(void))dlsym(library, name);
    return function ? function() : 90;
}

/* The host's own signal is as it was: a child that writes to nobody dies of it. */
static int still_raises(void)
{
    struct sigaction now;
    sigset_t mask;
    int ends[2], status = 0;
    if (sigaction(SIGPIPE, 0, &now) || now.sa_handler != SIG_DFL)
        return 91;
    if (sigprocmask(SIG_BLOCK, 0, &mask) || sigismember(&mask, SIGPIPE))
        return 92;
    if (pipe(ends))
        return 93;
    close(ends[0]);
    pid_t child = fork();
    if (child == 0) {
        (void)!write(ends[1], "x", 1);
        _exit(0);
    }
    close(ends[1]);
    if (waitpid(child, &status, 0) != child)
        return 94;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE ? 0 : 95;
}

static int forks(void)
{
    int status = 0, failed = call("before_fork");
    if (failed)
        return failed;
    pid_t child = fork();
    if (child == 0)
        _exit(call("in_child"));
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return 96;
    return WEXITSTATUS(status) ? 10 + WEXITSTATUS(status) : call("after_fork");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 97;
    /* what a shell or a driver may have had ignored */
    signal(SIGPIPE, SIG_DFL);
    library = dlopen(argv[1], RTLD_NOW);
    if (!library)
        return 98;
    if (!strcmp(argv[2], "forks"))
        return forks();
    int failed = call(argv[2]);
    return failed ? failed : still_raises();
}

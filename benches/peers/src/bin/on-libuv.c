/* libuv, as one uses it in C: echo[:BUFFER], callback_timer_random, callback_timer_fifo:LIVE,
 * callback_timer_fire, cross_stream, cross_drain. The command line and the output are those of the
 * programs in Rust; `../../run` compiles it if libuv is there. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

static int rounds = 4, first_counted = 1;
static size_t operations = 100000;

static double now_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static double cpu(void) { return now_of(CLOCK_THREAD_CPUTIME_ID); }

static uint64_t seed;

static uint64_t below(uint64_t limit) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % limit;
}

static void restart(void) { seed = 0x9e3779b97f4a7c15u; }

/* echo */

static size_t buffer_size = 4096;

struct connection {
    uv_tcp_t tcp;
    char buffer[];
};

static void closed(uv_handle_t *handle) { free(handle); }

static void allocate(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer) {
    (void)wanted;
    *buffer = uv_buf_init(((struct connection *)handle)->buffer, buffer_size);
}

static void read_some(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
    if (n == 0) return;
    if (n > 0) {
        /* What does not fit is the client's loss here: it waits for its answers. */
        uv_buf_t answer = uv_buf_init(buffer->base, n);
        if (uv_try_write(stream, &answer, 1) == n) return;
    }
    if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, closed);
}

static void accept_one(uv_stream_t *listener, int status) {
    if (status < 0) return;
    struct connection *connection = calloc(1, sizeof *connection + buffer_size);
    uv_tcp_init(listener->loop, &connection->tcp);
    uv_accept(listener, (uv_stream_t *)&connection->tcp);
    uv_read_start((uv_stream_t *)&connection->tcp, allocate, read_some);
}

static void echo(void) {
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in any;
    int length = sizeof any;
    uv_tcp_init(loop, &listener);
    uv_ip4_addr("127.0.0.1", 0, &any);
    uv_tcp_bind(&listener, (struct sockaddr *)&any, 0);
    uv_listen((uv_stream_t *)&listener, 1024, accept_one);
    uv_tcp_getsockname(&listener, (struct sockaddr *)&any, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(any.sin_port));
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
}

/* timers */

static void nothing(uv_timer_t *timer) { (void)timer; }

static void random_timers(void) {
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t *timers = calloc(operations, sizeof *timers);
    uint32_t *order = malloc(operations * sizeof *order);
    for (int round = 0; round < rounds; round++) {
        restart();
        for (size_t n = 0; n < operations; n++) order[n] = n;
        for (size_t n = operations - 1; n > 0; n--) {
            size_t other = below(n + 1);
            uint32_t kept = order[n];
            order[n] = order[other];
            order[other] = kept;
        }
        double began = cpu();
        for (size_t n = 0; n < operations; n++) {
            uv_timer_init(loop, &timers[n]);
            /* Else its time is the turn's, which others do not use either. */
            uv_update_time(loop);
            uv_timer_start(&timers[n], nothing, 60000 + below(60000), 0);
            if (n % 1024 == 1023) uv_run(loop, UV_RUN_NOWAIT);
        }
        double made = cpu();
        for (size_t n = 0; n < operations; n++) {
            uv_timer_stop(&timers[order[n]]);
            if (n % 1024 == 1023) uv_run(loop, UV_RUN_NOWAIT);
        }
        double ended = cpu();
        if (round >= first_counted)
            printf("%.3f %.3f %.3f\n", (ended - began) / operations, (made - began) / operations,
                   (ended - made) / operations);
    }
}

static void fifo_timers(size_t live) {
    uv_loop_t *loop = uv_default_loop();
    if (live == 0) live = 1;
    uv_timer_t *timers = calloc(live, sizeof *timers);
    for (size_t n = 0; n < live; n++) {
        uv_timer_init(loop, &timers[n]);
        uv_timer_start(&timers[n], nothing, 30000, 0);
    }
    size_t oldest = 0;
    for (int round = 0; round < rounds; round++) {
        double began = cpu();
        for (size_t n = 0; n < operations; n++) {
            uv_timer_stop(&timers[oldest]);
            uv_update_time(loop);
            uv_timer_start(&timers[oldest], nothing, 30000, 0);
            oldest = oldest + 1 == live ? 0 : oldest + 1;
            if (n % 1024 == 1023) uv_run(loop, UV_RUN_NOWAIT);
        }
        if (round >= first_counted) printf("%.3f\n", (cpu() - began) / operations);
    }
}

static double *late;
static size_t fired;

static void fire(uv_timer_t *timer) {
    double by = now_of(CLOCK_MONOTONIC) - *(double *)timer->data;
    late[fired++] = by < 0 ? 0 : by;
}

static int less(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void firing_timers(void) {
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t *timers = calloc(operations, sizeof *timers);
    double *deadlines = calloc(operations, sizeof *deadlines);
    late = calloc(operations, sizeof *late);
    for (int round = 0; round < rounds; round++) {
        restart();
        fired = 0;
        double began = cpu();
        for (size_t n = 0; n < operations; n++) {
            uint64_t wait = 200000 + below(1000000);
            deadlines[n] = now_of(CLOCK_MONOTONIC) + wait * 1e3;
            uv_timer_init(loop, &timers[n]);
            timers[n].data = &deadlines[n];
            uv_update_time(loop);
            uv_timer_start(&timers[n], fire, (wait + 999) / 1000, 0);
        }
        uv_run(loop, UV_RUN_DEFAULT);
        double took = cpu() - began;
        qsort(late, fired, sizeof *late, less);
        if (round >= first_counted)
            printf("%.1f %.1f %.1f\n", took / operations, late[(fired - 1) / 2] / 1e3,
                   late[(fired - 1) * 99 / 100] / 1e3);
    }
}

/* items from another thread */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t *shared, *taken;
static size_t shared_count, received;
static uv_async_t async;

static void take(uv_async_t *handle) {
    pthread_mutex_lock(&lock);
    uint64_t *items = shared;
    size_t count = shared_count;
    shared = taken;
    taken = items;
    shared_count = 0;
    pthread_mutex_unlock(&lock);
    for (size_t n = 0; n < count; n++) {
        if (items[n] != received++) abort();
    }
    if (received == operations) uv_stop(handle->loop);
}

static void *send_all(void *unused) {
    (void)unused;
    for (size_t n = 0; n < operations; n++) {
        pthread_mutex_lock(&lock);
        shared[shared_count++] = n;
        pthread_mutex_unlock(&lock);
        uv_async_send(&async);
    }
    return NULL;
}

static void cross(bool drain) {
    uv_loop_t *loop = uv_default_loop();
    shared = calloc(operations, sizeof *shared);
    taken = calloc(operations, sizeof *taken);
    uv_async_init(loop, &async, take);
    for (int round = 0; round < rounds; round++) {
        pthread_t sending;
        received = 0;
        pthread_create(&sending, NULL, send_all, NULL);
        if (drain) pthread_join(sending, NULL);
        double began = cpu();
        uv_run(loop, UV_RUN_DEFAULT);
        if (round >= first_counted) printf("%.3f\n", (cpu() - began) / operations);
        if (!drain) pthread_join(sending, NULL);
    }
}

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[count - 1], "--once") == 0) {
        rounds = 1;
        first_counted = 0;
        count--;
    } else if (count > 2 && strcmp(arguments[count - 2], "--rounds") == 0) {
        rounds = 1 + atoi(arguments[count - 1]);
        count -= 2;
    }
    if (count < 3) return 2;
    char *name = arguments[2], *colon = strchr(name, ':');
    size_t parameter = colon ? strtoull(colon + 1, NULL, 10) : 0;
    if (colon) *colon = 0;
    if (count > 3) operations = strtoull(arguments[3], NULL, 10);
    if (strcmp(name, "echo") == 0) {
        if (parameter) buffer_size = parameter;
        echo();
    } else if (strcmp(name, "callback_timer_random") == 0) {
        random_timers();
    } else if (strcmp(name, "callback_timer_fifo") == 0) {
        fifo_timers(parameter);
    } else if (strcmp(name, "callback_timer_fire") == 0) {
        firing_timers();
    } else if (strcmp(name, "cross_stream") == 0 || strcmp(name, "cross_drain") == 0) {
        cross(name[6] == 'd');
    } else {
        return 3;
    }
    return 0;
}

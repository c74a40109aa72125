/* What the load generator and the upstream agree about: every byte of the answers, and where a request has its serial.
 *
 * A request's body is a file with the words `serial=0000000000000000` in it. The load generator counts the digits up;
 * the upstream knows the file too, so it can compare every other byte, and puts the serial into every event and answer.
 * So both sides know exactly what must arrive, whatever lies between them. Serials stand in ids and in texts, as some
 * gateways make ids of their own. Numbers are written in sixteen hexadecimal digits, the cheapest to write and read;
 * times are CLOCK_MONOTONIC microseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define DIGITS 16
#define ANSWER 1280 /* bytes of a whole answer's body */
#define ENDING 768  /* bytes in which the end of a stream fits */
#define NEVER LONG_MAX

#define ID "{\"id\":\"chatcmpl-0000000000000000\",\"object\":\"chat.completion"
#define CHUNK                                                                                                          \
    "data: " ID ".chunk\",\"created\":1760000000,\"model\":\"gpt-mock\",\"service_tier\":\"default\",\"choices\":["
#define USAGE                                                                                                          \
    "\"usage\":{\"prompt_tokens\":512,\"completion_tokens\":140,\"total_tokens\":652,"                                 \
    "\"prompt_tokens_details\":{\"cached_tokens\":128},\"completion_tokens_details\":{\"reasoning_tokens\":0}}}"
#define EVENT_TEXT                                                                                                     \
    CHUNK "{\"index\":0,\"delta\":{\"content\":\"0000000000000000 0000000000000000 tokens\"},"                         \
          "\"logprobs\":null,\"finish_reason\":null}]}\n\n"

enum {
    EVENT = sizeof EVENT_TEXT - 1,
    ID_AT = sizeof "{\"id\":\"chatcmpl-" - 1,
    EVENT_ID_AT = sizeof "data: " - 1 + ID_AT,
    EVENT_INDEX_AT = sizeof CHUNK "{\"index\":0,\"delta\":{\"content\":\"" - 1,
    EVENT_TIME_AT = EVENT_INDEX_AT + DIGITS + 1,
};

static void fail(const char *words, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void fail(const char *words, ...)
{
    va_list rest;
    va_start(rest, words);
    vfprintf(stderr, words, rest);
    fputc('\n', stderr);
    exit(2);
}

static long now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static void put_number(char *to, long number)
{
    for (int i = DIGITS - 1; i >= 0; i--, number >>= 4)
        to[i] = "0123456789abcdef"[number & 15];
}

/* -1 where there are other letters than hexadecimal digits. */
static long get_number(const char *from)
{
    long number = 0;
    for (int i = 0; i < DIGITS; i++) {
        int digit = from[i] >= 'a' && from[i] <= 'f' ? from[i] - 'a' + 10 : from[i] - '0';
        if (digit < 0 || digit > 15)
            return -1;
        number = number << 4 | digit;
    }
    return number;
}

/* Where the text of a whole answer is, once one has been rendered. */
static size_t answer_text_at, answer_text_size;

/* A whole answer, ANSWER bytes. Its text begins with the serial. */
static void render_answer(char *to, long serial)
{
    static char text[ANSWER];
    if (!*text) {
        const char *words = "Whatever comes to pass here was said by nobody and means nothing at all. ";
        const char *end = "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                          "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\"," USAGE;
        int head = snprintf(text, sizeof text,
                            ID "\",\"created\":1760000000,\"model\":\"gpt-mock\",\"choices\":[{\"index\":0,"
                               "\"message\":{\"role\":\"assistant\",\"content\":\"");
        size_t fill = sizeof text - (size_t)head - strlen(end);
        for (size_t i = 0; i < fill; i++)
            text[(size_t)head + i] = i == DIGITS ? ' ' : words[i % strlen(words)];
        memcpy(text + (size_t)head + fill, end, strlen(end));
        answer_text_at = (size_t)head;
        answer_text_size = fill;
    }
    memcpy(to, text, ANSWER);
    put_number(to + ID_AT, serial);
    put_number(to + answer_text_at, serial);
}

/* What an event says of itself: whose it is, and which. */
static long event_number(long serial, long index)
{
    return serial << 32 | index;
}

/* One content event, EVENT bytes. */
static void render_event(char *to, long serial, long index, long time)
{
    memcpy(to, EVENT_TEXT, EVENT);
    put_number(to + EVENT_ID_AT, serial);
    put_number(to + EVENT_INDEX_AT, event_number(serial, index));
    put_number(to + EVENT_TIME_AT, time);
}

/* The three events after the last content: finish, usage, [DONE]. Their lengths go into `sizes`. */
static size_t render_ending(char *to, long serial, size_t sizes[3])
{
    static const char *events[3] = {
        CHUNK "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n",
        CHUNK "]," USAGE "\n\n",
        "data: [DONE]\n\n",
    };
    size_t all = 0;
    for (int i = 0; i < 3; i++) {
        sizes[i] = strlen(events[i]);
        memcpy(to + all, events[i], sizes[i]);
        if (i < 2)
            put_number(to + all + EVENT_ID_AT, serial);
        all += sizes[i];
    }
    return all;
}

/* The value of a header, and all behind it; NULL where it is not there. The head ends with a 0. */
static const char *header(const char *head, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, length) && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " ");
    }
    return NULL;
}

/* Whether a header has such a value, whatever parameters it has beside it. */
static int is(const char *value, const char *what)
{
    size_t length = strlen(what);
    return value && !strncmp(value, what, length) && strchr("\r;", value[length]);
}

struct body {
    char *text;
    size_t size, serial_at;
};

static struct body read_body(const char *path)
{
    struct body body = {.text = malloc(1 << 20)};
    FILE *file = fopen(path, "rb");
    if (!file)
        fail("%s: %s", path, strerror(errno));
    body.size = fread(body.text, 1, 1 << 20, file);
    fclose(file);
    char *mark = memmem(body.text, body.size, "serial=", 7);
    if (!mark)
        fail("%s: no serial= in it", path);
    body.serial_at = (size_t)(mark + 7 - body.text);
    return body;
}

/* An epoll whose waits end at a moment, to the microsecond: epoll's own time-outs are whole milliseconds. A report
 * without a pointer is the timer's. */
struct waiter {
    int epoll, timer;
    long armed;
};

static struct waiter new_waiter(void)
{
    struct waiter w = {epoll_create1(0), timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), NEVER};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    if (w.epoll < 0 || w.timer < 0 || epoll_ctl(w.epoll, EPOLL_CTL_ADD, w.timer, &event))
        fail("epoll: %s", strerror(errno));
    return w;
}

static int wait_until(struct waiter *w, long moment, struct epoll_event *events, int room)
{
    if (moment <= now_us())
        return epoll_wait(w->epoll, events, room, 0);
    if (moment != w->armed) {
        struct itimerspec when = {0};
        if (moment != NEVER)
            when.it_value = (struct timespec){moment / 1000000, moment % 1000000 * 1000};
        timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &when, NULL);
        w->armed = moment;
    }
    return epoll_wait(w->epoll, events, room, -1);
}

/* Edge-triggered: a short read or EAGAIN means that the next word comes by itself. */
static void watch_socket(struct waiter *w, int fd, void *pointer)
{
    int yes = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = pointer};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event))
        fail("epoll: %s", strerror(errno));
}

static void die_with_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
}

/* A provider of Chat Completions that costs as little as it can, and believes nothing.
 *
 *   upstream [-l] [-k KEY] [-x WORDS]... EVENTS BURST INTERVAL_US whole=FILE stream=FILE paced=FILE ...
 *
 * The files are the requests it knows, told apart by their lengths; any number of each kind. It prints `port N` and
 * answers `POST`: whole with one JSON body; stream with EVENTS events, BURST to a write, as fast as the reader takes
 * them; paced with one event each INTERVAL_US. An event is a chunk of its own in any case. Streams end with finish,
 * usage and [DONE]. A request that is not byte for byte a known one, save for its serial, gets a 400. With -l, for
 * gateways that write requests anew, it must hold the model and all texts of a known one.
 *
 * So does one whose head is not right: it must say that it is JSON, must be authorized with KEY and nothing else, and
 * must have none of the WORDS in it, with which clients' own keys begin.
 *
 * `GET /counts` tells how many there were: requests, wrong ones, those with a wrong key or type, and streams whose
 * reader left.
 */
#include "wire.h"

#define MAX_KINDS 16
#define MAX_HEAD 16384
#define MAX_OUT 32768
#define MAX_BURST 64
#define MAX_PIECES 8192
#define MAX_FOREIGN 4
#define PIECE 12 /* letters that a piece of a text has at least */
#define STREAM_HEAD                                                                                                    \
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"

enum answer { WHOLE, STREAM, PACED };
static const char *const ANSWER_NAMES[] = {"whole", "stream", "paced"};

struct piece {
    const char *text;
    size_t size;
};

struct kind {
    enum answer answer;
    struct body body;
    struct piece pieces[MAX_PIECES], last; /* last: what follows the serial, to the text's end */
    int piece_count;
};

struct client {
    int fd;
    char *in;
    size_t got, head, need; /* head and need: of the request being read, once its head is whole */
    char out[MAX_OUT];
    size_t out_at, out_end;
    long serial, events_left, due;
    int streaming, paced;
    struct client *next; /* in the queue of paced streams */
};

static struct kind kinds[MAX_KINDS];
static int kind_count;
static size_t in_room = MAX_HEAD;
static long event_count, burst, interval_us;
static int loosely;
static const char *key, *foreign[MAX_FOREIGN];
static int foreign_count;
static struct { long requests, wrong, wrong_key, wrong_type, cut; } counts;

/* Paced streams in the order in which they are due: all have the same interval, so whoever was served goes last. */
static struct client *first, **last = &first;

static void push(struct client *c)
{
    c->next = NULL;
    *last = c;
    last = &c->next;
}

static void take_out(struct client *c)
{
    for (struct client **p = &first; *p; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            if (last == &c->next)
                last = p;
            return;
        }
    }
}

static void drop(struct client *c)
{
    counts.cut += c->streaming;
    take_out(c);
    close(c->fd);
    free(c->in);
    free(c);
}

static void put(struct client *c, const char *bytes, size_t size)
{
    memcpy(c->out + c->out_end, bytes, size);
    c->out_end += size;
}

static void put_chunk(struct client *c, const char *bytes, size_t size)
{
    char digits[DIGITS];
    put_number(digits, (long)size);
    put(c, digits + DIGITS - 3, 3); /* no event has 4 KB */
    put(c, "\r\n", 2);
    put(c, bytes, size);
    put(c, "\r\n", 2);
}

static void put_next_event(struct client *c)
{
    char text[ENDING];
    size_t sizes[3], at = 0;
    if (c->events_left-- > 0) {
        render_event(text, c->serial, event_count - c->events_left - 1, now_us());
        put_chunk(c, text, EVENT);
        return;
    }
    render_ending(text, c->serial, sizes);
    for (int i = 0; i < 3; at += sizes[i++])
        put_chunk(c, text + at, sizes[i]);
    put(c, "0\r\n\r\n", 5);
    c->streaming = 0;
}

/* 1: all is out; 0: the socket is full; -1: the client is gone. */
static int flush(struct client *c)
{
    while (c->out_at < c->out_end) {
        ssize_t n = write(c->fd, c->out + c->out_at, c->out_end - c->out_at);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->out_at += (size_t)n;
    }
    c->out_at = c->out_end = 0;
    return 1;
}

/* As much of a stream at full speed as the socket takes; of the others, what is still to be written. */
static int pump(struct client *c)
{
    int state;
    while ((state = flush(c)) == 1 && c->streaming && !c->paced)
        for (long i = 0; i < burst && c->streaming; i++)
            put_next_event(c);
    return state;
}

static void put_whole(struct client *c, int status, const char *body, size_t size)
{
    c->out_end += (size_t)sprintf(c->out + c->out_end,
                                  "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
                                  "x-request-id: req_%016ld\r\n\r\n",
                                  status, status == 200 ? "OK" : "Bad Request", size, c->serial);
    put(c, body, size);
}

static const struct kind *recognize(const char *body, size_t size, long *serial)
{
    for (int i = 0; i < kind_count; i++) {
        const struct body *b = &kinds[i].body;
        size_t rest = b->serial_at + DIGITS;
        if (size == b->size && !memcmp(body, b->text, b->serial_at) &&
            !memcmp(body + rest, b->text + rest, size - rest) && (*serial = get_number(body + b->serial_at)) > 0)
            return &kinds[i];
    }
    return NULL;
}

static int starts_with(const char *text, size_t size, const struct piece *piece)
{
    return size >= piece->size && !memcmp(text, piece->text, piece->size);
}

/* All pieces are there. They come in the known order, mostly; so each is looked for behind the one before it first. */
static int holds(const char *body, size_t size, const struct kind *kind)
{
    const char *at = body;
    for (int i = 0; i < kind->piece_count; i++) {
        const struct piece *piece = &kind->pieces[i];
        const char *found = memmem(at, size - (size_t)(at - body), piece->text, piece->size);
        if (!found && !(found = memmem(body, size, piece->text, piece->size)))
            return 0;
        at = found;
    }
    return 1;
}

static const struct kind *recognize_loosely(const char *body, size_t size, long *serial)
{
    const char *mark = memmem(body, size, "serial=", 7), *rest = mark + 7 + DIGITS;
    if (!mark || rest > body + size || (*serial = get_number(mark + 7)) <= 0)
        return NULL;
    for (int i = 0; i < kind_count; i++)
        if (starts_with(rest, (size_t)(body + size - rest), &kinds[i].last))
            return holds(body, size, &kinds[i]) ? &kinds[i] : NULL;
    return NULL;
}

static const struct kind *known(const struct client *c, long *serial)
{
    const char *body = c->in + c->head;
    size_t size = c->need - c->head;
    if (loosely)
        return strstr(c->in, "/chat/completions ") ? recognize_loosely(body, size, serial) : NULL;
    return strncmp(c->in, "POST /v1/chat/completions ", 26) ? NULL : recognize(body, size, serial);
}

/* The one key of ours, and nothing of a client's. */
static int has_right_key(const char *head)
{
    static const char scheme[] = "Bearer ";
    const char *given = header(head, "authorization");
    if (!key)
        return 1;
    for (int i = 0; i < foreign_count; i++)
        if (strstr(head, foreign[i]))
            return 0;
    return given && !strncasecmp(given, scheme, sizeof scheme - 1) && is(given + sizeof scheme - 1, key) &&
           !header(given, "authorization") && !header(head, "x-api-key");
}

static void refuse(struct client *c, long *count, const char *why)
{
    char text[200];
    int size = sprintf(text, "{\"error\":{\"message\":\"%s\",\"type\":\"invalid_request_error\"}}", why);
    ++*count;
    put_whole(c, 400, text, (size_t)size);
}

static void answer_counts(struct client *c)
{
    char text[200];
    int size = sprintf(text, "{\"requests\":%ld,\"wrong\":%ld,\"wrong_key\":%ld,\"wrong_type\":%ld,\"cut\":%ld}",
                       counts.requests, counts.wrong, counts.wrong_key, counts.wrong_type, counts.cut);
    put_whole(c, 200, text, (size_t)size);
}

static void answer(struct client *c)
{
    if (!strncmp(c->in, "GET /counts ", 12)) {
        answer_counts(c);
        return;
    }
    if (!strncmp(c->in, "GET ", 4)) { /* gateways that ask whether we are well, or what we have */
        const char *words = "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-mock\",\"object\":\"model\"}]}";
        put_whole(c, 200, words, strlen(words));
        return;
    }
    counts.requests++;
    c->serial = 0;
    const struct kind *kind = known(c, &c->serial);
    if (!has_right_key(c->in)) {
        refuse(c, &counts.wrong_key, "not with the upstream's key alone");
    } else if (!is(header(c->in, "content-type"), "application/json")) {
        refuse(c, &counts.wrong_type, "content-type is not application/json");
    } else if (!kind) {
        refuse(c, &counts.wrong, "not as it was sent");
    } else if (kind->answer == WHOLE) {
        char text[ANSWER];
        render_answer(text, c->serial);
        put_whole(c, 200, text, ANSWER);
    } else {
        put(c, STREAM_HEAD, strlen(STREAM_HEAD));
        c->streaming = 1;
        c->events_left = event_count;
        c->paced = kind->answer == PACED;
        if (c->paced) {
            c->due = now_us() + interval_us;
            push(c);
        }
    }
}

/* Answers the request if it is whole. -1: not HTTP as we know it, or more than one request at a time. */
static int consider(struct client *c)
{
    if (!c->head) {
        char *end = memmem(c->in, c->got, "\r\n\r\n", 4);
        if (!end)
            return c->got > MAX_HEAD ? -1 : 0;
        *end = 0;
        const char *length = header(c->in, "content-length");
        c->head = (size_t)(end - c->in) + 4;
        c->need = c->head + (length ? strtoul(length, NULL, 10) : 0);
    }
    if (c->need > in_room || c->got > c->need || c->out_end || c->streaming)
        return -1;
    if (c->got == c->need) {
        answer(c);
        c->got = c->head = 0;
    }
    return 0;
}

static void serve(struct client *c)
{
    for (;;) {
        size_t room = in_room - c->got;
        ssize_t n = read(c->fd, c->in + c->got, room);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            drop(c);
            return;
        }
        if (n > 0) {
            c->got += (size_t)n;
            if (consider(c) < 0) {
                counts.wrong++;
                drop(c);
                return;
            }
        }
        if (n < (ssize_t)room)
            break;
    }
    if (pump(c) < 0)
        drop(c);
}

/* One event to each paced stream that is due. A slow reader gets what it has missed together with the next. */
static void pace(void)
{
    long now = now_us();
    while (first && first->due <= now) {
        struct client *c = first;
        take_out(c);
        if (c->out_end < MAX_OUT / 2)
            put_next_event(c);
        if (pump(c) < 0) {
            drop(c);
            continue;
        }
        c->due += interval_us;
        if (c->streaming)
            push(c);
    }
}

static void welcome(struct waiter *w, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->in = malloc(in_room);
        watch_socket(w, fd, c);
    }
}

static int listen_somewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (void *)&at, size) || listen(fd, 1024) || getsockname(fd, (void *)&at, &size))
        fail("listen: %s", strerror(errno));
    printf("port %d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void keep(struct kind *kind, const char *from, const char *to)
{
    if (kind->piece_count == MAX_PIECES)
        fail("at most %d pieces", MAX_PIECES);
    kind->pieces[kind->piece_count++] = (struct piece){from, (size_t)(to - from)};
}

/* The string that begins at `from`, in pieces. Where it ends. */
static const char *cut_string(struct kind *kind, const char *from, const char *end)
{
    for (const char *at = from; at < end; at++) {
        if (*at != '"' && *at != '\\')
            continue;
        if (at - from >= PIECE)
            keep(kind, from, at);
        if (*at == '"')
            return at;
        from = ++at + 1;
    }
    fail("a string does not end");
}

/* What a request must hold however it is written: its model, and its texts, in the pieces that lie between escapes,
 * since some escape what tools found once more. What follows the serial tells kinds apart. */
static void cut(struct kind *kind)
{
    static const char model[] = "\"model\":\"";
    const char *text = kind->body.text, *end = text + kind->body.size, *serial = text + kind->body.serial_at;
    for (const char *from = text; (from = memchr(from, '"', (size_t)(end - from)));) {
        const char *before_it = from + 1 - (sizeof model - 1);
        int is_model = before_it >= text && !memcmp(before_it, model, sizeof model - 1);
        int before = kind->piece_count;
        const char *to = cut_string(kind, from + 1, end);
        if (is_model)
            keep(kind, from, to + 1);
        if (from < serial && serial < to) {
            kind->piece_count = before;
            kind->last = (struct piece){serial + DIGITS, (size_t)(to + 1 - serial - DIGITS)};
        }
        from = to + 1;
    }
}

static void learn(const char *argument)
{
    const char *file = strchr(argument, '=');
    for (int i = 0; file && kind_count < MAX_KINDS && i < 3; i++) {
        size_t length = (size_t)(file - argument);
        if (strlen(ANSWER_NAMES[i]) == length && !strncmp(argument, ANSWER_NAMES[i], length)) {
            struct kind *kind = &kinds[kind_count++];
            *kind = (struct kind){.answer = (enum answer)i, .body = read_body(file + 1)};
            cut(kind);
            size_t room = MAX_HEAD + kind->body.size * (loosely ? 2 : 1);
            if (room > in_room)
                in_room = room;
            return;
        }
    }
    fail("%s: expected whole=FILE, stream=FILE or paced=FILE", argument);
}

int main(int count, char **arguments)
{
    int option;
    while ((option = getopt(count, arguments, "lk:x:")) != -1) {
        switch (option) {
        case 'l': loosely = 1; break;
        case 'k': key = optarg; break;
        case 'x':
            if (foreign_count == MAX_FOREIGN)
                fail("at most %d words", MAX_FOREIGN);
            foreign[foreign_count++] = optarg;
            break;
        default: return 2;
        }
    }
    arguments += optind - 1;
    count -= optind - 1;
    if (count < 5 || (burst = atol(arguments[2])) < 1 || burst > MAX_BURST)
        fail("usage: upstream [-l] [-k KEY] [-x WORDS]... EVENTS BURST INTERVAL_US whole=FILE stream=FILE paced=FILE "
             "... (BURST at most %d)",
             MAX_BURST);
    die_with_parent();
    event_count = atol(arguments[1]);
    interval_us = atol(arguments[3]);
    for (int i = 4; i < count; i++)
        learn(arguments[i]);
    struct waiter w = new_waiter();
    int listener = listen_somewhere();
    struct epoll_event events[256], incoming = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(w.epoll, EPOLL_CTL_ADD, listener, &incoming);
    for (;;) {
        int n = wait_until(&w, first ? first->due : NEVER, events, 256);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &listener)
                welcome(&w, listener);
            else if (events[i].data.ptr)
                serve(events[i].data.ptr);
        }
        pace();
    }
}
